"""The pages of budgets, overrides and holds: what they show, what they refuse, and who may do what."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, User
from agent_factory_site.common.money import NANO
from financial.models import Budget, BudgetOverride, BudgetOverrun, BudgetPeriod, CostEvent, Hold
from financial.services.budget_overrides import approve_override, request_override
from financial.services.budgets import archive_budget, change_budget, create_budget
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import HoldRequest, place_hold
from tests.admin_data import cost, record, staff

pytestmark = pytest.mark.django_db

BUDGETS = "/admin/financial/budget/"
OVERRIDES = "/admin/financial/budgetoverride/"
HOLDS = "/admin/financial/hold/"
CONFIRMED = {"_form_submitted": "on"}
FORM = {
    "name": "Support bots", "entity_type": "agent", "entity_id": "support-bot", "limit": "10.00", "currency": "USD",
    "period": "month", "timezone": "UTC", "enforcement": "hard", "thresholds": "50, 80 %, 100", "rollover": "none",
}  # fmt: skip
MORE = {"amount": "5.00", "until": "2030-01-01T00:00", "reason": "Black Friday"}


def budget(**changes: Any) -> Budget:
    values: dict[str, Any] = {
        "name": "Support bots", "entity_type": "agent", "entity_id": "support-bot", "limit": "10.00",
        "currency": "USD", "period": "month", "enforcement": "hard",
    } | changes  # fmt: skip
    return create_budget(**values)


def spend(amount: str, **changes: Any) -> None:
    record(cost(timezone.now(), amount=amount, **{"cost_type": "tool", "provider": "tavily"} | changes))


def hold(amount: str, owner: str = "system:tests", entity: str = "support-bot") -> Hold:
    units, _, rest = amount.partition(".")
    nano = int(units) * NANO + int(f"{rest:0<9}")
    request = HoldRequest(
        owner=owner, entity=("agent", entity), amount=nano, currency="USD", cost_type="llm", provider="openai",
        model="gpt-4o",
    )  # fmt: skip
    return place_hold(request=request).hold


def page_of(row: Budget | BudgetOverride | Hold) -> str:
    return f"/admin/financial/{row._meta.model_name}/{row.pk}/change/"


def html_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return unescape(response.content.decode())


def words_of(html: str) -> str:
    """What a page says, without its markup."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).replace("\N{NARROW NO-BREAK SPACE}", " ").split())


def listed(html: str) -> list[str]:
    return re.findall(rf'href="{BUDGETS}([0-9a-f-]{{36}})/change/', html)


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(staff("financial:read"))
    return client


@pytest.fixture
def writer(client: Client) -> Client:
    client.force_login(staff("financial:write"))
    return client


@pytest.fixture
def keeper() -> Client:
    client = Client()
    client.force_login(staff("financial:admin", username="bob"))
    return client


# --- The list -----------------------------------------------------------------------------------


def test_the_list_says_how_each_budget_stands(reader: Client) -> None:
    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="100.00")
    child = budget(parent=fleet.pk)
    each = budget(name="Each user", entity_type="user", entity_id="*", limit="3.00", enforcement="soft")
    spend("4.5", entities={"user": "u-1"})
    hold("4.00")
    html = html_of(reader, BUDGETS)
    assert listed(html) == [str(each.pk), str(child.pk), str(fleet.pk)]
    words = words_of(html)
    assert "Support bots agent/ support-bot ↳ Fleet Month $10.00 $4.50 $4.00 $1.50 85 % warning hard" in words
    assert "Each user each user Month $3.00 each $4.50 $0.00 – 1 of 1 exceeded exceeded soft" in words
    assert "Fleet the whole fleet Month $100.00 $4.50 $4.00 $91.50 8.5 % ok hard" in words


