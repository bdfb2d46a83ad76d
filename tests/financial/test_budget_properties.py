"""Whatever happens, in whatever order: ledger + provisional = settled, and no hard budget is overspent unseen."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_factory_site.common.caching import clear_committed_caches
from agent_factory_site.common.errors import Conflict, Invalid, PaymentRequired
from financial.domain.cost_input import Correction, UsageInput
from financial.models import Budget, CostEvent, Hold
from financial.services.budget_overrides import refresh_budgets
from financial.services.budgets import archive_budget, change_budget
from financial.services.hold_expiry import expire_holds
from financial.services.hold_settling import Settling, release_hold, settle_hold
from financial.services.holds import HoldRequest, place_hold
from financial.services.record_costs import record_costs
from financial.services.verify_budgets import verify_budgets
from tests.effort import examples

from .budget_books import assert_budgets_agree
from .test_budget_creation import UNIT, budget, spend

pytestmark = pytest.mark.django_db
# Two hours before the clocks of Berlin are set back, a week before its month ends.
START = datetime(2026, 10, 24, 23, tzinfo=UTC)
_numbers = count()
AGENTS = st.sampled_from(["a", "b"])
AMOUNTS = st.sampled_from(["0.000000001", "0.5", "1", "3", "7.25"])
BACK = st.sampled_from(
    [timedelta(0), timedelta(minutes=31), timedelta(hours=3), timedelta(days=2), timedelta(days=33)]
)

steps = st.one_of(
    st.tuples(st.just("spend"), AGENTS, AMOUNTS, BACK, st.sampled_from(["prod", "test"])),
    st.tuples(st.just("credit"), AGENTS, AMOUNTS, BACK),
    st.tuples(st.just("correct"), st.integers(0, 50)),
    st.tuples(st.just("hold"), AGENTS, AMOUNTS),
    st.tuples(st.just("settle"), st.integers(0, 20), AMOUNTS),
    st.tuples(st.just("settle_unpriced"), st.integers(0, 20)),
    st.tuples(st.just("release"), st.integers(0, 20)),
    st.tuples(st.just("expire")),
    st.tuples(st.just("limit"), st.integers(0, 6), st.sampled_from(["0", "2", "20"])),
    st.tuples(st.just("enforcement"), st.integers(0, 6), st.sampled_from(["hard", "soft"])),
    st.tuples(st.just("create"), st.integers(0, 6)),
    st.tuples(st.just("archive"), st.integers(0, 6)),
    st.tuples(
        st.just("wait"),
        st.sampled_from([timedelta(minutes=50), timedelta(hours=2), timedelta(days=1), timedelta(days=9)]),
    ),
)
SHAPES: list[dict[str, Any]] = [
    {
        "entity_type": "*",
        "entity_id": None,
        "period": "month",
        "timezone": "Europe/Berlin",
        "rollover": "all",
    },
    {"entity_id": "*", "period": "rolling:3d", "timezone": "Europe/Berlin"},
    {"entity_id": "a", "period": "hour", "timezone": "Asia/Kathmandu"},
    {
        "entity_id": "b",
        "period": "day",
        "rollover": "capped",
        "rollover_cap": "3",
        "timezone": "Europe/Berlin",
    },
    {"entity_id": "a", "period": "total", "filters": {"tags": {"env": "prod"}}},
    {"entity_type": "team", "entity_id": "t", "period": "week"},
    {"entity_id": "*", "period": "quarter", "filters": {"cost_type": ["llm"]}},
]


class World:
    """Budgets and the holds on them, at a time of its own."""

    def __init__(self) -> None:
        self.now = START
        self.budgets: list[Any] = []
        self.holds: list[Any] = []

    def do(self, name: str, *given: Any) -> None:
        getattr(self, name)(*given)

    def spend(self, agent: str, amount: str, back: timedelta, env: str) -> None:
        spend(amount, self.now - back, entity_id=agent, tags={"env": env})

    def credit(self, agent: str, amount: str, back: timedelta) -> None:
        spend(f"-{amount}", self.now - back, entity_id=agent, kind="credit", reason="r")

    def correct(self, which: int) -> None:
        charges = list(CostEvent.objects.filter(kind="charge", amount__gt=0).order_by("id"))
        if charges:
            charge = charges[which % len(charges)]
            event = f"c-{next(_numbers)}"
            record_costs(
                costs=[
                    Correction(
                        source="t", event_id=event, corrects=charge.id, amount="-0.000000001", reason="r"
                    )
                ]
            )

    def hold(self, agent: str, amount: str) -> None:
        request = HoldRequest(
            owner="o",
            entity=("agent", agent),
            amount=int(float(amount) * UNIT),
            currency="USD",
            cost_type="llm",
        )
        with suppress(PaymentRequired):
            self.holds.append(place_hold(request=request).hold)

    def settle(self, which: int, amount: str) -> None:
        self.end(
            which,
            lambda pk: settle_hold(hold_id=pk, owner="o", settling=Settling(amount=amount, currency="USD")),
        )

    def settle_unpriced(self, which: int) -> None:
        settling = Settling(usage=UsageInput(input_tokens=5), provider="nobody", model="nothing")
        self.end(which, lambda pk: settle_hold(hold_id=pk, owner="o", settling=settling))

    def release(self, which: int) -> None:
        self.end(which, lambda pk: release_hold(hold_id=pk, owner="o"))

    def end(self, which: int, ending: Any) -> None:
        if self.holds:
            with suppress(Conflict):
                ending(self.holds[which % len(self.holds)].pk)

    def expire(self) -> None:
        expire_holds()

    def limit(self, which: int, limit: str) -> None:
        self.change(which, limit=limit)

    def enforcement(self, which: int, enforcement: str) -> None:
        self.change(which, enforcement=enforcement)

    def change(self, which: int, **changes: Any) -> None:
        if self.budgets:
            # Archived, or beyond the limit of a parent or a child.
            with suppress(Conflict, Invalid):
                change_budget(budget_id=self.budgets[which % len(self.budgets)].pk, **changes)

    def create(self, which: int) -> None:
        """A budget of one of the shapes; every other one below an earlier one that is large enough."""
        able = [each for each in Budget.objects.order_by("id")[:4] if each.limit >= 20 * UNIT]
        parents = [each for each in able if each.entity_id is not None and each.archived_at is None]
        parent = parents[which % len(parents)].pk if parents and which % 2 else None
        values = SHAPES[which % len(SHAPES)] | {"parent": parent, "enforcement": "hard"}
        self.budgets.append(budget("20" if which < 3 else "8", **values))

    def archive(self, which: int) -> None:
        if self.budgets:
            archive_budget(budget_id=self.budgets[which % len(self.budgets)].pk)

    def wait(self, how_long: timedelta) -> None:
        self.now += how_long
        with patch("django.utils.timezone.now", lambda: self.now):
            refresh_budgets()


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=3, max_size=25))
def test_the_books_of_budgets_always_agree(happenings):
    world = World()
    clear_committed_caches()
    with transaction.atomic():
        for which in range(7):
            with patch("django.utils.timezone.now", lambda: world.now):
                world.create(which)
        for happening in happenings:
            with patch("django.utils.timezone.now", lambda: world.now):
                world.do(*happening)
        assert_budgets_agree()
        assert verify_budgets().differences == []
        assert Hold.objects.filter(state="held", ended_at__isnull=False).count() == 0
        transaction.set_rollback(True)
    clear_committed_caches()
