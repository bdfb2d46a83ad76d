"""Creating budgets: what is refused, and what they count from the first moment on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.utils import timezone

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.models import Entity
from financial.domain.cost_input import CostInput
from financial.models import Budget, BudgetCrossing, BudgetOverrun, BudgetPeriod
from financial.selectors.budgets import budget_status
from financial.services.budgets import archive_budget, create_budget
from financial.services.exchange_rates import add_exchange_rate
from financial.services.record_costs import record_costs

from .budget_books import assert_budgets_agree

UNIT = 10**9
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)

_numbers = count()

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> Any:
    """It is noon of a Wednesday until a test says otherwise."""

    def set_time(now: datetime) -> None:
        monkeypatch.setattr(timezone, "now", lambda: now)

    set_time(NOON)
    return set_time


def spend(amount: str, at: datetime = NOON, **given: Any) -> None:
    """One cost of the agent ``bot``, unless said otherwise."""
    values = {
        "source": "tests",
        "event_id": f"e-{next(_numbers)}",
        "occurred_at": at,
        "entity_type": "agent",
        "entity_id": "bot",
        "cost_type": "llm",
        "provider": "openai",
        "model": "gpt-4o",
        "amount": amount,
        "currency": "USD",
    }
    values.update(given)
    outcome = record_costs(costs=[CostInput(**values)])
    assert not outcome.rejected, outcome.rejected


def budget(limit: str = "10", **given: Any) -> Budget:
    """A monthly budget in USD of the agent ``bot``, unless said otherwise."""
    values = {
        "name": "Support bots",
        "entity_type": "agent",
        "entity_id": "bot",
        "limit": limit,
        "currency": "USD",
        "period": "month",
    }
    return create_budget(**values | given)


def settled(row: Budget, entity: str = "bot") -> dict[str, str]:
    """Settled by period key, in units."""
    rows = BudgetPeriod.objects.filter(budget=row, entity__key=entity).order_by("starts_at")
    return {each.key: str(each.settled / UNIT) for each in rows}


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"name": " "}, "/name", "required"),
        ({"name": "x" * 201}, "/name", "too_long"),
        ({"entity_type": ""}, "/entity_type", "required"),
        ({"entity_id": None}, "/entity_id", "required"),
        ({"entity_type": "*", "entity_id": "bot"}, "/entity_id", "bad_value"),
        ({"limit": 10}, "/limit", "not_a_string"),
        ({"limit": "-1"}, "/limit", "too_small"),
        ({"limit": "1e3"}, "/limit", "not_an_amount"),
        ({"limit": "0.0000000001"}, "/limit", "too_precise"),
        ({"limit": "1000000000.000000001"}, "/limit", "too_large"),
        ({"limit": "99999999999999999999"}, "/limit", "too_large"),
        ({"currency": "XYZ"}, "/currency", "unknown_currency"),
        ({"period": "fortnight"}, "/period", "unknown_period"),
        ({"period": "rolling:0d"}, "/period", "unknown_period"),
        ({"period": "rolling:367d"}, "/period", "unknown_period"),
        ({"timezone": "Mars/Olympus"}, "/timezone", "unknown_timezone"),
        ({"enforcement": "firm"}, "/enforcement", "unknown_enforcement"),
        ({"thresholds": [0.5, 0.5]}, "/thresholds/1", "not_ascending"),
        ({"thresholds": [0]}, "/thresholds/0", "out_of_range"),
        ({"thresholds": [11]}, "/thresholds/0", "out_of_range"),
        ({"thresholds": [0.12345]}, "/thresholds/0", "too_precise"),
        ({"thresholds": ["0.5"]}, "/thresholds/0", "not_a_number"),
        ({"thresholds": [True]}, "/thresholds/0", "not_a_number"),
        ({"thresholds": [float("nan")]}, "/thresholds/0", "not_a_number"),
        ({"thresholds": [n / 100 for n in range(1, 22)]}, "/thresholds", "too_many"),
        ({"thresholds": "0.5"}, "/thresholds", "not_a_list"),
        ({"rollover": "some"}, "/rollover", "unknown_rollover"),
        ({"rollover": "capped"}, "/rollover_cap", "required"),
        ({"rollover_cap": "1"}, "/rollover_cap", "unexpected"),
        ({"rollover": "all", "period": "total"}, "/rollover", "no_rollover"),
        ({"rollover": "all", "period": "rolling:7d"}, "/rollover", "no_rollover"),
        ({"filters": {"colour": ["red"]}}, "/filters/colour", "unknown_field"),
        ({"filters": {"cost_type": ["coffee"]}}, "/filters/cost_type/0", "unknown_cost_type"),
        ({"filters": {"provider": "openai"}}, "/filters/provider", "not_a_list"),
        ({"filters": {"model": ["m"] * 101}}, "/filters/model", "too_many"),
        ({"filters": {"tags": {"env": 1}}}, "/filters/tags/env", "not_a_string"),
        ({"filters": []}, "/filters", "not_an_object"),
        ({"parent": "no-such"}, "/parent", "unknown_budget"),
        ({"starts_on": date(2026, 12, 2), "ends_on": date(2026, 12, 1)}, "/ends_on", "before_start"),
        ({"ends_on": date(2026, 11, 17)}, "/ends_on", "in_the_past"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_written(changes, pointer, code):
    with pytest.raises(Invalid) as refused:
        budget(**changes)
    assert [(error.pointer, error.code) for error in refused.value.errors] == [(pointer, code)]
    assert not Budget.objects.exists()


def test_every_bad_field_is_named_at_once():
    with pytest.raises(Invalid) as refused:
        budget(name="", limit="-1", timezone="x")
    assert {error.pointer for error in refused.value.errors} == {"/name", "/limit", "/timezone"}


@pytest.mark.parametrize("how", ["rollups", "rows"])
def test_what_was_spent_in_the_current_period_counts_from_the_start(how):
    filters = {} if how == "rollups" else {"tags": {"env": "prod"}}
    tags = {} if how == "rollups" else {"env": "prod"}
    spend("1", datetime(2026, 10, 31, 22, 59, 59, 999_999, tzinfo=UTC), tags=tags)
    spend("2", datetime(2026, 10, 31, 23, tzinfo=UTC), tags=tags)
    spend("3.000000001", NOON, tags=tags)
    spend("40", NOON, entity_id="other", tags=tags)
    row = budget(timezone="Europe/Berlin", filters=filters)
    assert row.counts_from == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert BudgetPeriod.objects.get(budget=row).settled == 5_000_000_001
    spend("1", datetime(2026, 10, 31, 22, tzinfo=UTC), tags=tags)
    spend("4", tags=tags)
    assert BudgetPeriod.objects.get(budget=row).settled == 9_000_000_001
    assert_budgets_agree()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Asia/Kolkata"])
@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "quarter", "year", "total", "rolling:3d"])
def test_every_period_counts_its_own(zone, period):
    for minutes in (0, 20, 31, 46, 75, 24 * 60, 25 * 60, 49 * 60, 3 * 1440, 40 * 1440, 400 * 1440):
        spend("1", NOON - timedelta(minutes=minutes))
    row = budget(period=period, timezone=zone)
    assert_budgets_agree()
    spend("1", NOON - timedelta(minutes=20))
    assert_budgets_agree()
    assert BudgetPeriod.objects.filter(budget=row).count() == 1


def test_costs_of_the_period_to_come_are_found_in_it(noon):
    at = datetime(2026, 11, 18, 12, 59, 59, tzinfo=UTC)
    noon(at)
    spend("1", at)
    spend("2", at + timedelta(minutes=1))
    row = budget(period="hour", rollover="all")
    assert settled(row) == {"2026-11-18T12:00:00Z": "1.0", "2026-11-18T13:00:00Z": "2.0"}
    assert BudgetPeriod.objects.get(budget=row, key="2026-11-18T13:00:00Z").carried == 9 * UNIT
    assert_budgets_agree()


def test_every_entity_that_has_spent_gets_its_own_allowance():
    spend("1")
    spend("12", entity_id="other", entities={"team": "emea"})
    row = budget(entity_id="*", enforcement="hard")
    assert settled(row) == {"2026-11": "1.0"}
    assert settled(row, "other") == {"2026-11": "12.0"}
    overrun = BudgetOverrun.objects.get(period__budget=row)
    assert (overrun.amount, overrun.cause, overrun.period.entity.key) == (2 * UNIT, "without_hold", "other")
    assert {str(each.threshold) for each in BudgetCrossing.objects.filter(period__budget=row)} == {
        "0.8000",
        "1.0000",
    }
    spend("3", entity_id="third")
    assert settled(row, "third") == {"2026-11": "3.0"}
    assert_budgets_agree()


def test_the_fleet_counts_everything():
    spend("1")
    row = create_budget(name="All", entity_type="*", limit="5", currency="USD", period="day")
    spend("2", entity_type="team", entity_id="emea")
    assert settled(row, "*") == {"2026-11-18": "3.0"}
    assert row.entity == Entity.objects.get(type="*", key="*")
    assert_budgets_agree()


def test_limit_0_is_exceeded_at_once_and_has_no_utilisation():
    row = budget("0", enforcement="hard")
    status = budget_status(row.pk)
    assert (status.state, status.period.utilisation, status.period.burn_rate) == ("exceeded", None, None)
    spend("1")
    assert BudgetOverrun.objects.get(period__budget=row).amount == UNIT
    assert_budgets_agree()


def test_a_budget_that_starts_later_counts_from_then_on(noon):
    row = budget(starts_on=date(2026, 11, 20), timezone="Europe/Berlin")
    assert not BudgetPeriod.objects.exists()
    spend("1")
    noon(datetime(2026, 11, 20, tzinfo=UTC))
    spend("2", datetime(2026, 11, 19, 22, 59, 59, tzinfo=UTC))
    spend("4", datetime(2026, 11, 19, 23, tzinfo=UTC))
    assert settled(row) == {"2026-11": "4.0"}
    assert_budgets_agree()


def test_another_currency_takes_the_rate_of_each_day_and_refuses_to_guess():
    spend("1.15", NOON - timedelta(days=1))
    with pytest.raises(Invalid) as refused:
        budget(currency="EUR")
    assert refused.value.errors[0].code == "no_exchange_rate"
    assert "2026-11-17" in refused.value.errors[0].detail
    assert not Budget.objects.exists()
    add_exchange_rate(base="EUR", quote="USD", day=date(2026, 11, 17), rate="1.15")
    row = budget(currency="EUR")
    assert settled(row) == {"2026-11": "1.0"}


def test_a_child_counts_into_its_parents_what_it_sees_and_they_do_not():
    spend("1")
    spend("2", entities={"team": "emea"})
    spend("4", entity_id="other", entities={"team": "emea"})
    team = budget(entity_type="team", entity_id="emea")
    assert settled(team, "emea") == {"2026-11": "6.0"}
    child = budget("5", parent=team.pk)
    assert settled(team, "emea") == {"2026-11": "7.0"}
    assert settled(child) == {"2026-11": "3.0"}
    spend("8")
    assert settled(team, "emea") == {"2026-11": "15.0"}
    assert_budgets_agree()


def test_a_parent_is_of_one_entity_in_the_same_currency_and_has_no_smaller_limit():
    each = budget(entity_id="*")
    with pytest.raises(Invalid) as refused:
        budget(parent=each.pk)
    assert refused.value.errors[0].code == "not_one_entity"
    parent = budget("5")
    for changes, code in (
        ({"currency": "EUR"}, "other_currency"),
        ({"limit": "5.000000001"}, "above_parent"),
    ):
        with pytest.raises(Invalid) as refused:
            budget(**{"limit": "5", "parent": parent.pk} | changes)
        assert refused.value.errors[0].code == code
    archive_budget(budget_id=parent.pk)
    with pytest.raises(Invalid) as refused:
        budget("5", parent=parent.pk)
    assert refused.value.errors[0].code == "archived"


def test_an_archived_budget_still_counts_what_happened_before(noon):
    parent = budget(entity_type="team", entity_id="emea")
    row = budget(parent=parent.pk)
    spend("1")
    spend("2", NOON + timedelta(minutes=4))
    noon(NOON + timedelta(minutes=2))
    archive_budget(budget_id=row.pk)
    assert settled(row) == {"2026-11": "1.0"}
    assert settled(parent, "emea") == {"2026-11": "1.0"}
    noon(NOON + timedelta(days=1))
    spend("4", NOON - timedelta(days=1))
    spend("8", NOON + timedelta(hours=1))
    assert settled(row) == {"2026-11": "5.0"}
    assert settled(parent, "emea") == {"2026-11": "5.0"}
    assert budget_status(row.pk).state == "closed"
    assert_budgets_agree()
