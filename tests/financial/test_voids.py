"""Charges that are taken back: what they cost, what they used and that they had no price."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum

from financial.domain.cost_input import Correction, CostInput, UsageInput
from financial.models import CostEvent, CostRollupDay
from financial.selectors.breakdown import cost_breakdown
from financial.selectors.run_costs import RunCost, run_costs
from financial.services.price_overrides import set_price_override
from financial.services.record_costs import record_costs
from financial.services.reprice import reprice
from financial.services.verify_ledger import verify_ledger
from financial.services.voids import void_charges

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def charged(event_id: str = "c-1", model: str = "gpt-4o", **rest: Any) -> UUID:
    values: dict[str, Any] = {
        "source": "tests",
        "event_id": event_id,
        "occurred_at": NOON,
        "entity_type": "agent",
        "entity_id": "bot",
        "cost_type": "llm",
        "provider": "openai",
        "model": model,
        "usage": UsageInput(input_tokens=1000, cache_read_tokens=100, output_tokens=10),
        "run_id": "r-1",
    }
    outcome = record_costs(costs=[CostInput(**{**values, **rest})])
    assert not outcome.rejected
    return outcome.accepted[0].id


def sums() -> dict[str, Any]:
    names = ("unpriced", "amount", "base_amount", "input_tokens", "cache_read_tokens", "output_tokens")
    found = CostRollupDay.objects.aggregate(**{name: Sum(name) for name in names})
    return {name: int(found[name]) for name in names}


@pytest.mark.parametrize("model", ["gpt-4o", "nobody-sells-this"])
def test_nothing_is_left_of_a_charge_that_is_taken_back(model: str) -> None:
    charge = charged(model=model)
    assert run_costs(["r-1"])["r-1"].charges == 1
    assert void_charges(reasons={charge: "It was another's."}) == {charge}
    assert sums() == dict.fromkeys(sums(), 0)
    assert run_costs(["r-1"])["r-1"] == RunCost()
    row = CostEvent.objects.get(corrects=charge)
    assert (row.kind, row.source, row.reason, row.input_tokens) == (
        "correction",
        "void",
        "It was another's.",
        -1000,
    )
    assert row.unpriced == (-1 if model == "nobody-sells-this" else 0)
    assert not verify_ledger().findings.counts


@pytest.mark.parametrize("minutes", [60, 14], ids=["rollups", "rows"])
def test_breakdowns_count_the_rows_of_charges_whatever_became_of_them(minutes: int) -> None:
    void_charges(reasons={charged(): "It was another's."})
    charged("c-2")
    # A quarter hour that the range cuts through is read from rows.
    end = NOON + timedelta(minutes=minutes)
    found = cost_breakdown(start=NOON, end=end, zone=UTC, group_by=["model"])
    for sums_of in (found.total, found.groups[0].sums):
        assert (sums_of.events, sums_of.unpriced, sums_of.usage[0]) == (2, 0, 1000)
        assert sums_of.amount == CostEvent.objects.get(event_id="c-2").base_amount


def test_a_charge_is_taken_back_once() -> None:
    charge = charged()
    assert void_charges(reasons={charge: "first"}) == {charge}
    assert void_charges(reasons={charge: "second"}) == set()
    assert CostEvent.objects.count() == 2


def test_what_was_corrected_is_taken_back_as_it_stands() -> None:
    charge = charged(usage=None, provider=None, model=None, amount="3", currency="USD")
    correction = Correction(source="tests", event_id="fix", corrects=charge, amount="-1", reason="less")
    assert not record_costs(costs=[correction]).rejected
    assert void_charges(reasons={charge: "gone", correction_of(charge): "no charge"}) == {charge}
    assert sums()["amount"] == 0
    assert not verify_ledger().findings.counts


def correction_of(charge: UUID) -> UUID:
    return CostEvent.objects.get(corrects=charge).id


def test_what_was_taken_back_is_neither_corrected_nor_repriced() -> None:
    charge = charged(model="nobody-sells-this")
    void_charges(reasons={charge: "gone"})
    correction = Correction(source="tests", event_id="fix", corrects=charge, amount="1", reason="more")
    (errors,) = record_costs(costs=[correction]).rejected.values()
    assert [one.code for one in errors] == ["voided_event"]
    rates = {"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "2"}}
    set_price_override(
        provider="openai",
        model="nobody-sells-this",
        rates=rates,
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    outcome = reprice(include_corrected=True)
    assert (outcome.events, dict(outcome.left_alone)) == (0, {"voided": 1})
    assert sums() == dict.fromkeys(sums(), 0)


def test_nobody_else_sends_under_the_name_of_voids() -> None:
    charge = charged()
    correction = Correction(source="void", event_id=str(charge), corrects=charge, amount="-1", reason="mine")
    (errors,) = record_costs(costs=[correction]).rejected.values()
    assert [one.code for one in errors] == ["reserved"]


def test_a_void_that_leaves_something_is_found() -> None:
    charge = charged()
    void_charges(reasons={charge: "gone"})
    row = CostEvent.objects.get(corrects=charge)
    row.pk, row.event_id = UUID(int=7), "another"
    CostEvent.objects.bulk_create([row])
    said = [one.detail for one in verify_ledger().findings.listed]
    assert "was taken back, and yet something is left of it" in said
