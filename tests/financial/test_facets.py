"""Breakdowns by other entities and by tags: from rollups or from rows, the same numbers."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from agent_factory_site.common.errors import Invalid
from financial.domain.cost_input import CostInput, UsageInput
from financial.models import CostAttribution, CostEvent, CostFacetRollupDay
from financial.selectors.breakdown import cost_breakdown
from financial.services.build_rollups import build_rollups
from financial.services.record_costs import record_costs
from tests.financial.books import assert_books_agree

from .conftest import COSTS

pytestmark = pytest.mark.django_db

START, END = datetime(2026, 11, 1, 0, 7, tzinfo=UTC), datetime(2026, 11, 20, 3, 22, tzinfo=UTC)
FLEET = ("*", "*")


def record(first: int, count: int) -> None:
    costs = []
    for n in range(first, first + count):
        entities = {"user": f"u{n % 3}"} if n % 4 else {}
        if n % 2:
            entities["team"] = f"t{n % 2}"
        tags = {"env": ["prod", 'we"ird\\', "päron"][n % 3]} if n % 5 else {}
        costs.append(
            CostInput(
                source="s", event_id=str(n), occurred_at=START + timedelta(hours=7.3 * n),
                entity_type="agent", entity_id=f"a{n % 2}", entities=entities, tags=tags, cost_type="llm",
                provider="openai", model=["gpt-4o", "nobodys"][n % 7 == 0],
                usage=UsageInput(input_tokens=100 + n, output_tokens=n),
            )
        )  # fmt: skip
    assert len(record_costs(costs=costs).accepted) == count


def value_of(event: CostEvent, name: str) -> str | None:
    kind, _, key = name.partition(":")
    if kind == "tag":
        return event.tags.get(key)
    if kind == "entity":
        rows = CostAttribution.objects.filter(event=event.id, entity__type=key)
        return rows.values_list("entity__key", flat=True).first()
    if name == "day":
        return event.occurred_at.date().isoformat()
    return getattr(event.series, name) or None


def brute_force(entity, group_by, filters):
    expected = defaultdict(lambda: [0, 0, 0])
    for event in CostEvent.objects.filter(occurred_at__gte=START, occurred_at__lt=END).select_related(
        "series"
    ):
        seen = CostAttribution.objects.filter(event=event.id, entity__type=entity[0], entity__key=entity[1])
        if entity != FLEET and not seen.exists():
            continue
        if any(value_of(event, name) not in wanted for name, wanted in filters.items()):
            continue
        sums = expected[tuple(value_of(event, name) for name in group_by)]
        for index, value in enumerate((1, event.base_amount, event.input_tokens)):
            sums[index] += value
    return dict(expected)


CASES = [
    (FLEET, ["entity:agent"], {}),
    (FLEET, ["entity:user"], {}),
    (FLEET, ["day", "entity:user", "model"], {}),
    (FLEET, ["entity:user"], {"model": ["gpt-4o"]}),
    (FLEET, ["model"], {"entity:user": ["u1"]}),
    (FLEET, ["entity:team"], {"entity:user": ["u1", "u2"]}),
    (("agent", "a0"), ["entity:user"], {}),
    (("agent", "a1"), ["day", "entity:user"], {}),
    (("agent", "a1"), ["model"], {"entity:user": ["u0", "u2"]}),
    (("agent", "a1"), ["entity:user"], {"entity:user": ["u0", "nobody"]}),
    (FLEET, ["tag:env"], {}),
    (("agent", "a0"), ["tag:env", "day"], {}),
    (("user", "u1"), ["tag:env"], {}),
    (("agent", "a0"), ["day"], {"tag:env": ["prod"]}),
    (FLEET, ["tag:nothing"], {}),
    (("agent", "a1"), ["entity:user", "tag:env", "entity:team"], {}),
    (("agent", "a1"), ["tag:env"], {"tag:env": ['we"ird\\'], "entity:user": ["u1"]}),
    (("team", "t1"), ["entity:agent"], {"cost_type": ["tool"]}),
]


def check(cases=CASES):
    for entity, group_by, filters in cases:
        found = cost_breakdown(
            entity=entity, start=START, end=END, group_by=group_by, zone=UTC, filters=filters
        )
        actual = {g.key: [g.sums.events, g.sums.amount, g.sums.usage[0]] for g in found.groups}
        assert actual == brute_force(entity, group_by, filters), (entity, group_by, filters)


def test_groups_without_rollups_are_read_from_rows():
    record(0, 60)
    check()


def test_groups_with_rollups_are_the_same(settings):
    settings.COST_ROLLUP_PAIRS = ["agent:user", "user:team"]
    settings.COST_ROLLUP_TAGS = ["env"]
    assert build_rollups().built == ["any by tag:env", "agent by entity:user", "user by entity:team"]
    record(0, 60)
    settings.COST_MAX_SCAN = 0
    narrow = [case for case in CASES if len({*filter(lambda n: ":" in n, [*case[1], *case[2]])}) == 1]
    ruled = [case for case in narrow if "tag:nothing" not in case[1] and case[0][0] != "team"]
    check(ruled)
    assert_books_agree()


def test_rollups_built_later_hold_what_came_before(settings, capsys):
    record(0, 30)
    settings.COST_ROLLUP_PAIRS = ["agent:user"]
    settings.COST_ROLLUP_TAGS = ["env"]
    call_command("build_rollups")
    assert capsys.readouterr().out == "built: any by tag:env\nbuilt: agent by entity:user\n30 events read\n"
    record(30, 30)
    settings.COST_MAX_SCAN = 0
    check([(("agent", "a1"), ["day", "entity:user"], {}), (("agent", "a0"), ["tag:env"], {})])
    settings.COST_ROLLUP_PAIRS, settings.COST_ROLLUP_TAGS = [], []
    assert build_rollups().dropped == ["any by tag:env", "agent by entity:user"]
    assert CostFacetRollupDay.objects.count() == 0
    with pytest.raises(Invalid) as refusal:
        check([(("agent", "a1"), ["entity:user"], {})])
    assert refusal.value.code == "too_wide"


def test_a_badly_named_pair_is_refused(settings):
    settings.COST_ROLLUP_PAIRS = ["agent-user"]
    with pytest.raises(Invalid, match="agent-user"):
        build_rollups()


def test_over_the_api(api, cost, settings):
    api.post(COSTS, [cost(event_id="1"), cost(event_id="2", entities={"user": "u-18"}, tags={})])
    query = {"start": "2026-11-01", "end": "2026-12-01"}
    body = api.get(f"{COSTS}/agent/support-bot", group_by="entity:user,tag:env", **query).json()
    assert [group["key"] for group in body["breakdown"]] == [["u-17", "prod"], ["u-18", None]]
    body = api.get("/api/v1/financial/summary", group_by="entity:user", **{"tag:env": "prod"}, **query).json()
    assert [(group["key"], group["events"]) for group in body["breakdown"]] == [("u-17", 1)]
    settings.COST_MAX_SCAN = 1
    answer = api.get(f"{COSTS}/agent/support-bot", group_by="tag:env", **query)
    assert answer.status_code == 400
    assert answer.json()["code"] == "too_wide"
    assert answer.json()["settings"] == ["COST_MAX_SCAN", "COST_ROLLUP_PAIRS", "COST_ROLLUP_TAGS"]
    for bad in ("entity:", "tag:", "entity"):
        assert api.get("/api/v1/financial/summary", group_by=bad).status_code == 400
