"""Repricing: differences are booked as corrections, exactly, once, and never edited in."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db.models import Sum

from agent_factory_site.common.errors import Invalid
from financial.domain.cost_input import CostInput, UsageInput
from financial.models import CostEvent, CostSeries, ExchangeRate, PriceVersion, UnitPrice
from financial.services.price_overrides import archive_price, change_price, set_price_override
from financial.services.record_costs import record_costs
from financial.services.reprice import ModelChange, reprice
from tests.append_only import append_only_lifted
from tests.financial.books import assert_books_agree
from tests.processes import PATIENCE

from .child import finish, start
from .conftest import COSTS

pytestmark = pytest.mark.django_db
DAY = datetime(2026, 11, 2, tzinfo=UTC)
MONTH = {"start": "2026-11-01", "end": "2026-12-01"}
CHEAP = {"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "2"}}
DEAR = {"input_tokens": {"per_million": "10"}, "output_tokens": {"per_million": "20"}}


def override(rates, model="house-model", provider="vllm", **changes) -> PriceVersion:
    return set_price_override(
        provider=provider, model=model, rates=rates, valid_from=datetime(2026, 1, 1, tzinfo=UTC), **changes
    )


def charge(api, cost, **changes):
    return api.post(COSTS, cost(**{"provider": "vllm", "model": "house-model", **changes})).json()


def total(api):
    return api.get(f"{COSTS}/agent/support-bot", **MONTH).json()["total"]


def test_a_price_that_appears_prices_what_was_unpriced(api, cost):
    event = charge(api, cost)
    assert (event["amount"], total(api)["unpriced"]) == (None, 1)
    price = override(CHEAP)
    outcome = reprice()
    assert (outcome.read, outcome.events, outcome.newly_priced, outcome.amount) == (1, 1, 1, 1_820_000)
    assert total(api)["amount"] == "0.00182"
    assert (total(api)["unpriced"], total(api)["events"]) == (0, 1)
    row = CostEvent.objects.get(kind="correction")
    assert (row.source, row.event_id) == ("reprice", f"{event['id']}/{price.pk}")
    assert (row.amount, row.unpriced, row.price_version_id) == (1_820_000, -1, price.pk)
    assert row.parts == {"input_tokens": 400_000, "cache_read_tokens": 800_000, "output_tokens": 620_000}
    assert row.reason == f"Priced by {price.pk}, without a price before."
    assert (row.occurred_at, row.run_id, row.tags) == (
        datetime(2026, 11, 2, 10, 11, 12, 500_000, UTC), "run-7", {"env": "prod"},
    )  # fmt: skip
    assert api.get(COSTS, unpriced="true").json()["results"] == []
    assert reprice().events == 0
    assert_books_agree()


def test_a_free_model_is_priced_with_an_amount_of_zero(api, cost):
    charge(api, cost)
    override({"input_tokens": {"per_million": "0"}, "output_tokens": {"per_million": "0"}})
    assert (reprice().newly_priced, reprice().newly_priced) == (1, 0)
    row = CostEvent.objects.get(kind="correction")
    assert (row.amount, row.unpriced) == (0, -1)
    assert (total(api)["amount"], total(api)["unpriced"]) == ("0.00", 0)
    assert_books_agree()


def test_prices_that_change_and_come_back(api, cost):
    first = override(DEAR)
    event = charge(api, cost)
    assert event["amount"] == "0.0182"
    archive_price(price_id=first.pk)
    cheap = override(CHEAP)
    assert reprice().amount == -16_380_000
    assert total(api)["amount"] == "0.00182"
    archive_price(price_id=cheap.pk)
    assert reprice().left_alone == {"no_price": 1}
    again = override(DEAR)
    assert reprice().amount == 16_380_000
    assert total(api)["amount"] == "0.0182"
    assert reprice().events == 0
    rows = CostEvent.objects.filter(kind="correction").order_by("id")
    assert [row.event_id for row in rows] == [f"{event['id']}/{cheap.pk}", f"{event['id']}/{again.pk}"]
    assert [row.reason for row in rows] == [
        f"Repriced from {first.pk} to {cheap.pk}.",
        f"Repriced from {cheap.pk} to {again.pk}.",
    ]
    assert_books_agree()


def test_the_same_price_that_comes_back_twice_is_booked_twice(api, cost):
    event = charge(api, cost)
    assert event["amount"] is None
    cheap = override(CHEAP)
    reprice()
    # Two prices by turns: an end that is set and opened again.
    earlier = DAY - timedelta(days=30)
    dear = cheap
    for amount in ("0.0182", "0.00182", "0.0182"):
        if amount == "0.00182":
            archive_price(price_id=dear.pk)
            change_price(price_id=cheap.pk, valid_to=None)
        else:
            change_price(price_id=cheap.pk, valid_to=earlier)
            dear = set_price_override(provider="vllm", model="house-model", rates=DEAR, valid_from=earlier)
        assert reprice().events == 1
        assert total(api)["amount"] == amount
    names = CostEvent.objects.filter(kind="correction").order_by("id").values_list("event_id", flat=True)
    assert [name.endswith(f"{cheap.pk}/2") for name in names] == [False, False, True, False]
    assert_books_agree()


def test_corrections_by_hand_are_left_alone_unless_asked_for(api, cost):
    first = override(DEAR)
    event = charge(api, cost)
    api.post(
        COSTS, {"source": "f", "event_id": "1", "corrects": event["id"], "amount": "-0.01", "reason": "r"}
    )
    archive_price(price_id=first.pk)
    cheap = override(CHEAP)
    assert (reprice().events, reprice().left_alone) == (0, {"corrected": 1})
    # 0.0082 is left, 0.01638 less would be below nothing.
    assert reprice(include_corrected=True).left_alone == {"below_zero": 1}
    archive_price(price_id=cheap.pk)
    override({"input_tokens": {"per_million": "9"}, "output_tokens": {"per_million": "18"}})
    assert reprice(include_corrected=True).amount == -1_820_000
    assert total(api)["amount"] == "0.00638"
    assert_books_agree()


def test_quantities_are_priced_again_by_their_unit_price(api, cost):
    hours = {
        "usage": ...,
        "provider": ...,
        "model": ...,
        "cost_type": "compute",
        "quantity": "2.5",
        "unit": "hour",
    }
    api.post(COSTS, cost(**hours))
    api.post(COSTS, cost(**hours, event_id="other"))
    UnitPrice.objects.create(
        cost_type="compute", unit="hour", price=3 * 10**12, currency="USD", valid_from=DAY - timedelta(days=9)
    )
    assert (reprice().newly_priced, total(api)["amount"]) == (2, "15.00")
    assert CostEvent.objects.filter(kind="correction", unit_price__isnull=False).count() == 2
    assert reprice().events == 0
    assert_books_agree()


def test_a_price_in_another_currency_is_converted_by_the_rate_of_the_day(api, cost):
    charge(api, cost)
    override(CHEAP, currency="EUR")
    assert reprice().left_alone == {"no_exchange_rate": 1}
    ExchangeRate.objects.create(base="EUR", quote="USD", day="2026-11-02", rate=1_083_333_333_333)
    assert reprice().amount == 1_971_667
    row = CostEvent.objects.get(kind="correction")
    assert sum(row.parts.values()) == row.amount == 1_971_667
    assert_books_agree()


def test_base_amounts_stay_the_exact_conversion_of_the_net(api, cost):
    ExchangeRate.objects.create(base="EUR", quote="USD", day="2026-11-02", rate=1_083_333_333_333)
    first = override(DEAR, currency="EUR")
    event = charge(api, cost, usage={"input_tokens": 7})
    assert (event["amount"], event["base_amount"]) == ("0.00007", "0.000075833")
    archive_price(price_id=first.pk)
    override({"input_tokens": {"per_million": "0.333"}}, currency="EUR")
    reprice()
    net = CostEvent.objects.aggregate(amount=Sum("amount"), base=Sum("base_amount"))
    assert net == {"amount": 2331, "base": 2525}
    assert_books_agree()


def test_ranges_models_and_the_dry_run(api, cost, capsys):
    charge(api, cost, event_id="1")
    charge(api, cost, event_id="2", occurred_at="2026-11-09T00:00:00Z")
    charge(api, cost, event_id="3", model="other-model", occurred_at="2026-11-09T00:00:00Z")
    override(CHEAP)
    override(DEAR, model="other-model")
    call_command("reprice", "--dry-run", "--start", "2026-11-08")
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "model             costs  newly priced  amount (USD)",
        "vllm/house-model      1             1       0.00182",
        "vllm/other-model      1             1        0.0182",
        "total                 2             2       0.02002",
        "dry run: nothing was written",
    ]
    assert CostEvent.objects.count() == 3
    assert reprice(model="Other-Model", provider="VLLM").events == 1
    assert reprice(model="azure/house-model").read == 0
    assert reprice(provider="openai").read == 0
    assert reprice(end=DAY).read == 0
    assert reprice().events == 2
    with pytest.raises(Invalid, match="before"):
        reprice(start=DAY, end=DAY)
    assert_books_agree()


def test_a_dry_run_copies_nothing_from_the_catalogue(api, cost):
    # Sent before anybody priced the model, as if by an older catalogue that did not know it.
    charge(api, cost)
    archive_price(price_id=override(CHEAP).pk)
    with append_only_lifted():
        CostSeries.objects.update(provider="openai", model="gpt-4o")
    assert reprice(dry_run=True).changes == {("openai", "gpt-4o"): ModelChange(1, 1, 5_100_000)}
    assert PriceVersion.objects.filter(provider="openai").count() == 0
    assert reprice().changes == {("openai", "gpt-4o"): ModelChange(1, 1, 5_100_000)}
    assert PriceVersion.objects.filter(provider="openai").count() > 0


def record(count: int) -> None:
    costs = [
        CostInput(
            source="s", event_id=str(n), occurred_at=DAY + timedelta(minutes=n), entity_type="agent",
            entity_id=f"a{n % 3}", cost_type="llm", provider="vllm", model="house-model",
            usage=UsageInput(input_tokens=n, output_tokens=1),
        )
        for n in range(count)
    ]  # fmt: skip
    assert len(record_costs(costs=costs).accepted) == count


def test_a_killed_run_leaves_whole_batches_and_a_repeat_completes(live_database):
    record(3500)
    override(CHEAP)
    code = """
from financial.services.reprice import reprice
def told(count):
    print(count, flush=True)
    sys.stdin.readline()
reprice(progress=told)
"""
    child = start(code, live_database)
    assert child.stdout.readline() == "1000\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    # Killed somewhere in its second batch, or after it.
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=PATIENCE)
    booked = CostEvent.objects.filter(kind="correction").count()
    assert booked in (1000, 2000)
    assert_books_agree()
    assert reprice().events == 3500 - booked
    assert CostEvent.objects.filter(kind="correction").count() == 3500
    assert CostEvent.objects.aggregate(left=Sum("unpriced"))["left"] == 0
    assert_books_agree()


def test_two_at_once_book_each_difference_once(live_database):
    record(1500)
    override(CHEAP)
    code = """
from financial.services.reprice import reprice
print("ready", flush=True)
sys.stdin.readline()
print(reprice().events)
"""
    children = [start(code, live_database) for _ in range(3)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert sum(int(finish(child)) for child in children) == 1500
    assert CostEvent.objects.filter(kind="correction").count() == 1500
    assert_books_agree()