def test_the_list_is_filtered(reader: Client) -> None:
    rows = {
        "over": budget(name="Over", limit="1.00"),
        "near": budget(name="Near", limit="2.40", period="rolling:7d"),
        "calm": budget(name="Calm", limit="500.00", enforcement="soft", period="day"),
        "team": budget(name="Team", entity_type="team", entity_id="emea"),
        "each": budget(name="Each", entity_type="agent", entity_id="*", limit="1.50"),
        "gone": budget(name="Gone"),
        "none": budget(name="None", entity_id="other", limit="0"),
    }
    spend("2")
    archive_budget(budget_id=rows["gone"].pk)
    for query, shown in (
        ("", {"over", "near", "calm", "team", "each", "none"}),
        ("?state=exceeded", {"over", "each", "none"}),
        ("?state=warning", {"near"}),
        ("?state=ok", {"calm", "team"}),
        ("?state=closed", {"gone"}),
        ("?state=closed&archived=only", {"gone"}),
        ("?enforcement=soft", {"calm"}),
        ("?period=rolling", {"near"}),
        ("?period=day", {"calm"}),
        ("?entity_type=team", {"team"}),
        ("?archived=only", {"gone"}),
        ("?archived=yes&q=o", {"over", "gone", "none", "near", "calm"}),
        ("?q=emea", {"team"}),
    ):
        found = set(listed(html_of(reader, BUDGETS + query)))
        assert {name for name, row in rows.items() if str(row.pk) in found} == shown, query


def test_a_limit_lowered_below_what_is_spent_shows_at_once(reader: Client) -> None:
    rolling = budget(name="Rolling", period="rolling:7d")
    monthly = budget(name="Monthly")
    spend("4")
    assert listed(html_of(reader, f"{BUDGETS}?state=warning")) == []
    for row in (rolling, monthly):
        change_budget(budget_id=row.pk, limit="5.00")
    assert set(listed(html_of(reader, f"{BUDGETS}?state=warning"))) == {str(rolling.pk), str(monthly.pk)}
    words = words_of(html_of(reader, "/admin/"))
    assert "Budgets in warning or exceeded All budgets Monthly warning 80 %" in words
    assert "Rolling warning 80 %" in words


def test_a_budget_past_its_last_day_is_closed(reader: Client) -> None:
    today = timezone.now().astimezone(UTC).date()
    ending = budget(ends_on=today)
    Budget.objects.filter(pk=ending.pk).update(ends_on=today - timedelta(days=1))
    assert listed(html_of(reader, f"{BUDGETS}?state=closed")) == [str(ending.pk)]
    assert listed(html_of(reader, f"{BUDGETS}?state=ok")) == []
    assert f"Ended on {today - timedelta(days=1)}" in html_of(reader, page_of(ending))


def queries(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_the_number_of_queries_does_not_grow_with_the_rows(reader: Client) -> None:
    def more(start: int, count: int) -> None:
        for number in range(start, start + count):
            budget(name=f"Budget {number}", limit="900.00", entity_id=f"bot-{number}", parent=fleet.pk)
            spend("1", entity_id=f"bot-{number}", entities={"user": f"u-{number}"})
            hold("0.5", entity=f"bot-{number}")

    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="1000.00", thresholds=[0.001])
    each = budget(name="Each", entity_type="user", entity_id="*", limit="0.50", enforcement="soft")
    paths = (
        BUDGETS, f"{BUDGETS}?state=exceeded", f"{BUDGETS}?state=ok", page_of(fleet), page_of(each), HOLDS, "/admin/",
    )  # fmt: skip
    more(0, 2)
    few = [queries(reader, path) for path in paths]
    more(2, 8)
    assert [queries(reader, path) for path in paths] == few
    assert max(few) <= 60


# --- The page -----------------------------------------------------------------------------------


