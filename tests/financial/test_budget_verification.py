"""Proving budgets: what differs is named, and a repair brings it back."""

from __future__ import annotations

from datetime import date, timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from agent_factory_site.common.models import AuditEvent
from financial.models import BudgetDay, BudgetPeriod
from financial.services.exchange_rates import add_exchange_rate, archive_exchange_rate
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import place_hold
from financial.services.verify_budgets import verify_budgets

from .budget_books import assert_budgets_agree
from .test_budget_changes import hold
from .test_budget_creation import NOON, UNIT, budget, noon, spend

pytestmark = pytest.mark.django_db
__all__ = ["noon"]


def differences() -> list[tuple[str, str, int | None, int]]:
    return [(each.period, each.figure, each.stored, each.expected) for each in verify_budgets().differences]


def test_budgets_that_agree_are_said_to():
    budget(enforcement="hard")
    budget(period="rolling:3d", entity_id="*")
    spend("1")
    place_hold(request=hold("2"))
    outcome = verify_budgets()
    assert (outcome.budgets, outcome.periods, outcome.rows, outcome.differences) == (2, 2, 1, [])
    out = StringIO()
    call_command("verify_budgets", stdout=out)
    assert "2 periods of 2 budgets compared with 1 rows\nAll agree.\n" in out.getvalue()


def test_what_differs_is_named_and_repaired():
    row = budget(enforcement="soft")
    spend("1")
    place_hold(request=hold("2"))
    BudgetPeriod.objects.filter(budget=row).update(settled=7, held=5)
    assert differences() == [("2026-11", "settled", 7, UNIT), ("2026-11", "held", 5, 2 * UNIT)]
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_budgets", stdout=out)
    assert ended.value.code == 1
    assert "agent/bot, 2026-11: settled is 0.000000007, its books 1.00" in out.getvalue()
    call_command("verify_budgets", "--repair", stdout=out)
    assert "2 figures repaired" in out.getvalue()
    assert AuditEvent.objects.filter(action="repair_budgets").count() == 1
    assert differences() == []
    assert_budgets_agree()


def test_a_day_of_a_rolling_budget_and_its_sum_are_repaired(noon):
    row = budget(period="rolling:3d", enforcement="hard")
    spend("1")
    noon(NOON + timedelta(days=1))
    spend("2", NOON + timedelta(days=1))
    BudgetDay.objects.filter(day=date(2026, 11, 18)).update(settled=0)
    BudgetPeriod.objects.filter(budget=row).update(settled=2 * UNIT)
    assert differences() == [("2026-11-18", "settled", 0, UNIT)]
    verify_budgets(repair=True)
    assert differences() == []
    assert BudgetPeriod.objects.get(budget=row).settled == 3 * UNIT
    assert_budgets_agree()


def test_a_hard_budget_that_was_short_gets_its_overrun():
    row = budget("2", enforcement="hard")
    spend("1")
    BudgetPeriod.objects.filter(budget=row).update(settled=0)
    spend("2")
    verify_budgets(repair=True)
    stored = BudgetPeriod.objects.get(budget=row)
    assert (stored.settled, stored.overrun) == (3 * UNIT, UNIT)
    assert_budgets_agree()


@pytest.mark.parametrize("period", ["month", "rolling:3d"])
def test_a_period_that_is_missing_is_opened(period):
    row = budget(period=period)
    spend("1")
    BudgetDay.objects.all().delete()
    BudgetPeriod.objects.all().delete()
    from agent_factory_site.common.caching import clear_committed_caches

    clear_committed_caches()
    key = "2026-11" if period == "month" else period
    assert differences() == [(key, "settled", None, UNIT)]
    verify_budgets(repair=True)
    assert differences() == []
    assert BudgetPeriod.objects.get(budget=row).settled == UNIT
    assert_budgets_agree()


def test_a_settled_hold_counts_at_the_exchange_it_fixed():
    for day, rate in ((18, "1.25"), (17, "1.25")):
        add_exchange_rate(base="EUR", quote="USD", day=date(2026, 11, day), rate=rate)
    budget(currency="EUR", enforcement="hard")
    placed = place_hold(request=hold("5"))
    rate = add_exchange_rate(base="GBP", quote="USD", day=date(2026, 11, 18), rate="1.3")
    archive_exchange_rate(rate_id=rate.pk)
    settle_hold(hold_id=placed.hold.pk, owner="api_key:1", settling=Settling(amount="2.5", currency="USD"))
    assert BudgetPeriod.objects.get().settled == 2 * UNIT
    assert verify_budgets().differences == []


def test_a_rate_that_is_gone_skips_the_periods_that_needed_it():
    rate = add_exchange_rate(base="EUR", quote="USD", day=date(2026, 11, 18), rate="1.25")
    budget(currency="EUR")
    spend("1")
    archive_exchange_rate(rate_id=rate.pk)
    outcome = verify_budgets()
    assert (outcome.skipped, outcome.differences) == (1, [])
