"""Forecasts and published numbers of budgets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.forecasting import NoForecast
from agent_factory_site.common.metrics import find_metric
from financial.models import BudgetPeriod
from financial.selectors.budget_forecast import BudgetForecast, budget_forecast
from financial.selectors.budgets import budget_entities, budget_status, budget_statuses
from financial.services.exchange_rates import add_exchange_rate
from financial.tasks import refresh_budgets

from .test_budget_creation import NOON, UNIT, budget, noon, spend

pytestmark = pytest.mark.django_db
__all__ = ["noon"]


def spend_daily(amount: str, days: int, **given: object) -> None:
    for day in range(1, days + 1):
        spend(amount, NOON - timedelta(days=day), **given)


def test_an_even_pace_is_carried_on_to_the_end_of_the_period():
    spend_daily("2", 60)
    spend("1", NOON)
    row = budget("50", timezone="UTC")
    found = budget_forecast(row)
    assert isinstance(found, BudgetForecast)
    # 17 days of 2, today on its way to 2, and 12 days to come.
    assert found.expected / UNIT == pytest.approx(60, abs=0.01)
    assert found.low <= found.low_80 <= found.expected <= found.high_80 <= found.high
    assert len(found.path) == 13
    assert found.path[-1].at == datetime(2026, 12, 1, tzinfo=UTC)
    # 50 are reached when 15 more have come: today's 1, seven days of 2.
    assert found.exhausts_at is not None
    assert abs(found.exhausts_at - datetime(2026, 11, 26, tzinfo=UTC)) < timedelta(minutes=10)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize("period", ["hour", "day", "week", "quarter"])
def test_a_forecast_is_never_below_what_is_settled(zone, period):
    spend_daily("1", 30)
    spend("-20", NOON - timedelta(days=3), kind="credit", reason="r")
    for hours in range(1, 12):
        spend("1", NOON - timedelta(hours=hours))
    spend("30", NOON)
    row = budget("40", period=period, timezone=zone)
    found = budget_forecast(row)
    assert isinstance(found, BudgetForecast)
    spent = BudgetPeriod.objects.get(budget=row).settled
    assert min(found.low, found.expected, found.low_80) >= spent
    assert found.path[-1].expected == found.expected


def test_a_limit_that_is_reached_is_exhausted_now():
    spend_daily("2", 20)
    row = budget("5")
    found = budget_forecast(row)
    assert isinstance(found, BudgetForecast)
    assert found.exhausts_at == NOON


def test_tags_and_another_currency_are_followed():
    for day in range(0, 20):
        add_exchange_rate(base="EUR", quote="USD", day=date(2026, 11, 18) - timedelta(days=day), rate="1.25")
    spend_daily("2.5", 19, tags={"env": "prod"})
    spend_daily("100", 3)
    row = budget("500", currency="EUR", filters={"tags": {"env": "prod"}})
    found = budget_forecast(row)
    assert isinstance(found, BudgetForecast)
    # 17 days of 2 EUR, and somewhat over 12 more of them.
    assert 58 <= found.expected / UNIT <= 60.1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"period": "rolling:7d"}, "no end"),
        ({"period": "total"}, "no end"),
        ({"entity_id": "*"}, "choose one"),
        ({"starts_on": date(2026, 12, 1)}, "does not count"),
        ({}, "complete bucket"),
    ],
)
def test_what_cannot_be_told_has_a_reason(changes, reason):
    found = budget_forecast(budget(**changes))
    assert isinstance(found, NoForecast)
    assert reason in found.reason


def test_one_of_many_allowances_has_its_own_forecast():
    spend_daily("1", 20)
    spend_daily("5", 20, entity_id="other")
    row = budget("100", entity_id="*")
    own, other = (budget_forecast(row, entity_id=name) for name in ("bot", "other"))
    assert isinstance(own, BudgetForecast)
    assert isinstance(other, BudgetForecast)
    assert other.expected == pytest.approx(5 * own.expected)


def test_a_total_that_ends_is_forecast_to_its_end():
    spend_daily("1", 20)
    row = budget("100", period="total", ends_on=date(2026, 11, 20))
    found = budget_forecast(row)
    assert isinstance(found, BudgetForecast)
    assert found.path[-1].at == datetime(2026, 11, 21, tzinfo=UTC)
    assert found.expected / UNIT == pytest.approx(22.5, abs=0.6)


def read(name: str) -> dict[tuple[str, ...], object]:
    reading = find_metric(f"agent_factory_budget_{name}").current()
    assert (reading.error, reading.dropped) == ("", 0)
    return {tuple(sample.labels.values()): sample.value for sample in reading.samples}


def test_the_numbers_of_a_budget_are_published():
    row = budget("10", enforcement="hard", thresholds=[0.5])
    nothing = budget("0", name="Nothing")
    spend("4")
    labels = (str(row.pk), "Support bots", "agent", "bot", "2026-11", "USD")
    other = (str(nothing.pk), "Nothing", "agent", "bot", "2026-11", "USD")
    assert read("utilisation_ratio") == {labels: 0.4, other: None}
    assert read("limit") == {labels: Decimal(10), other: Decimal(0)}
    assert read("remaining") == {labels: Decimal(6), other: Decimal(-4)}
    assert read("settled") == {labels: Decimal(4), other: Decimal(4)}
    assert read("held") == {labels: Decimal(0), other: Decimal(0)}
    assert read("overruns_total") == {(str(nothing.pk), "without_hold"): 1}
    spend("1")
    assert read("threshold_crossings_total")[str(row.pk), "0.5"] == 1


def test_lists_take_a_fixed_number_of_queries():
    budgets = [budget(str(limit)) for limit in range(1, 4)]
    budgets += [budget(entity_id="*", thresholds=[0.1 * n, 1.5]) for n in range(1, 3)]
    budgets += [budget(period="rolling:3d")]
    for number in range(5):
        spend("1", entity_id=f"e{number}")
    counts = []
    for listed in (budgets[:1] + budgets[3:4], budgets):
        with CaptureQueriesContext(connection) as queries:
            budget_statuses(listed)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8
    page = budget_entities(budgets[3], limit=2)
    assert [each.entity_id for each in page.entities] == ["e4", "e3"]
    assert [each.entity_id for each in budget_entities(budgets[3], limit=2, cursor=page.next).entities] == [
        "e2",
        "e1",
    ]
    assert [each.settled for each in budget_entities(budgets[3], entity_id="e2").entities] == [UNIT]


def test_the_task_runs_each_minute(noon):
    row = budget(period="rolling:1d")
    spend("1")
    noon(NOON + timedelta(days=1))
    refresh_budgets()
    assert BudgetPeriod.objects.get(budget=row).settled == 0
    assert budget_status(row.pk).period.settled == 0
    assert settings.CELERY_BEAT_SCHEDULE["refresh-budgets"] == {
        "task": refresh_budgets.name,
        "schedule": 60.0,
    }