def test_the_page_of_a_budget_tells_all_about_it(reader: Client) -> None:
    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="100.00")
    row = budget(
        parent=fleet.pk, thresholds=[0.5, 1.0], filters={"cost_type": ["tool"], "tags": {"env": "prod"}}
    )
    below = budget(name="Below", parent=row.pk, limit="2.00")
    placed = hold("1.00")
    assert Hold.objects.get(pk=placed.pk).parts.count() == 2
    spend("6", tags={"env": "prod"})
    html = html_of(reader, page_of(row))
    words = words_of(html)
    assert "$6.00 of $10.00 is spent or held (60 %), past the first threshold." in words
    assert "Limit $10.00 Settled $6.00 Held $0.00 Remaining $4.00 Used 60 % Burn rate" in words
    assert "aria-labelledby" in html
    assert "$6.00 settled and $0.00 held of a hard limit of $10.00." in html
    assert "Hard limit $10.00" in html
    assert "Nothing was spent in a complete bucket yet." in words
    assert "Fleet ok 7 % $100.00 ↳ Support bots warning 60 % $10.00 ↳ Below exceeded" in words
    assert "Cost type Tool Tag env=prod" in words
    assert f"{BUDGETS}{below.pk}/change/" in html
    now = timezone.now()
    key = f"{now:%Y-%m}"
    assert f"{key} 50 % $6.00" in words
    month_end = (now.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    link = (
        f"/admin/financial/costevent/?from={key}-01&to={month_end:%Y-%m-%d}&entity=agent%2Fsupport-bot"
        "&cost_type=tool&tag=env%3Dprod"
    )
    assert link in html
    ledger = html_of(reader, link)
    assert "$6.00" in words_of(ledger)
    assert ledger.count("/admin/financial/costevent/") > 1


def test_an_exceeded_hard_budget_shows_its_overruns_with_their_causes(reader: Client) -> None:
    row = budget(limit="1.00")
    first = hold("0.90")
    settle_hold(hold_id=first.pk, owner=None, settling=Settling(amount="1.40", currency="USD"))
    spend("2.00")
    words = words_of(html_of(reader, page_of(row)))
    assert "$3.40 is spent of $1.00. Every hold is refused until" in words
    assert "Remaining −$2.40" in words
    assert "cost above its hold $0.40 the cost its hold" in words
    assert "cost without a hold $2.00 the cost" in words
    assert BudgetOverrun.objects.count() == 2


def test_a_soft_budget_says_that_it_refuses_nothing(reader: Client) -> None:
    row = budget(limit="1.00", enforcement="soft")
    spend("2.00")
    words = words_of(html_of(reader, page_of(row)))
    assert "$2.00 is spent of $1.00. A soft budget tells, and refuses nothing." in words


def test_where_each_entity_has_an_allowance_they_are_listed_and_picked(reader: Client) -> None:
    row = budget(name="Each user", entity_type="user", entity_id="*", limit="3.00", enforcement="soft")
    for number in range(30):
        spend("4" if number == 29 else "1", entities={"user": f"u-{number:02}"})
    html = html_of(reader, page_of(row))
    words = words_of(html)
    assert "30 user allowances have a period now: 1 exceeded, 0 in warning." in words
    assert "u-29 exceeded 133 % $4.00 $0.00 −$1.00 $3.00" in words
    assert "u-04" not in words
    older = re.search(r'href="(\?cursor=[^"#]+)', html)
    assert older
    assert "u-04 ok 33.3 % $1.00" in words_of(html_of(reader, page_of(row) + older[1]))
    one = html_of(reader, f"{page_of(row)}?entity=u-29")
    assert "$4.00 is spent of $3.00." in words_of(one)
    assert "entity=user%2Fu-29" in one
    assert "u-01" not in words_of(one)
    assert reader.get(f"{page_of(row)}?entity=nobody").status_code == 404
    assert reader.get(f"{page_of(row)}?cursor=nowhere").status_code == 404


def test_the_burn_up_grows_day_by_day_to_what_is_settled(reader: Client) -> None:
    now = timezone.now()
    for days, amount in ((6, "1.00"), (3, "2.00"), (0, "4.00")):
        record(cost(now - timedelta(days=days), amount=amount, cost_type="tool"))
    row = budget(period="rolling:7d")
    html = html_of(reader, page_of(row))
    table = words_of(html[html.index("As a table") : html.index('id="overrides"')])
    days = [f"{now - timedelta(days=number):%Y-%m-%d}" for number in range(6, -1, -1)]
    sums = ["$1.00", "$1.00", "$1.00", "$3.00", "$3.00", "$3.00", "$7.00"]
    told = [f"{day} {amount}" for day, amount in zip(days, sums)]
    told[-1] = f"{days[-1]} so far $7.00"
    assert " ".join(told) in table
    assert "A rolling window has no end to forecast to." in words_of(html)


def test_a_forecast_is_drawn_and_told_in_words(reader: Client) -> None:
    now = timezone.now()
    record(*(cost(now - timedelta(days=days), amount="3.00", cost_type="tool") for days in range(40)))
    year = budget(period="year", limit="100000.00", enforcement="soft")
    html = html_of(reader, page_of(year))
    words = words_of(html)
    assert "Expected at the end of the period: $" in words
    assert "The limit of $100,000.00 is expected to last." in words
    assert ">Expected</tspan>" in html
    change_budget(budget_id=year.pk, limit="121.00")
    assert "At this pace the limit of $121.00 is reached at" in words_of(html_of(reader, page_of(year)))


def test_an_archived_budget_is_shown_and_can_no_more_be_changed(writer: Client) -> None:
    row = budget()
    archive_budget(budget_id=row.pk)
    html = html_of(writer, page_of(row))
    assert "it refuses nothing any more" in html
    assert f"{row.pk}/edit/" not in html
    for path in ("edit/", "more/", "archive/"):
        assert writer.post(f"{BUDGETS}{row.pk}/{path}", {**CONFIRMED, **MORE}).status_code == 403


# --- Forms --------------------------------------------------------------------------------------


def test_a_budget_is_set_by_its_form(writer: Client) -> None:
    spend("1.50")
    form = FORM | {
        "period": "rolling", "rolling_days": "30", "provider": "tavily, openai", "tags": "", "cost_type": ["tool"],
    }  # fmt: skip
    response = writer.post(f"{BUDGETS}new/", form)
    row = Budget.objects.get()
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    assert (row.limit, row.period, row.enforcement, row.thresholds) == (
        10 * NANO,
        "rolling:30d",
        "hard",
        [0.5, 0.8, 1],
    )
    assert row.filters == {"cost_type": ["tool"], "provider": ["openai", "tavily"]}
    assert BudgetPeriod.objects.get().settled == 1_500_000_000
    made = AuditEvent.objects.get(target_type="financial.Budget", target_id=str(row.pk))
    assert (made.action, made.actor_kind) == ("create", "user")


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"limit": "-1"}, "limit", "Must not be negative."),
        ({"limit": "1e3"}, "limit", None),
        ({"limit": "2000000000"}, "limit", "At most 1000000000."),
        ({"entity_id": ""}, "entity_id", "Is needed."),
        ({"thresholds": "80, 50"}, "thresholds", "Must be above the one before it."),
        ({"thresholds": "lots"}, "thresholds", "lots is not a number: write per cents such as 80, 100."),
        ({"period": "rolling"}, "period", None),
        ({"period": "rolling", "rolling_days": "400"}, "period", None),
        ({"timezone": "Mars/Olympus"}, "timezone", "Is not an IANA time zone."),
        ({"rollover": "capped"}, "rollover_cap", "Says how much rolls over at most."),
        ({"rollover_cap": "3"}, "rollover_cap", "Goes with the rollover capped alone."),
        ({"ends_on": "2020-01-01"}, "ends_on", "Lies in the past."),
        ({"starts_on": "soon"}, "starts_on", "Enter a valid date."),
        ({"tags": "env"}, "tags", "env is no tag: write name=value, one a line."),
        ({"cost_type": ["gold"]}, "cost_type", None),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    writer: Client, changes: dict[str, Any], field: str, sentence: str | None
) -> None:
    response = writer.post(f"{BUDGETS}new/", FORM | changes)
    errors = response.context["form"].errors
    assert list(errors) == [field]
    if sentence is not None:
        assert errors[field] == [sentence]
    assert errors[field][0] in unescape(response.content.decode())
    assert not Budget.objects.exists()


