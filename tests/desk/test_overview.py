"""The numbers of the landing page, to the nano-unit."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from agent_factory_site.common.caching import clear_committed_caches
from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import NANO
from agent_factory_site.desk.overview import Overview, read_overview
from tests.admin_data import cost, moment, record

pytestmark = pytest.mark.django_db

NOW = moment("2026-11-22T17:30")
CALL = 5_100_000
QUERIES = 16
"""Within a test; names that a process remembers once they are committed take five of them."""


def overview(stack_by: str = "cost_type", entity_type: str = "agent") -> Overview:
    return read_overview(now=NOW, stack_by=stack_by, entity_type=entity_type)


def test_days_and_months_are_kept_apart() -> None:
    record(
        cost("2026-11-22T00:00", amount="1", cost_type="tool"),
        cost("2026-11-22T17:29", amount="2", cost_type="tool"),
        cost("2026-11-21T23:59:59", amount="4", cost_type="tool"),
        cost("2026-11-01T00:00", amount="8", cost_type="tool"),
        cost("2026-10-31T23:59:59", amount="16", cost_type="tool"),
        cost("2026-10-22T17:30:01", amount="32", cost_type="tool"),
        cost("2026-10-22T17:29:59", amount="64", cost_type="tool"),
        cost("2026-10-01T00:00", amount="128", cost_type="tool"),
        cost("2026-09-30T23:59:59", amount="256", cost_type="tool"),
    )
    seen = overview()
    assert (seen.today.amount, seen.today.events) == (3 * NANO, 2)
    assert seen.yesterday.amount == 4 * NANO
    assert (seen.month.amount, seen.month.events) == (15 * NANO, 4)
    assert (seen.last_month.amount, seen.last_month.events) == (240 * NANO, 4)
    # Up to the very second that is as far into October as now is into November.
    assert seen.last_month_to_date == 192 * NANO
    assert (seen.window.period.first, seen.window.period.last) == (date(2026, 10, 24), date(2026, 11, 22))
    assert seen.window.amount == 31 * NANO


def test_a_longer_month_is_compared_with_the_whole_of_a_shorter_one() -> None:
    record(cost("2026-02-28T23:59", amount="5", cost_type="tool"))
    seen = read_overview(now=moment("2026-03-31T12:00"), stack_by="cost_type", entity_type="agent")
    assert seen.last_month_to_date == 5 * NANO
    assert seen.last_month.period.last == date(2026, 2, 28)


def test_the_chart_has_every_day_and_every_series() -> None:
    record(
        cost("2026-11-22T10:00"),
        cost("2026-11-20T10:00", provider="anthropic", model="claude-sonnet-4-5"),
        cost("2026-10-24T00:00", amount="7", cost_type="human"),
        cost("2026-10-23T23:59", amount="9", cost_type="human"),
    )
    by_type = overview()
    assert len(by_type.days) == 30
    assert [stack.name for stack in by_type.stacks] == ["human", "llm"]
    assert by_type.stacks[0].amounts == [7 * NANO] + [0] * 29
    assert by_type.stacks[1].amounts[29] == CALL
    by_model = overview("model")
    assert [stack.name for stack in by_model.stacks] == ["", "claude-sonnet-4-5", "gpt-4o"]
    assert sum(stack.total for stack in by_model.stacks) == by_type.window.amount


def test_unknown_prices_are_counted_and_not_summed() -> None:
    record(
        cost("2026-11-22T10:00", provider="selfhosted", model="llama-x"),
        cost("2026-11-22T10:00"),
    )
    seen = overview()
    assert (seen.window.unpriced, seen.window.events, seen.window.amount) == (1, 2, CALL)
    unknown = next(row for row in seen.models if row.name == "llama-x")
    assert (unknown.unpriced, unknown.events, unknown.amount) == (1, 1, 0)


def test_top_spenders_are_compared_with_the_days_before() -> None:
    record(
        cost("2026-11-10T10:00", amount="10", cost_type="tool", entities={"team": "emea"}),
        cost("2026-10-10T10:00", amount="4", cost_type="tool", entities={"team": "emea"}),
        cost("2026-11-10T10:00", amount="11", cost_type="tool", entity_id="new-bot"),
        cost("2026-10-10T10:00", amount="99", cost_type="tool", entity_id="gone-bot"),
    )
    Entity.objects.filter(type="agent", key="new-bot").update(name="Brand new")
    agents = overview()
    assert agents.entity_types == ["agent", "team"]
    assert [(row.name, row.label, row.amount, row.before) for row in agents.entities] == [
        ("new-bot", "Brand new", 11 * NANO, 0),
        ("support-bot", "", 10 * NANO, 4 * NANO),
    ]
    teams = overview(entity_type="team")
    assert [(row.name, row.amount) for row in teams.entities] == [("emea", 10 * NANO)]
    assert overview(entity_type="nonsense").entity_type == "agent"


def test_an_empty_ledger_has_no_date() -> None:
    seen = overview()
    assert seen.recorded_at is None
    assert (seen.stacks, seen.models, seen.entities, seen.imports) == ([], [], [], [])


def test_the_number_of_queries_does_not_grow(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    record(cost("2026-11-22T10:00"), cost("2026-10-01T10:00"))
    clear_committed_caches()
    with django_assert_num_queries(QUERIES):
        overview()
    record(
        *(
            cost(NOW - timedelta(days=number % 60), entity_id=f"agent-{number}", model=f"model-{number % 20}")
            for number in range(200)
        )
    )
    clear_committed_caches()
    with django_assert_num_queries(QUERIES):
        assert len(overview().entities) == 8
