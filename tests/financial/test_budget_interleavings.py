"""Whatever happens in whatever order: every period of every budget is what the ledger and the holds say."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_factory_site.common.errors import Conflict, Invalid, PaymentRequired
from agent_factory_site.common.money import NANO, format_amount
from financial.domain.cost_input import UsageInput, read_cost
from financial.models import BudgetPeriod, CostEvent, Hold, PriceVersion
from financial.services.budgets import archive_budget, change_budget, create_budget
from financial.services.hold_expiry import expire_holds
from financial.services.hold_settling import Settling, release_hold, settle_hold
from financial.services.holds import HoldRequest, place_hold
from financial.services.price_overrides import archive_price, set_price_override
from financial.services.record_costs import record_costs
from financial.services.reprice import reprice
from tests.effort import examples

from .books import assert_books_agree
from .budget_books import assert_budgets_agree

pytestmark = pytest.mark.django_db

LIMIT = 20
agents = st.sampled_from(["a", "b"])
amounts = st.integers(1, 12 * NANO)
back = st.integers(0, 75 * 60).map(lambda minutes: timedelta(minutes=minutes))
places = st.integers(0, 9)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), agents, amounts, st.sampled_from([-1, 300])),
        st.tuples(st.just("settle"), places, amounts, back),
        st.tuples(st.just("settle_by_usage"), places),
        st.tuples(st.just("release"), places),
        st.tuples(st.just("expire")),
        st.tuples(st.just("cost"), agents, amounts, back, st.sampled_from(["prod", "test"])),
        st.tuples(st.just("credit"), agents, amounts, back),
        st.tuples(st.just("correct"), places, st.integers(-5 * NANO, 5 * NANO).filter(bool)),
        st.tuples(st.just("limit"), st.integers(0, 4), st.integers(0, 30)),
        st.tuples(st.just("enforcement"), st.integers(0, 4), st.sampled_from(["hard", "soft"])),
        st.tuples(st.just("budget"), st.sampled_from(["day", "hour", "rolling:2d", "week"])),
        st.tuples(st.just("archive"), st.integers(0, 4)),
        st.tuples(st.just("price")),
    ),
    max_size=22,
)


class Desk:
    """What is asked of budgets, holds and the ledger for each operation."""

    def __init__(self) -> None:
        self.now = timezone.now()
        self.holds: list[UUID] = []
        self.count = 0
        common = {"limit": str(LIMIT), "currency": "USD", "enforcement": "hard"}
        fleet = create_budget(
            name="fleet", entity_type="*", period="month", timezone="Asia/Kathmandu", **common
        )
        self.budgets = [
            fleet.pk,
            create_budget(
                name="team",
                entity_type="team",
                entity_id="t",
                period="day",
                timezone="Europe/Berlin",
                rollover="all",
                **common,
            ).pk,
            create_budget(
                name="each", entity_type="agent", entity_id="*", period="month", parent=fleet.pk, **common
            ).pk,
            create_budget(
                name="two days", entity_type="agent", entity_id="a", period="rolling:2d", **common
            ).pk,
            create_budget(
                name="prod",
                entity_type="*",
                period="week",
                filters={"tags": {"env": "prod"}, "cost_type": ["llm"]},
                **common | {"enforcement": "soft"},
            ).pk,
        ]

    def hold(self, agent, amount, expires_in) -> None:
        request = HoldRequest(
            owner="o", entity=("agent", agent), entities={"team": "t"}, amount=amount, currency="USD",
            cost_type="llm", provider="house", model="m", tags={"env": "prod"}, expires_in=expires_in,
        )  # fmt: skip
        try:
            self.holds.append(place_hold(request=request).hold.id)
        except PaymentRequired as refused:
            period = BudgetPeriod.objects.get(
                budget=refused.extensions["budget"]["id"],
                key=refused.extensions["period"],
                entity__key=refused.extensions["budget"]["entity_id"],
            )
            assert period.hard
            assert period.settled + period.held + amount > period.limit

    def settle(self, place, amount, ago) -> None:
        self._settle(
            place, Settling(amount=format_amount(amount), currency="USD", occurred_at=self.now - ago)
        )

    def settle_by_usage(self, place) -> None:
        self._settle(place, Settling(usage=UsageInput(input_tokens=1000)))

    def _settle(self, place, settling) -> None:
        if place >= len(self.holds):
            return
        before = Hold.objects.get(pk=self.holds[place])
        try:
            ended = settle_hold(hold_id=before.pk, owner="o", settling=settling)
        except Conflict:
            assert before.state in ("released", "settled")
        else:
            assert ended.replayed == (before.state == "settled")

    def release(self, place) -> None:
        if place >= len(self.holds):
            return
        before = Hold.objects.get(pk=self.holds[place])
        try:
            release_hold(hold_id=before.pk, owner="o")
        except Conflict:
            assert before.state == "settled"

    def expire(self) -> None:
        due = Hold.objects.filter(state="held", expires_at__lte=timezone.now()).count()
        assert expire_holds() == due

    def cost(self, agent, amount, ago, env) -> None:
        self._send(agent, ago, amount=format_amount(amount), tags={"env": env}, cost_type="llm")

    def credit(self, agent, amount, ago) -> None:
        self._send(agent, ago, amount=format_amount(-amount), kind="credit", reason="r", tags={"env": "prod"})

    def _send(self, agent, ago, **body) -> None:
        self.count += 1
        at = (self.now - ago).isoformat()
        outcome = record_costs(
            costs=[
                read_cost(
                    {
                        "source": "s",
                        "event_id": str(self.count),
                        "occurred_at": at,
                        "entity_type": "agent",
                        "entity_id": agent,
                        "entities": {"team": "t"},
                        "currency": "USD",
                        **body,
                    }  # fmt: skip
                )
            ]
        )
        assert outcome.accepted, outcome.rejected

    def correct(self, place, amount) -> None:
        charges = CostEvent.objects.filter(kind="charge").order_by("recorded_at", "id")
        if place >= len(charges):
            return
        self.count += 1
        body = {
            "source": "s", "event_id": f"c{self.count}", "corrects": str(charges[place].id),
            "amount": format_amount(amount), "reason": "r",
        }  # fmt: skip
        record_costs(costs=[read_cost(body)])

    def limit(self, place, limit) -> None:
        self._change(place, limit=str(limit))

    def enforcement(self, place, enforcement) -> None:
        self._change(place, enforcement=enforcement)

    def _change(self, place, **given) -> None:
        self._allow(
            lambda: change_budget(budget_id=self.budgets[place], **given),
            {"archived", "above_parent", "below_child"},
        )

    def _allow(self, act, refusals) -> None:
        """Do it, or be refused for one of these reasons."""
        codes = set()
        try:
            act()
        except (Conflict, Invalid) as error:
            codes = {each.code for each in error.errors} or {error.code}
        assert codes <= refusals

    def budget(self, period) -> None:
        self.budgets.append(
            create_budget(
                name=period,
                entity_type="agent",
                entity_id="a",
                limit="3",
                currency="USD",
                period=period,
                timezone="Australia/Lord_Howe",
                enforcement="hard",
            ).pk
        )

    def archive(self, place) -> None:
        self._allow(lambda: archive_budget(budget_id=self.budgets[place]), {"archived", "has_children"})

    def price(self) -> None:
        for row in PriceVersion.objects.filter(provider="house", model="m", archived_at=None):
            archive_price(price_id=row.pk)
        set_price_override(
            provider="house",
            model="m",
            rates={"input_tokens": {"per_million": "900"}},
            valid_from=self.now - timedelta(days=90),
        )
        reprice()


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(operations)
def test_every_period_is_what_ledger_and_holds_say(sequence):
    with transaction.atomic():
        desk = Desk()
        for name, *arguments in sequence:
            getattr(desk, name)(*arguments)
            assert_budgets_agree()
        assert_books_agree()
        transaction.set_rollback(True)