def test_a_child_above_its_parent_is_refused_beside_the_limit(writer: Client) -> None:
    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="5.00")
    response = writer.post(f"{BUDGETS}new/", FORM | {"parent": str(fleet.pk)})
    assert response.context["form"].errors["limit"] == ["Is more than the limit of its parent."]
    response = writer.post(f"{BUDGETS}new/", FORM | {"parent": str(fleet.pk), "limit": "5"})
    assert response.status_code == 302
    assert Budget.objects.get(name="Support bots").parent == fleet


def test_a_budget_is_changed_and_keeps_what_was_not_touched(writer: Client) -> None:
    row = budget(rollover="capped", rollover_cap="2.00", thresholds=[0.125, 1.0])
    form = writer.get(f"{BUDGETS}{row.pk}/edit/").context["form"]
    shown = {name: str(form.initial[name]) for name in form.fields}
    assert shown == {
        "name": "Support bots", "limit": "10.00", "enforcement": "hard", "thresholds": "12.5, 100",
        "rollover": "capped", "rollover_cap": "2.00", "ends_on": "",
    }  # fmt: skip
    # Somebody else changes the name while the form is open.
    change_budget(budget_id=row.pk, name="Bots of support")
    response = writer.post(f"{BUDGETS}{row.pk}/edit/", shown | {"name": "Bots of support", "limit": "4.00"})
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    row.refresh_from_db()
    assert (row.name, row.limit, row.rollover_cap, row.thresholds) == (
        "Bots of support",
        4 * NANO,
        2 * NANO,
        [0.125, 1],
    )
    assert BudgetPeriod.objects.get().limit == 4 * NANO
    response = writer.post(
        f"{BUDGETS}{row.pk}/edit/", shown | {"name": row.name, "limit": "x", "rollover": "none"}
    )
    assert set(response.context["form"].errors) == {"limit", "rollover_cap"}
    row.refresh_from_db()
    assert (row.limit, row.rollover) == (4 * NANO, "capped")


