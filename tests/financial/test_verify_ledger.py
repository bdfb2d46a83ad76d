"""verify_ledger: books that agree are said to, and each thing that was tampered with is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db.models import F

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.selectors.entities import FLEET, find_entities
from financial.domain.cost_input import Correction, CostInput, UsageInput
from financial.models import (
    CostAttribution,
    CostEvent,
    CostEventKey,
    CostFacetRollupDay,
    CostFacetRollupQuarter,
    CostRollupDay,
    CostRollupQuarter,
    ExchangeRate,
    PriceVersion,
    UnitPrice,
)
from financial.services.build_rollups import build_rollups
from financial.services.facets import active_dimensions
from financial.services.price_overrides import set_price_override
from financial.services.record_costs import record_costs
from financial.services.reprice import reprice
from financial.services.verify_ledger import VerifiedLedger, _days, _sum_day, verify_ledger
from financial.services.verify_quickly import QuickRows, quick_sums
from financial.services.verify_rows import PriceShelf
from tests.append_only import append_only_lifted
from tests.children import start_child
from tests.financial.books import assert_books_agree
from tests.processes import PATIENCE

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 2, 10, tzinfo=UTC)
RATES = {"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "2"}}


def item(n: int, **changes) -> CostInput:
    said = {
        "source": "s", "event_id": str(n), "occurred_at": START + timedelta(hours=5 * n),
        "entity_type": "agent", "entity_id": f"a{n % 2}",
        "entities": {"user": f"u{n % 3}"}, "tags": {"env": "prod"},
        "run_id": f"r{n}",
        "cost_type": "llm", "provider": "openai", "model": "gpt-4o",
        "usage": UsageInput(input_tokens=100 + n, cache_read_tokens=n, output_tokens=n),
    }  # fmt: skip
    return CostInput(**{**said, **changes})


@pytest.fixture
def books(db, settings):
    """A ledger with everything in it: facets, currencies, quantities, credits, corrections, repricings."""
    settings.COST_ROLLUP_PAIRS, settings.COST_ROLLUP_TAGS = ["agent:user"], ["env"]
    build_rollups()
    ExchangeRate.objects.create(base="EUR", quote="USD", day="2026-11-02", rate=1_083_333_333_333)
    UnitPrice.objects.create(
        cost_type="compute",
        unit="hour",
        price=3 * 10**12,
        currency="USD",
        valid_from=START - timedelta(days=1),
    )
    plain = {"usage": None, "provider": None, "model": None, "occurred_at": START}
    costs = [item(n) for n in range(8)] + [
        item(20, model="later", occurred_at=START),
        item(21, cost_type="tool", amount="0.10", currency="EUR", **plain),
        item(22, cost_type="compute", quantity="2.5", unit="hour", **plain),
        item(23, kind="credit", amount="-1.00", currency="USD", reason="goodwill", **plain),
        item(24, model="never", occurred_at=START),
    ]
    recorded = record_costs(costs=costs)
    assert len(recorded.accepted) == len(costs)
    tool = recorded.accepted[9].id
    fixes = [
        Correction(source="f", event_id=str(n), corrects=tool, amount="-0.033333333", reason="r")
        for n in range(2)
    ]
    assert len(record_costs(costs=fixes).accepted) == 2
    set_price_override(provider="openai", model="later", rates=RATES, valid_from=START - timedelta(days=1))
    assert reprice().newly_priced == 1
    assert_books_agree()
    return {event.event_id: event.pk for event in CostEvent.objects.all()}


def test_books_that_agree(books, capsys):
    outcome = verify_ledger()
    assert (outcome.findings.listed, outcome.rows, outcome.days, outcome.agrees) == ([], 16, 2, True)
    call_command("verify_ledger")
    assert capsys.readouterr().out == "16 rows recomputed, the rollups of 2 days compared\nAll agree.\n"
    assert verify_ledger(start=START + timedelta(days=1)).rows == 5
    assert verify_ledger(end=datetime(2026, 11, 3, tzinfo=UTC)).rows == 11
    assert verify_ledger(start=datetime(2027, 1, 1, tzinfo=UTC)).days == 0


def test_an_empty_ledger_agrees(db):
    assert verify_ledger().agrees


def changed(pk, **values):
    with append_only_lifted():
        assert CostEvent.objects.filter(pk=pk).update(**values) == 1


@pytest.mark.parametrize(
    ("event", "change", "kind", "words"),
    [
        ("3", {"amount": F("amount") + 1}, "amount", "recomputed 0.00028375 by"),
        ("3", {"input_tokens": 104}, "amount", "is 0.00028375, recomputed"),
        ("3", {"parts": {"input_tokens": 283_750}}, "amount", "its parts are not those of"),
        ("3", {"parts": {"input_tokens": 1}}, "parts", "its parts come to 0.000000001, not 0.00028375"),
        ("3", {"base_amount": 5}, "base_amount", "is 0.000000005, recomputed 0.00028375"),
        ("3", {"price_version": uuid7()}, "amount", "does not exist"),
        ("3", {"exchange": [2, 1]}, "exchange", "USD with the exchange [2, 1]"),
        ("3", {"event_id": "another"}, "key", "its event id is not among the keys"),
        ("3", {"occurred_at": START + timedelta(hours=15, seconds=1)}, "attribution", "at another time"),
        ("24", {"amount": 7}, "amount", "has no price, and yet 0.000000007"),
        ("22", {"quantity": 1}, "amount", "is 7.50, recomputed 0.000000003"),
        ("23", {"base_amount": -1}, "base_amount", "is -0.000000001, recomputed -1.00"),
        ("1/f", {"base_amount": 0}, "base_amount", "not to the exchange of 0.033333334"),
        ("1/f", {"amount": -(10**9)}, "correction", "comes to -0.933333333 with its corrections"),
        ("1/f", {"corrects": uuid7()}, "correction", "which is no charge"),
        ("1/f", {"run_id": "other"}, "correction", "has another run_id than what it corrects"),
        ("reprice", {"amount": 3}, "repricing", "is 0.000000003, recomputed"),
        ("reprice", {"unpriced": 0}, "rollup_quarter", "unpriced is 0, its rows 1"),
    ],
)
def test_each_tampered_row_is_named(books, event, change, kind, words):
    pk = (
        books.get(event)
        or CostEvent.objects.get(
            **({"source": "reprice"} if event == "reprice" else {"source": "f", "event_id": event[0]})
        ).pk
    )
    if "/" in event:
        pk = CostEvent.objects.get(source="f", event_id=event[0]).pk
    changed(pk, **change)
    outcome = verify_ledger()
    assert not outcome.agrees
    assert any(found.kind == kind and words in found.detail for found in outcome.findings.listed), [
        str(found) for found in outcome.findings.listed
    ]


def test_missing_keys_attributions_and_rows_are_named(books):
    with append_only_lifted():
        CostEventKey.objects.filter(event=books["1"]).delete()
        CostAttribution.objects.filter(event=books["2"], entity__type="agent").delete()
        CostEvent.objects.filter(pk=books["4"]).delete()
    findings = verify_ledger().findings
    said = {(found.kind, found.detail) for found in findings.listed}
    assert ("key", "its event id is not among the keys") in said
    assert ("attribution", "is not attributed to its own entity") in said
    assert ("attribution", "2 attributions name no event") in said
    assert ("rollup_day", "is missing") not in said
    assert findings.counts["rollup_quarter"] == 1 + 3


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (CostRollupQuarter, "rollup_quarter"),
        (CostRollupDay, "rollup_day"),
        (CostFacetRollupQuarter, "rollup_facet_quarter"),
        (CostFacetRollupDay, "rollup_facet_day"),
    ],
)
def test_tampered_rollups_are_named_and_repaired(books, model, kind, capsys):
    row = model.objects.filter(entity__type="agent", input_tokens__gt=0).order_by("pk").first()
    model.objects.filter(pk=row.pk).update(input_tokens=F("input_tokens") + 5, amount=F("amount") - 1)
    gone = model.objects.exclude(pk=row.pk).order_by("-pk").first()
    model.objects.filter(pk=gone.pk).delete()
    extra = model.objects.exclude(pk__in=[row.pk, gone.pk]).order_by("pk").first()
    extra.bucket += 200
    extra.series_id = gone.series_id
    model.objects.bulk_create([extra])
    nobody = model.objects.exclude(pk__in=[row.pk]).order_by("pk").first()
    nobody.entity_id = 10**9
    model.objects.bulk_create([nobody])
    with pytest.raises(SystemExit) as end:
        call_command("verify_ledger")
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert f"amount is {row.amount - 1}, its rows {row.amount}" in out
    assert f"input_tokens is {row.input_tokens + 5}, its rows {row.input_tokens}" in out
    assert "is missing" in out
    assert "stands for no row" in out
    outcome = verify_ledger(repair_rollups=True)
    assert set(outcome.findings.counts) == {kind}
    assert outcome.findings.counts[kind] == outcome.repaired == 4
    assert outcome.agrees
    assert verify_ledger().findings.counts.total() == 0
    assert_books_agree()
    audit = AuditEvent.objects.get(action="repair_rollups")
    assert audit.changes["rollups"] == outcome.repaired


def test_repairing_changes_no_row(books):
    changed(books["3"], amount=F("amount") + 1)
    outcome = verify_ledger(repair_rollups=True)
    assert not outcome.agrees
    assert CostEvent.objects.get(pk=books["3"]).amount == 283_751
    # The rollups follow the rows, whatever is in them.
    assert set(verify_ledger().findings.counts) == {"amount", "parts", "base_amount"}


def test_the_list_is_bounded_and_the_counts_are_not(db):
    for _ in range(3):
        record_costs(costs=[item(n, occurred_at=START + timedelta(minutes=15 * n)) for n in range(150)])
    CostRollupQuarter.objects.update(requests=1)
    findings = verify_ledger().findings
    assert (len(findings.listed), findings.counts["rollup_quarter"]) == (200, 450)


def test_it_can_be_done_while_costs_are_recorded(live_database):
    code = """
