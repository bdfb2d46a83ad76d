"""Budgets over HTTP: exact answers, refusals that name what is wrong and change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from financial.models import Budget, BudgetOverride, CostEvent

from .budget_calls import BUDGETS, body, errors, make, override, person
from .conftest import COSTS, Api
from .hold_calls import place

pytestmark = pytest.mark.django_db

UNKNOWN = "01a20507-76d6-7000-a0fa-0053e8e86ff9"


def spend(api: Api, amount: str, number: int, **changes: Any) -> None:
    cost = {
        "source": "s", "event_id": str(number), "occurred_at": timezone.now().isoformat(), "entity_type": "agent",
        "entity_id": "bot", "cost_type": "llm", "amount": amount, "currency": "USD",
    } | changes  # fmt: skip
    assert api.post(COSTS, cost).status_code == 201


def patch(api: Api, path: str, changes: Any, etag: str | None) -> Any:
    headers = {"X-API-Key": api.key} | ({} if etag is None else {"If-Match": etag})
    return api.client.patch(path, changes, content_type="application/json", headers=headers)


def month() -> dict[str, str]:
    now = timezone.now()
    start = datetime(now.year, now.month, 1, tzinfo=UTC)
    end = (start + timedelta(days=32)).replace(day=1)
    return {
        "key": f"{start:%Y-%m}",
        "start": f"{start:%Y-%m-%dT00:00:00Z}",
        "end": f"{end:%Y-%m-%dT00:00:00Z}",
    }


def test_a_budget_is_answered_as_it_stands(api):
    spend(api, "1.5", 1)
    response = api.post(
        BUDGETS, body(thresholds=[0.5, 0.8, 1.0], filters={"cost_type": ["llm"], "tags": {}}, parent=None)
    )
    budget = Budget.objects.get()
    answer = response.json()
    assert (response.status_code, response["Location"]) == (201, f"{BUDGETS}/{budget.pk}")
    assert answer.pop("burn_rate") > 0.15
    assert answer == {
        "id": str(budget.pk), "name": "Bots", "entity_type": "agent", "entity_id": "bot", "state": "ok",
        "period": month(), "limit": "10.00", "carried": "0.00", "raised": "0.00", "settled": "1.50",
        "provisional": "0.00", "held": "0.00", "remaining": "8.50", "utilisation": 0.15,
        "thresholds_crossed": [], "overrun": "0.00", "base_limit": "10.00", "currency": "USD",
        "recurrence": "month", "timezone": "UTC", "enforcement": "hard", "thresholds": [0.5, 0.8, 1.0],
        "rollover": "none", "rollover_cap": None,
        "filters": {"cost_type": ["llm"], "provider": [], "model": [], "tags": {}}, "parent": None,
        "starts_on": None, "ends_on": None, "archived_at": None, "forecast": None,
        "no_forecast": "Nothing was spent in a complete bucket yet.",
        "created_at": budget.created_at.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    again = api.get(response["Location"])
    assert (again.status_code, again["ETag"]) == (200, response["ETag"])
    assert again.json() | {"burn_rate": 0} == answer | {"burn_rate": 0}
    (listed,) = api.get(BUDGETS).json()["results"]
    assert "forecast" not in listed
    told = {"forecast": None, "no_forecast": answer["no_forecast"], "burn_rate": 0}
    assert listed | told == answer | {"burn_rate": 0}


def test_what_is_left_out_has_its_default(api):
    answer = api.get(make(api, enforcement=...)).json()
    assert [answer[name] for name in ("enforcement", "timezone", "thresholds", "rollover", "parent")] == [
        "soft", "UTC", [0.8, 1.0], "none", None,
    ]  # fmt: skip


def test_a_forecast_says_where_the_period_is_heading(api):
    now = timezone.now()
    for days in range(30):
        spend(api, "2", days, occurred_at=(now - timedelta(days=days)).isoformat(), entity_id="user-7")
    path = make(api, entity_id="*", limit="1000", period="year")
    whole = api.get(path).json()
    assert (whole["forecast"], whole["no_forecast"]) == (
        None, "Every entity has an allowance of its own: choose one.",
    )  # fmt: skip
    answer = api.get(path, entity_id="user-7").json()
    found = answer["forecast"]
    assert (answer["no_forecast"], found.pop("exhausts_at")) == (None, None)
    ordered = [Decimal(found[name]) for name in ("low", "low_80", "expected", "high_80", "high")]
    assert Decimal(answer["settled"]) <= ordered[0]
    assert (ordered == sorted(ordered), len(found)) == (True, 5)
    poor = make(api, entity_id="user-7", limit=str(Decimal(answer["settled"])), period="year", name="Poor")
    assert api.get(poor).json()["forecast"]["exhausts_at"] is not None


def test_costs_and_holds_move_it_from_ok_to_exceeded(api):
    path = make(api, thresholds=[0.5, 1])
    place(api, amount="5")
    answer = api.get(path).json()
    assert [answer[name] for name in ("state", "held", "remaining", "utilisation", "thresholds_crossed")] == [
        "warning", "5.00", "5.00", 0.5, [0.5],
    ]  # fmt: skip
    spend(api, "8", 1)
    refused = place(api, "k-2", amount="0.01")
    assert (refused.status_code, refused.json()["budget"]["id"]) == (402, path.rpartition("/")[2])
    spend(api, "4", 2)
    answer = api.get(path).json()
    assert [answer[name] for name in ("state", "settled", "held", "remaining", "overrun")] == [
        "exceeded", "12.00", "5.00", "-7.00", "7.00",
    ]  # fmt: skip
    crossings = api.get(f"{path}/crossings").json()["results"]
    assert [(row["threshold"], row["used"], row["limit"], row["currency"]) for row in crossings] == [
        (1.0, "13.00", "10.00", "USD"), (0.5, "5.00", "10.00", "USD"),
    ]  # fmt: skip
    overruns = api.get(f"{path}/overruns").json()["results"]
    costs = {str(event.pk): event.event_id for event in CostEvent.objects.all()}
    named = ("amount", "currency", "cause", "hold", "entity_id", "period")
    assert [(costs[row["event"]], *(row[name] for name in named)) for row in overruns] == [
        ("2", "4.00", "USD", "without_hold", None, "bot", month()["key"]),
        ("1", "3.00", "USD", "without_hold", None, "bot", month()["key"]),
    ]
    assert api.get(f"{path}/overruns", entity_id="other").json()["results"] == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"limit": "-1"}, [("/limit", "too_small")]),
        ({"limit": 10}, [("/limit", "not_a_string")]),
        ({"limit": "9" * 25}, [("/limit", "too_large")]),
        ({"limit": "1000000000.01"}, [("/limit", "too_large")]),
        ({"limit": "1.0000000001"}, [("/limit", "too_precise")]),
        ({"limit": ...}, [("/limit", "required")]),
        ({"name": " "}, [("/name", "required")]),
        ({"name": 5}, [("/name", "invalid")]),
        ({"entity_type": "*"}, [("/entity_id", "bad_value")]),
        ({"currency": "XXQ"}, [("/currency", "unknown_currency")]),
        ({"period": "fortnight"}, [("/period", "unknown_period")]),
        ({"period": "rolling:0d"}, [("/period", "unknown_period")]),
        ({"timezone": "Mars/Base"}, [("/timezone", "unknown_timezone")]),
        ({"enforcement": "harsh"}, [("/enforcement", "unknown_enforcement")]),
        ({"thresholds": [1, 0.5]}, [("/thresholds/1", "not_ascending")]),
        ({"thresholds": ["0.5", 0]}, [("/thresholds/0", "not_a_number"), ("/thresholds/1", "out_of_range")]),
        ({"thresholds": "1"}, [("/thresholds", "not_a_list")]),
        ({"rollover": "capped"}, [("/rollover_cap", "required")]),
        ({"rollover": "all", "rollover_cap": "5"}, [("/rollover_cap", "unexpected")]),
        ({"rollover": "all", "period": "rolling:7d"}, [("/rollover", "no_rollover")]),
        ({"filters": {"colour": ["red"]}}, [("/filters/colour", "unknown_field")]),
        ({"filters": {"cost_type": ["gold"]}}, [("/filters/cost_type/0", "unknown_cost_type")]),
        ({"filters": {"tags": {"a/b": 1}}}, [("/filters/tags/a~1b", "not_a_string")]),
        ({"parent": UNKNOWN}, [("/parent", "unknown_budget")]),
        ({"parent": "mine"}, [("/parent", "unknown_budget")]),
        ({"starts_on": 20261101}, [("/starts_on", "invalid")]),
        ({"starts_on": "2026-02-30"}, [("/starts_on", "invalid")]),
        ({"ends_on": "2020-01-01"}, [("/ends_on", "in_the_past")]),
        ({"ends_on": "9999-12-31"}, [("/ends_on", "out_of_range")]),
        ({"starts_on": "0001-01-01"}, [("/starts_on", "out_of_range")]),
        ({"colour": "red"}, [("/colour", "unknown_field")]),
        ({"limit": "-1", "period": "x", "currency": "x"},
         [("/currency", "unknown_currency"), ("/limit", "too_small"), ("/period", "unknown_period")]),
    ],
)  # fmt: skip
def test_every_bad_field_is_named_and_nothing_is_set(api, changes, expected):
    assert errors(api.post(BUDGETS, body(**changes))) == expected
    assert (Budget.objects.count(), AuditEvent.objects.filter(target_type="financial.Budget").count()) == (
        0,
        0,
    )


def test_a_child_never_has_more_than_its_parent_and_no_circle_closes(api):
    top = make(api, name="Top", entity_type="team", entity_id="emea")
    parent = top.rpartition("/")[2]
    assert errors(api.post(BUDGETS, body(parent=parent, limit="10.01"))) == [("/limit", "above_parent")]
    child = make(api, parent=parent, limit="8")
    assert api.get(child).json()["parent"] == parent
    assert [row["id"] for row in api.get(BUDGETS, parent=parent).json()["results"]] == [
        child.rpartition("/")[2]
    ]
    for path, changes, expected in (
        (top, {"parent": child.rpartition("/")[2]}, ("/parent", "circle")),
        (top, {"parent": parent}, ("/parent", "circle")),
        (top, {"limit": "7.99"}, ("/limit", "below_child")),
        (child, {"limit": "10.01"}, ("/limit", "above_parent")),
    ):
        assert errors(patch(api, path, changes, "*")) == [expected]
    assert sorted(Budget.objects.values_list("limit", flat=True)) == [8 * 10**9, 10 * 10**9]


def test_a_change_names_the_version_it_was_made_from(api):
    path = make(api, thresholds=[0.5])
    first = api.get(path)["ETag"]
    missing = patch(api, path, {"limit": "20"}, None)
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_required")
    changed = patch(api, path, {"limit": "20", "name": "More"}, first)
    assert (changed.status_code, changed.json()["limit"], changed.json()["name"]) == (200, "20.00", "More")
    assert changed.json()["thresholds"] == [0.5]
    assert changed["ETag"] == api.get(path)["ETag"] != first
    stale = patch(api, path, {"limit": "30"}, first)
    assert (stale.status_code, stale.json()["code"]) == (412, "version_changed")
    # What is spent is no version.
    spend(api, "3", 1)
    assert patch(api, path, {"ends_on": None, "thresholds": [0.1]}, changed["ETag"]).status_code == 200
    assert Budget.objects.get().limit == 20 * 10**9


def test_what_counts_never_changes(api):
    path = make(api)
    changes = {"entity_id": "other", "currency": "EUR", "period": "day", "filters": {}, "starts_on": None}
    assert sorted(errors(patch(api, path, changes, "*"))) == [
        ("/currency", "fixed"), ("/entity_id", "fixed"), ("/filters", "fixed"), ("/period", "fixed"),
        ("/starts_on", "fixed"),
    ]  # fmt: skip
    assert errors(patch(api, path, {"colour": "red"}, "*")) == [("/colour", "unknown_field")]
    assert errors(patch(api, path, {"ends_on": "9999-12-31"}, "*")) == [("/ends_on", "out_of_range")]
    unknown = patch(api, f"{BUDGETS}/{UNKNOWN}", {"limit": "5"}, "*")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_a_lowered_limit_leaves_an_overrun_with_its_cause(api):
    path = make(api)
    spend(api, "6", 1)
    place(api, amount="3")
    answer = patch(api, path, {"limit": "5"}, "*").json()
    assert [answer[name] for name in ("state", "limit", "settled", "held", "remaining", "overrun")] == [
        "exceeded", "5.00", "6.00", "3.00", "-4.00", "4.00",
    ]  # fmt: skip
    (row,) = api.get(f"{path}/overruns").json()["results"]
    assert (row["amount"], row["cause"], row["event"], row["hold"]) == ("4.00", "limit_lowered", None, None)


def test_an_archived_budget_refuses_nothing_and_its_holds_end_as_they_would_have(api):
    path = make(api)
    hold = place(api, amount="10")["Location"]
    archived = api.post(f"{path}/archive", None)
    assert (archived.status_code, archived.json()["state"], archived.json()["held"]) == (
        200,
        "closed",
        "10.00",
    )
    assert api.post(f"{path}/archive", None).json()["archived_at"] == archived.json()["archived_at"]
    assert place(api, "k-2", amount="50").json()["budgets"] == []
    assert api.post(f"{hold}/settle", {"amount": "4", "currency": "USD"}).status_code == 200
    assert [api.get(path).json()[name] for name in ("settled", "held", "state")] == ["4.00", "0.00", "closed"]
    refused = patch(api, path, {"limit": "5"}, "*")
    assert (refused.status_code, refused.json()["code"]) == (409, "archived")
    asked = api.post(f"{path}/overrides", {"amount": "1", "until": "2036-01-01T00:00:00Z", "reason": "x"})
    assert (asked.status_code, asked.json()["code"]) == (409, "closed")
    assert api.get(BUDGETS).json()["results"] == []
    assert len(api.get(BUDGETS, archived="true").json()["results"]) == 1


def test_every_entity_of_a_type_has_an_allowance_of_its_own(api):
    path = make(api, entity_id="*")
    for entity in ("a", "b", "c"):
        place(api, entity, amount="4", entity_id=entity)
    spend(api, "9", 1, entity_id="b")
    answer = api.get(path, limit=2).json()
    assert [answer[name] for name in ("entity_id", "state", "limit", "settled", "held", "remaining")] == [
        "*", "warning", "10.00", "9.00", "12.00", None,
    ]  # fmt: skip
    assert answer["utilisation"] is None
    rows = answer["entities"]["results"]
    rest = api.client.get(answer["entities"]["next"], headers={"X-API-Key": api.key}).json()["entities"]
    assert [(row["entity_id"], row["settled"], row["held"]) for row in [*rows, *rest["results"]]] == [
        ("c", "0.00", "4.00"), ("b", "9.00", "4.00"), ("a", "0.00", "4.00"),
    ]  # fmt: skip
    assert rest["next"] is None
    one = api.get(path, entity_id="b").json()
    assert [one[name] for name in ("entity_id", "settled", "remaining", "overrun")] == [
        "b",
        "9.00",
        "-3.00",
        "3.00",
    ]
    assert "entities" not in one
    assert api.get(path, entity_id="never-seen").status_code == 404
    assert [row["entity_id"] for row in api.get(f"{path}/overruns").json()["results"]] == ["b"]
    assert [row["entity_id"] for row in api.get(f"{path}/periods", entity_id="c").json()["results"]] == ["c"]


def test_the_list_is_filtered_and_paged(api):
    make(api, name="A")
    make(api, name="B", entity_type="team", entity_id="emea", enforcement="soft", period="week")
    make(api, name="C", entity_type="*", entity_id="*")

    def names(**query: Any) -> list[str]:
        return [row["name"] for row in api.get(BUDGETS, **query).json()["results"]]

    assert names() == ["C", "B", "A"]
    assert names(entity_type="team", entity_id="emea") == ["B"]
    assert names(enforcement="hard") == ["C", "A"]
    assert (names(period="week"), names(currency="EUR"), names(entity_type="*")) == (["B"], [], ["C"])
    page = api.get(BUDGETS, limit=2).json()
    rest = api.client.get(page["next"], headers={"X-API-Key": api.key}).json()
    assert [row["name"] for row in rest["results"]] == ["A"]
    misspelt = api.get(BUDGETS, entitytype="team")
    assert (misspelt.status_code, misspelt.json()["errors"][0]["parameter"]) == (400, "entitytype")


def test_a_list_takes_as_many_queries_for_ten_budgets_as_for_one(api):
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get(BUDGETS).status_code == 200
        return len(captured)

    make(api)
    first = count()
    for number in range(9):
        make(api, name=f"N{number}", entity_id=f"bot-{number}")
    assert count() == first


def test_a_repeated_request_sets_one_budget(api):
    first = api.post(BUDGETS, body(), **{"Idempotency-Key": "b-1"})
    again = api.post(BUDGETS, body(), **{"Idempotency-Key": "b-1"})
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, first.json(), "true")
    other = api.post(BUDGETS, body(limit="11"), **{"Idempotency-Key": "b-1"})
    assert (other.status_code, other.json()["code"], Budget.objects.count()) == (
        422,
        "idempotency_key_reused",
        1,
    )


@pytest.mark.parametrize("scope", ["ingest", "financial:read"])
def test_without_the_scope_nothing_changes(api, scope):
    path = make(api)
    asked = api.post(f"{path}/overrides", override())["Location"]
    denied = Api([scope])
    before = (
        list(Budget.objects.values()),
        list(BudgetOverride.objects.values()),
        AuditEvent.objects.count(),
    )
    responses = [
        denied.post(BUDGETS, body()),
        patch(denied, path, {"limit": "99"}, "*"),
        denied.post(f"{path}/archive", None),
        denied.post(f"{path}/overrides", override()),
        denied.post(f"{asked}/approve", None),
        denied.post(f"{asked}/withdraw", None),
    ]
    reads = [
        path,
        BUDGETS,
        asked,
        *(f"{path}/{name}" for name in ("periods", "overruns", "crossings", "overrides")),
    ]
    answers = [denied.get(read).status_code for read in reads]
    assert {(response.status_code, response.json()["code"]) for response in responses} == {
        (403, "missing_scope")
    }
    assert answers == [200 if scope == "financial:read" else 403] * len(reads)
    assert Client().get(path).status_code == 401
    assert before == (
        list(Budget.objects.values()), list(BudgetOverride.objects.values()), AuditEvent.objects.count(),
    )  # fmt: skip


def test_what_is_not_there_is_not_found(api):
    for name in ("", "/periods", "/overruns", "/crossings", "/overrides", f"/overrides/{UNKNOWN}"):
        response = api.get(f"{BUDGETS}/{UNKNOWN}{name}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    for name in ("/archive", f"/overrides/{UNKNOWN}/approve"):
        assert (
            person(name[1:4], "financial:admin").post(f"{BUDGETS}/{UNKNOWN}{name}", None).status_code == 404
        )


def test_a_cost_counts_into_its_own_period_and_its_hold_ends_in_the_one_it_was_made_in(api):
    path = make(api, period="hour")
    hold = place(api, amount="4")
    made = datetime.fromisoformat(hold.json()["created_at"])
    later = made + timedelta(hours=1)
    told = {"amount": "3", "currency": "USD", "occurred_at": later.isoformat()}
    assert api.post(f"{hold['Location']}/settle", told).status_code == 200
    rows = api.get(f"{path}/periods").json()["results"]
    assert [(row["period"]["start"], row["settled"], row["held"], row["overrun"]) for row in rows] == [
        (f"{later:%Y-%m-%dT%H:00:00Z}", "3.00", "0.00", "0.00"),
        (f"{made:%Y-%m-%dT%H:00:00Z}", "0.00", "0.00", "0.00"),
    ]