def test_a_budget_is_archived_after_a_question(writer: Client) -> None:
    row = budget()
    assert "Archive this budget?" in html_of(writer, f"{BUDGETS}{row.pk}/archive/")
    row.refresh_from_db()
    assert row.archived_at is None
    response = writer.post(f"{BUDGETS}{row.pk}/archive/", CONFIRMED)
    assert response["HX-Redirect"] == page_of(row)
    row.refresh_from_db()
    assert row.archived_at is not None


# --- Two people ---------------------------------------------------------------------------------


def test_what_one_asks_for_another_approves(client: Client, keeper: Client) -> None:
    asks = staff("financial:admin", username="ada")
    client.force_login(asks)
    row = budget()
    response = client.post(f"{BUDGETS}{row.pk}/more/", MORE)
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    override = BudgetOverride.objects.get()
    assert (override.amount, override.requested_by, override.approved_at) == (5 * NANO, asks, None)
    approve = f"{OVERRIDES}{override.pk}/approve/"
    own = html_of(client, page_of(row))
    assert "another person than you" in own
    assert approve not in own
    # Whoever asked is told so by the service, also past the page.
    refused = client.post(approve, CONFIRMED)
    assert refused["HX-Redirect"] == page_of(row)
    assert "Another person than the one who asked has to approve it." in html_of(client, page_of(row))
    override.refresh_from_db()
    assert (override.approved_at, BudgetPeriod.objects.get().raised) == (None, 0)
    assert approve in html_of(keeper, page_of(row))
    keeper.post(approve, CONFIRMED)
    override.refresh_from_db()
    assert override.approved_by == User.objects.get(username="bob")
    period = BudgetPeriod.objects.get()
    assert (period.raised, period.limit) == (5 * NANO, 15 * NANO)
    words = words_of(html_of(keeper, page_of(row)))
    assert "$5.00 approved 2030-01-01 00:00 Black Friday user ada bob Withdraw" in words
    assert "$5.00 more for Support bots approved" in words_of(html_of(keeper, page_of(override)))
    client.post(f"{OVERRIDES}{override.pk}/withdraw/", CONFIRMED)
    period.refresh_from_db()
    assert (period.raised, period.limit) == (0, 10 * NANO)


def test_overrides_that_wait_are_found(keeper: Client) -> None:
    row = budget()
    until = datetime(2030, 1, 1, tzinfo=UTC)
    with acting(Actor.user(staff(username="ada").pk)):
        waiting = request_override(budget_id=row.pk, amount="1.00", until=until, reason="A")
        approved = request_override(budget_id=row.pk, amount="2.00", until=until, reason="B")
    with acting(Actor.user(User.objects.get(username="bob").pk)):
        approve_override(override_id=approved.pk)
    for query, shown in (
        ("", {waiting, approved}),
        ("?state=open", {waiting}),
        ("?state=approved", {approved}),
    ):
        html = html_of(keeper, OVERRIDES + query)
        assert {each for each in (waiting, approved) if f"{each.pk}/change/" in html} == shown
    assert "user ada" in html_of(keeper, OVERRIDES)


def test_bad_requests_for_more_store_nothing(writer: Client) -> None:
    one = budget()
    each = budget(name="Each", entity_type="user", entity_id="*")
    for row, changes, field in (
        (one, {"amount": "0"}, "amount"),
        (one, {"until": "2020-01-01T00:00"}, "until"),
        (one, {"until": ""}, "until"),
        (one, {"reason": ""}, "reason"),
        (each, {"entity_id": "nobody"}, "entity_id"),
    ):
        response = writer.post(f"{BUDGETS}{row.pk}/more/", MORE | changes)
        assert list(response.context["form"].errors) == [field]
    assert not BudgetOverride.objects.exists()


# --- Holds --------------------------------------------------------------------------------------


