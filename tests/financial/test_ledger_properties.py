"""Whatever happens in whatever order, the books agree with a reckoning in Decimal that knows no database."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_factory_site.common.money import format_amount, to_decimal
from financial.domain.cost_input import read_cost
from financial.models import PriceVersion
from financial.selectors.breakdown import cost_breakdown
from financial.services.price_overrides import archive_price, set_price_override
from financial.services.record_costs import record_costs
from financial.services.reprice import reprice
from tests.effort import examples
from tests.financial.books import assert_books_agree

pytestmark = pytest.mark.django_db

NANO = Decimal("1e-9")
# Around the autumn change of clocks in Berlin, so that days of 25 hours are among them.
START = datetime(2026, 10, 24, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]

moments = st.integers(0, 4 * 86_400 * 1000).map(lambda ms: START + timedelta(milliseconds=ms))
amounts = st.integers(-3_000_000, 3_000_000).filter(bool)
models = st.sampled_from(["house-a", "house-b"])
numbers = st.integers(0, 9)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("event"), numbers, moments, st.sampled_from("ab"), models, st.integers(0, 5000)),
        st.tuples(st.just("amount"), numbers, moments, st.sampled_from("ab"), st.integers(0, 5_000_000)),
        st.tuples(st.just("again"), numbers),
        st.tuples(st.just("correct"), numbers, amounts, st.integers(0, 5)),
        st.tuples(st.just("credit"), numbers, moments, st.sampled_from("ab"), st.integers(1, 3_000_000)),
        st.tuples(st.just("price"), models, st.integers(0, 3000)),
        st.tuples(st.just("reprice")),
    ),
    max_size=25,
)


class Reckoning:
    """The same in Decimal: charges with what they are worth and what was corrected by hand."""

    def __init__(self) -> None:
        self.rates: dict[str, Decimal] = {}
        self.charges: dict[str, dict] = {}
        self.credits: dict[str, dict] = {}
        self.corrections: set[str] = set()

    def worth(self, model: str, tokens: int) -> Decimal | None:
        if model not in self.rates:
            return None
        return (tokens * self.rates[model] / 1_000_000).quantize(NANO, ROUND_HALF_EVEN)

    def reprice(self) -> None:
        for charge in self.charges.values():
            if charge["model"] and not charge["corrected"]:
                worth = self.worth(charge["model"], charge["tokens"])
                # Without a price there is nothing to book: what was charged stands.
                charge["worth"] = charge["worth"] if worth is None else worth

    def rows(self):
        for charge in self.charges.values():
            net = (charge["worth"] or Decimal(0)) + sum(charge["manual"], Decimal(0))
            yield charge["at"], charge["agent"], 1, int(charge["worth"] is None), net
        for credit in self.credits.values():
            yield credit["at"], credit["agent"], 0, 0, credit["amount"]


class Books:
    """What is asked of the ledger for each operation, and of the reckoning beside it."""

    def __init__(self) -> None:
        self.sent: dict[str, dict] = {}
        self.reckoning = Reckoning()

    def send(self, body: dict) -> tuple[bool, object]:
        outcome = record_costs(costs=[read_cost(body)])
        return bool(outcome.accepted), outcome

    def event(self, number, at, agent, model, tokens) -> None:
        body = self._body(number, at, agent) | {
            "cost_type": "llm", "provider": "house", "model": model, "usage": {"input_tokens": tokens},
        }  # fmt: skip
        worth = self.reckoning.worth(model, tokens)
        self._charge(body, {"at": at, "agent": agent, "model": model, "tokens": tokens, "worth": worth})

    def amount(self, number, at, agent, nano) -> None:
        body = self._body(number, at, agent) | {
            "cost_type": "tool", "amount": format_amount(nano), "currency": "USD",
        }  # fmt: skip
        self._charge(body, {"at": at, "agent": agent, "model": "", "tokens": 0, "worth": to_decimal(nano)})

    def _body(self, number, at, agent) -> dict:
        return {
            "source": "s", "event_id": str(number), "occurred_at": at.isoformat(), "entity_type": "agent",
            "entity_id": agent, "entities": {"team": "t"},
        }  # fmt: skip

    def _charge(self, body, charge) -> None:
        accepted, outcome = self.send(body)
        name = body["event_id"]
        if name in self.sent:
            assert not accepted
            assert bool(outcome.rejected) == (self.sent[name] != body)
            return
        assert accepted
        self.sent[name] = body
        self.reckoning.charges[name] = charge | {
            "id": outcome.accepted[0].id, "manual": [], "corrected": False,
        }  # fmt: skip

    def again(self, number) -> None:
        if str(number) in self.sent:
            accepted, outcome = self.send(self.sent[str(number)])
            assert not accepted
            assert outcome.duplicates

    def correct(self, number, nano, key) -> None:
        charge = self.reckoning.charges.get(str(number))
        if charge is None:
            return
        name = f"c-{number}-{key}-{nano}"
        body = {
            "source": "s", "event_id": name, "corrects": str(charge["id"]), "reason": "r",
            "amount": format_amount(nano),
        }  # fmt: skip
        accepted, outcome = self.send(body)
        if name in self.reckoning.corrections:
            assert outcome.duplicates
            return
        net = (charge["worth"] or Decimal(0)) + sum(charge["manual"], Decimal(0))
        assert accepted == (net + to_decimal(nano) >= 0)
        if accepted:
            self.reckoning.corrections.add(name)
            charge["manual"].append(to_decimal(nano))
            charge["corrected"] = True

    def credit(self, number, at, agent, nano) -> None:
        name = f"credit-{number}"
        body = self._body(name, at, agent) | {
            "kind": "credit", "amount": format_amount(-nano), "currency": "USD", "reason": "r",
        }  # fmt: skip
        accepted, _ = self.send(body)
        assert accepted == (name not in self.reckoning.credits)
        if accepted:
            self.reckoning.credits[name] = {"at": at, "agent": agent, "amount": to_decimal(-nano)}

    def price(self, model, rate) -> None:
        for row in PriceVersion.objects.filter(provider="house", model=model, archived_at=None):
            archive_price(price_id=row.pk)
        per_million = Decimal(rate) / 100
        set_price_override(
            provider="house",
            model=model,
            service_tier="standard",
            rates={"input_tokens": {"per_million": str(per_million)}},
            valid_from=datetime(2020, 1, 1, tzinfo=UTC),
        )
        self.reckoning.rates[model] = per_million

    def reprice(self) -> None:
        reprice()
        self.reckoning.reprice()


def expected_days(reckoning: Reckoning, agent: str | None, zone: ZoneInfo):
    days = defaultdict(lambda: [0, 0, Decimal(0)])
    for at, whose, charges, unpriced, amount in reckoning.rows():
        if agent in (None, whose):
            sums = days[at.astimezone(zone).date().isoformat()]
            sums[0] += charges
            sums[1] += unpriced
            sums[2] += amount
    return {day: tuple(sums) for day, sums in days.items() if any(sums)}


@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(operations, st.sampled_from(ZONES))
def test_any_interleaving_leaves_books_that_agree(done, zone):
    tz = ZoneInfo(zone)
    with transaction.atomic():
        books = Books()
        for name, *arguments in done:
            getattr(books, name)(*arguments)
        assert_books_agree()
        window = {"start": START - timedelta(days=1), "end": START + timedelta(days=6), "zone": tz}
        for agent, entity in (
            ("a", ("agent", "a")),
            ("b", ("agent", "b")),
            (None, ("team", "t")),
            (None, ("*", "*")),
        ):
            found = cost_breakdown(entity=entity, group_by=["day"], **window)
            actual = {
                group.key[0]: (group.sums.events, group.sums.unpriced, to_decimal(group.sums.amount))
                for group in found.groups
            }
            days = expected_days(books.reckoning, agent, tz)
            assert {day: sums for day, sums in actual.items() if any(sums)} == days
            assert to_decimal(found.total.amount) == sum((sums[2] for sums in days.values()), Decimal(0))
        transaction.set_rollback(True)