from datetime import UTC, datetime, timedelta
from financial.domain.cost_input import CostInput
from financial.services.record_costs import record_costs
print("ready", flush=True)
sys.stdin.readline()
for batch in range(40):
    record_costs(costs=[CostInput(
        source="s", event_id=f"{batch}-{n}",
        occurred_at=datetime(2026, 11, 2, tzinfo=UTC) + timedelta(minutes=n),
        entity_type="agent", entity_id="a", cost_type="tool", amount="0.01", currency="USD",
    ) for n in range(50)])
print("done", flush=True)
sys.stdin.readline()
"""
    child = start_child(code, 1, database=live_database)
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    seen = []
    while not seen or seen[-1] < 2000:
        outcome = verify_ledger()
        assert outcome.findings.listed == []
        seen.append(outcome.rows)
    child.communicate("end\n", timeout=PATIENCE)
    assert child.returncode == 0
    assert all(rows % 50 == 0 for rows in seen)
    assert PriceVersion.objects.count() == 0


def test_the_quick_way_sums_what_the_slow_way_does(books):
    days = _days(None, None)
    fleet = find_entities([FLEET])[FLEET]
    assert len(days) == 2
    for day in days:
        quick = quick_sums(day, active_dimensions(), fleet)
        whole = _sum_day(day, None, VerifiedLedger(), lambda rows: None)
        assert quick is not None
        assert quick.sums == whole.sums


def test_the_quick_way_leaves_few_rows_to_the_slow_one(books):
    left = set()
    for day in _days(None, None):
        for _, unproved in QuickRows(PriceShelf()).unproved(day):
            left |= set(unproved)
    rows = CostEvent.objects.in_bulk(left)
    corrected = set(CostEvent.objects.filter(kind="correction").values_list("corrects", flat=True))
    assert all(
        row.kind == "correction" or row.pk in corrected or row.unit_price_id or row.exchange
        for row in rows.values()
    )
    assert 0 < len(rows) < CostEvent.objects.count() / 2


def test_a_sum_that_is_out_of_range_is_named_all_the_same(books):
    for event in ("1", "2"):
        changed(books[event], input_tokens=2**62)
    changed(books["3"], input_tokens=2**63 - 1)
    outcome = verify_ledger()
    assert outcome.findings.counts["amount"] >= 1
    assert any("input_tokens is" in found.detail for found in outcome.findings.listed)