def test_holds_are_listed_filtered_and_shown(reader: Client) -> None:
    row = budget()
    other = budget(name="Other", entity_id="other")
    mine, theirs, done = hold("1.00"), hold("2.00", owner="user:7", entity="other"), hold("0.5")
    settled = settle_hold(hold_id=done.pk, owner=None, settling=Settling(amount="0.25", currency="USD"))
    for query, shown in (
        ("", {mine, theirs}),
        ("?state=settled", {done}),
        ("?state=all", {mine, theirs, done}),
        ("?owner=user:7", {theirs}),
        ("?entity=agent/other", {theirs}),
        ("?entity=agent/unknown", set()),
        ("?entity=agent", set()),
        (f"?budget={row.pk}", {mine}),
        (f"?budget={other.pk}&state=all", {theirs}),
        ("?budget=nonsense", set()),
    ):
        html = html_of(reader, HOLDS + query)
        assert {each for each in (mine, theirs, done) if f"{HOLDS}{each.pk}/change/" in html} == shown, query
    words = words_of(html_of(reader, page_of(done)))
    assert "$0.50 set aside settled" in words
    assert settled.recorded is not None
    assert f"/admin/financial/costevent/{CostEvent.objects.get().pk}/change/" in html_of(
        reader, page_of(done)
    )
    html = html_of(reader, page_of(mine))
    assert "Takes of" in html
    assert "/release/" not in html
    assert "settle/" not in html


def test_whoever_keeps_the_money_releases_the_hold_of_another(writer: Client, keeper: Client) -> None:
    budget()
    row = hold("4.00", owner="user:7")
    assert writer.post(f"{HOLDS}{row.pk}/release/", CONFIRMED).status_code == 403
    assert BudgetPeriod.objects.get().held == 4 * NANO
    assert "Release this hold?" in html_of(keeper, f"{HOLDS}{row.pk}/release/")
    assert BudgetPeriod.objects.get().held == 4 * NANO
    response = keeper.post(f"{HOLDS}{row.pk}/release/", CONFIRMED)
    assert response["HX-Redirect"] == page_of(row)
    row.refresh_from_db()
    assert (row.state, BudgetPeriod.objects.get().held) == ("released", 0)
    assert keeper.post(f"{HOLDS}{row.pk}/release/", CONFIRMED).status_code == 403


# --- Who may ------------------------------------------------------------------------------------


def test_those_who_may_only_read_change_nothing(reader: Client) -> None:
    row = budget()
    until = datetime(2030, 1, 1, tzinfo=UTC)
    override = request_override(budget_id=row.pk, amount="1.00", until=until, reason="A")
    held = hold("1.00")
    before = list(Budget.objects.values()), list(BudgetOverride.objects.values()), list(Hold.objects.values())
    for path, form in (
        (f"{BUDGETS}new/", FORM), (f"{BUDGETS}{row.pk}/edit/", FORM), (f"{BUDGETS}{row.pk}/more/", MORE),
        (f"{BUDGETS}{row.pk}/archive/", CONFIRMED), (f"{OVERRIDES}{override.pk}/approve/", CONFIRMED),
        (f"{OVERRIDES}{override.pk}/withdraw/", CONFIRMED), (f"{HOLDS}{held.pk}/release/", CONFIRMED),
        (f"{BUDGETS}add/", FORM), (f"{BUDGETS}{row.pk}/delete/", {}), (page_of(row), {"name": "x"}),
    ):  # fmt: skip
        assert reader.post(path, form).status_code == 403, path
    after = list(Budget.objects.values()), list(BudgetOverride.objects.values()), list(Hold.objects.values())
    assert after == before
    html = html_of(reader, page_of(row))
    assert "/edit/" not in html
    assert "/withdraw/" not in html
    assert "/new/" not in html_of(reader, BUDGETS)


def test_whoever_may_write_cannot_approve(writer: Client) -> None:
    row = budget()
    override = request_override(
        budget_id=row.pk, amount="1.00", until=datetime(2030, 1, 1, tzinfo=UTC), reason="A"
    )
    assert writer.post(f"{OVERRIDES}{override.pk}/approve/", CONFIRMED).status_code == 403
    assert "/approve/" not in html_of(writer, page_of(row))
    override.refresh_from_db()
    assert override.approved_at is None


def test_strangers_to_money_see_nothing(client: Client) -> None:
    row = budget()
    client.force_login(staff("common:read"))
    for path in (BUDGETS, page_of(row), f"{BUDGETS}new/", OVERRIDES, HOLDS):
        assert client.get(path).status_code == 403, path
