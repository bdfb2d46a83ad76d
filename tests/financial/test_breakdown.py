"""Breakdowns equal a brute force over the rows, in every zone, at every edge."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from financial.domain.cost_input import CostInput, UsageInput
from financial.models import CostEvent, CostRollupDay
from financial.selectors.breakdown import cost_breakdown
from financial.services.record_costs import record_costs
from tests.effort import examples

from .conftest import COSTS

pytestmark = pytest.mark.django_db

START = datetime(2026, 10, 24, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata"]
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("own", "unknown-7b"),
]


def key_of(moment: datetime, unit: str, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    if unit == "hour":
        return local.replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")
    if unit == "week":
        return (local.date() - timedelta(days=local.weekday())).isoformat()
    return local.date().isoformat() if unit == "day" else f"{local:%Y-%m}"


offsets = st.integers(0, 16 * 86_400 * 4).map(lambda n: timedelta(seconds=n / 4))
events = st.lists(
    st.tuples(offsets, st.integers(0, 3), st.integers(0, 2000), st.sampled_from(["a", "b"])), max_size=25
)


@settings(
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    events,
    offsets,
    offsets,
    st.sampled_from(ZONES),
    st.sampled_from(["hour", "day", "week", "month"]),
    st.lists(st.sampled_from(["provider", "model", "cost_type"]), unique=True, max_size=2),
)
def test_any_range_zone_and_grouping_equals_brute_force(
    django_db_blocker, sent, one, other, zone, unit, dimensions
):
    from django.db import transaction

    tz = ZoneInfo(zone)
    with transaction.atomic():
        costs = [
            CostInput(
                source="s", event_id=str(n), occurred_at=START + at, entity_type="agent", entity_id=agent,
                cost_type="llm", provider=MODELS[m][0], model=MODELS[m][1],
                usage=UsageInput(input_tokens=tokens + 7, output_tokens=tokens),
            )
            for n, (at, m, tokens, agent) in enumerate(sent)
        ]  # fmt: skip
        assert len(record_costs(costs=costs).accepted) == len(costs)
        start, end = START + min(one, other), START + max(one, other) + timedelta(microseconds=1)
        group_by = [unit, *dimensions]
        found = cost_breakdown(entity=("agent", "a"), start=start, end=end, group_by=group_by, zone=tz)
        expected: dict[tuple, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for event in CostEvent.objects.filter(
            entity__key="a", occurred_at__gte=start, occurred_at__lt=end
        ).select_related("series"):
            key = tuple(
                key_of(event.occurred_at, unit, tz) if g == unit else getattr(event.series, g)
                for g in group_by
            )
            for index, value in enumerate((1, int(event.unpriced), event.base_amount, event.output_tokens)):
                expected[key][index] += value
        actual = {
            group.key: [group.sums.events, group.sums.unpriced, group.sums.amount, group.sums.usage[4]]
            for group in found.groups
        }
        assert actual == dict(expected)
        assert found.total.amount == sum(row[2] for row in expected.values())
        assert cost_breakdown(entity=("agent", "a"), start=start, end=end, zone=tz).total == found.total
        transaction.set_rollback(True)


def test_the_shape_of_an_answer(api, cost):
    api.post(COSTS, [
        cost(event_id="1"),
        cost(event_id="2", occurred_at="2026-11-03T00:00:00Z"),
        cost(event_id="3", usage=..., provider=..., model=..., cost_type="tool", amount="2.50", currency="USD"),
    ])  # fmt: skip
    answer = api.get(f"{COSTS}/agent/support-bot", start="2026-11-01", end="2026-12-01", group_by="day,model")
    body = answer.json()
    assert answer.status_code == 200
    assert list(body) == ["entity_type", "entity_id", "start", "end", "currency", "total", "breakdown"]
    assert (body["start"], body["end"], body["currency"]) == (
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
        "USD",
    )
    assert body["total"]["amount"] == "2.5102"
    assert body["total"]["events"] == 3
    assert [(group["key"], group["amount"], group["events"]) for group in body["breakdown"]] == [
        (["2026-11-02", None], "2.50", 1),
        (["2026-11-02", "gpt-4o"], "0.0051", 1),
        (["2026-11-03", "gpt-4o"], "0.0051", 1),
    ]
    assert body["breakdown"][1]["usage"]["cache_read_tokens"] == 800
    one = api.get(
        f"{COSTS}/agent/support-bot", start="2026-11-01", end="2026-12-01", group_by="cost_type"
    ).json()
    assert [(group["key"], group["amount"]) for group in one["breakdown"]] == [
        ("tool", "2.50"),
        ("llm", "0.0102"),
    ]


def test_every_entity_sees_the_cost_and_the_fleet_counts_it_once(api, cost):
    api.post(COSTS, cost())
    for kind, key in (
        ("agent", "support-bot"),
        ("user", "u-17"),
        ("team", "emea"),
        ("experiment", "prompt-v2"),
    ):
        body = api.get(f"{COSTS}/{kind}/{key}", start="2026-11-01", end="2026-12-01").json()
        assert body["total"]["amount"] == "0.0051"
    summary = api.get("/api/v1/financial/summary", start="2026-11-01", end="2026-12-01").json()
    assert (summary["total"]["amount"], summary["total"]["events"]) == ("0.0051", 1)
    assert "entity_id" not in summary


def test_a_never_seen_entity_has_nothing(api):
    body = api.get(f"{COSTS}/agent/nobody").json()
    assert (body["total"]["events"], body["total"]["amount"], body["breakdown"]) == (0, "0.00", [])


@pytest.mark.parametrize(
    "name", ["team/a/b", "päron", "100%", "a b", "x?y", "https://x.org/~me", "..", "a\\b"]
)
def test_entity_ids_are_the_rest_of_the_path(api, cost, name):
    api.post(COSTS, cost(entity_id=name, entities={}))
    for path in (quote(name), quote(name, safe="")):
        body = api.get(f"{COSTS}/agent/{path}", start="2026-11-01", end="2026-12-01").json()
        assert (body["entity_id"], body["total"]["events"]) == (name, 1)


def test_dates_are_read_in_the_zone_asked_for(api, cost):
    api.post(COSTS, cost(occurred_at="2026-11-01T18:20:00Z"))
    kathmandu = api.get(
        f"{COSTS}/agent/support-bot", start="2026-11-02", end="2026-11-03", tz="Asia/Kathmandu"
    ).json()
    assert kathmandu["start"] == "2026-11-01T18:15:00Z"
    assert [group["key"] for group in kathmandu["breakdown"]] == ["2026-11-02"]
    assert (
        api.get(f"{COSTS}/agent/support-bot", start="2026-11-02", end="2026-11-03").json()["breakdown"] == []
    )


def test_filters_narrow_a_breakdown(api, cost):
    api.post(COSTS, [cost(event_id="1"), cost(event_id="2", model="gpt-4o-mini")])
    query = {"start": "2026-11-02T10:05:00Z", "end": "2026-12-01", "group_by": "model"}
    body = api.get("/api/v1/financial/summary", model="gpt-4o", **query).json()
    assert [group["key"] for group in body["breakdown"]] == ["gpt-4o"]
    both = api.get(
        "/api/v1/financial/summary", model=["gpt-4o", "gpt-4o-mini"], provider="openai", **query
    ).json()
    assert both["total"]["events"] == 2
    assert api.get("/api/v1/financial/summary", cost_type="tool", **query).json()["total"]["events"] == 0


def test_the_default_is_this_month_by_day(api, cost, monkeypatch):
    monkeypatch.setattr("financial.api.ranges._now", lambda: datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    monkeypatch.setattr(
        "financial.api.ranges.timezone.now", lambda: datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    )
    body = api.get("/api/v1/financial/summary").json()
    assert (body["start"], body["end"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
    berlin = api.get("/api/v1/financial/summary", tz="Europe/Berlin").json()
    assert (berlin["start"], berlin["end"]) == ("2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"start": "2026-11-02", "end": "2026-11-02"}, "end"),
        ({"start": "2026-11-03", "end": "2026-11-02"}, "end"),
        ({"tz": "Mars/Base"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "day,"}, "group_by"),
        ({"group_by": "day,day"}, "group_by"),
        ({"group_by": ["day", "week"]}, "group_by"),
        ({"start": "soon"}, "start"),
        ({"start": "2026-13-01"}, "start"),
        ({"end": "0001-01-01"}, "end"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_queries_are_named(api, query, parameter):
    answer = api.get("/api/v1/financial/summary", **query)
    assert answer.status_code == 400
    assert parameter in [error["parameter"] for error in answer.json()["errors"]]


def test_a_range_from_the_beginning_to_the_end_of_time(api, cost):
    api.post(COSTS, cost())
    for zone in ("UTC", "Asia/Tokyo"):
        body = api.get(
            "/api/v1/financial/summary", start="0001-01-02", end="9999-12-30", tz=zone, group_by="month"
        ).json()
        assert [group["key"] for group in body["breakdown"]] == ["2026-11"]


def test_a_month_is_read_in_a_fixed_number_of_queries(api, cost, django_assert_max_num_queries):
    api.post(COSTS, [cost(event_id=str(n), occurred_at=f"2026-11-{n:02d}T10:10:00Z") for n in range(1, 21)])
    zone = ZoneInfo("Europe/Berlin")
    start, end = datetime(2026, 10, 20, 1, 2, 3, tzinfo=zone), datetime(2026, 11, 20, 4, 5, 6, tzinfo=zone)
    # The entity, two ragged ends of rows and of quarter hours, whole days on each side of the change of clocks,
    # the two pieces of its day, archived months, names of series.
    with django_assert_max_num_queries(11):
        cost_breakdown(
            entity=("agent", "support-bot"), start=start, end=end, group_by=["day", "model"], zone=zone
        )


def test_a_sum_past_64_bits_is_refused_by_name(api, cost):
    api.post(COSTS, [cost(event_id="1"), cost(event_id="2", occurred_at="2026-11-03T00:00:00Z")])
    CostRollupDay.objects.update(base_amount=2**63 - 1)
    answer = api.get("/api/v1/financial/summary", start="2026-11-01", end="2026-12-01")
    assert answer.status_code == 400
    assert answer.json()["code"] == "sum_too_large"
