"""Totals of a filtered list: from rollups and from rows they are the same, and a sum has its bound."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from agent_factory_site.common.money import NANO
from financial.domain.cost_input import Correction
from financial.models import CostEvent
from financial.selectors.breakdown import CostSums
from financial.selectors.cost_events import CostFilters
from financial.selectors.cost_totals import TOO_MANY, cost_totals
from financial.services.record_costs import record_costs
from tests.admin_data import cost, moment, record

pytestmark = pytest.mark.django_db

CALL = 5_100_000


def totals(**filters: object) -> CostSums:
    found = cost_totals(CostFilters(**filters))  # type: ignore[arg-type]
    assert found != TOO_MANY
    return found  # type: ignore[return-value]


@pytest.fixture
def ledger() -> None:
    first, *_ = record(
        cost("2026-11-02T10:11", tags={"env": "prod"}, run_id="run-1", entities={"team": "emea"}),
        cost("2026-11-02T10:12", tags={"env": "staging"}, source="edge"),
        cost(
            "2026-11-03T00:00",
            amount="2.5",
            cost_type="tool",
            tags={"env": "prod"},
            entities={"team": "emea"},
        ),
        cost("2026-11-04T00:00", provider="selfhosted", model="llama-x"),
    )
    correction = Correction(
        source="tests", event_id="c-1", corrects=first, amount="-0.001", reason="a refund"
    )
    assert not record_costs(costs=[correction]).rejected


@pytest.mark.usefixtures("ledger")
def test_rollups_and_rows_agree() -> None:
    # The run id, the source and the tag are no dimension of the rollups.
    assert (totals().amount, totals().events, totals().unpriced) == (
        2 * CALL - NANO // 1000 + 5 * NANO // 2,
        4,
        1,
    )
    assert totals(run_id="run-1") == CostSums(
        1, 0, CALL - NANO // 1000, (1200, 800, 0, 0, 310, 0, 0, 0, 0, 0)
    )
    assert totals(source="edge") == CostSums(1, 0, CALL, (1200, 800, 0, 0, 310, 0, 0, 0, 0, 0))
    assert (totals(tags=(("env", "prod"),)).amount, totals(tags=(("env", "prod"),)).events) == (
        CALL - NANO // 1000 + 5 * NANO // 2,
        2,
    )
    assert totals(unpriced=True).events == 1
    for filters in (
        {},
        {"entity_type": "team", "entity_id": "emea"},
        {"cost_type": "llm"},
        {"model": "gpt-4o"},
    ):
        by_rollup = totals(**filters)
        by_rows = [totals(source=source, **filters) for source in ("gateway", "edge", "tests")]
        assert by_rollup.amount == sum(sums.amount for sums in by_rows)
        assert by_rollup.events == sum(sums.events for sums in by_rows)
        assert by_rollup.usage == tuple(map(sum, zip(*(sums.usage for sums in by_rows))))


@pytest.mark.usefixtures("ledger")
def test_a_period_is_half_open() -> None:
    assert totals(start=moment("2026-11-03"), end=moment("2026-11-04")).amount == 5 * NANO // 2
    assert (
        totals(start=moment("2026-11-03"), end=moment("2026-11-04"), source="gateway").amount == 5 * NANO // 2
    )


@pytest.mark.usefixtures("ledger")
def test_an_entity_that_was_never_seen_has_nothing() -> None:
    assert totals(entity_type="agent", entity_id="nobody") == CostSums(0, 0, 0, (0,) * 10)
    assert totals(entity_type="agent", entity_id="nobody", source="edge") == CostSums(0, 0, 0, (0,) * 10)


@pytest.mark.usefixtures("ledger")
def test_rows_are_summed_up_to_a_bound_and_rollups_beyond_it(settings: Settings) -> None:
    settings.COST_MAX_SUMMED_ROWS = 2
    assert cost_totals(CostFilters(source="gateway")) == TOO_MANY
    assert totals(source="edge").events == 1
    assert totals().events == 4
    settings.COST_MAX_SUMMED_ROWS = CostEvent.objects.filter(source="gateway").count()
    assert totals(source="gateway").events == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [("1", "a"), ('q"uote', "b"), ("dotted.key", "c"), ("back\\slash", "d"), ("$", "%s"), ("ключ", "й")],
)
def test_any_name_of_a_tag_is_found(key: str, value: str) -> None:
    record(cost("2026-11-02", tags={key: value}), cost("2026-11-02", tags={key: "other", "x": value}))
    assert totals(tags=((key, value),)).events == 1
