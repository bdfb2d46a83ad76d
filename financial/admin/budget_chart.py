"""The burn-up of a budget's period as a picture, and as a table for whoever does not see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from django.utils.safestring import SafeString

from agent_factory_site.common.charts import Mark, Series, Slot, Stretch, burn_up_chart, money_format
from agent_factory_site.common.display import money_text
from agent_factory_site.common.forecasting import NoForecast
from financial.domain.budget_rules import BudgetRule
from financial.domain.budget_state import threshold_amount
from financial.selectors.budget_burn_up import BurnUp
from financial.selectors.budget_forecast import BudgetForecast
from financial.selectors.budgets import PeriodStatus

from .budget_forms import percent_text

AHEAD = 390
"""Steps of a forecast that are drawn at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: ``expected`` for steps to come."""

    name: str
    settled: int | None
    expected: int | None = None
    low: int | None = None
    high: int | None = None


class Step(NamedTuple):
    """The spend expected by an instant, and where it lies with 95 % and with 80 %."""

    at: datetime
    expected: int
    low: int
    high: int
    low_80: int
    high_80: int


@dataclass(frozen=True, slots=True)
class BurnUpPicture:
    """The chart for wide and narrow windows, and the same numbers in rows."""

    wide: SafeString
    narrow: SafeString
    rows: list[Row]
    apportioned: bool


def burn_up_picture(
    rule: BudgetRule, period: PeriodStatus, burn: BurnUp, forecast: BudgetForecast | NoForecast, now: datetime
) -> BurnUpPicture:
    """What was settled by day or hour, what is held now, the limit, and where the period is heading."""
    ahead = [] if isinstance(forecast, NoForecast) else _ahead(forecast, burn, now)
    zone = rule.period.zone
    slots = [_slot(point.start, zone, burn.unit, partial=point.end > now) for point in burn.points]
    # A step of the forecast is named by the day that it ends.
    slots += [_slot(step.at - timedelta(microseconds=1), zone, burn.unit) for step in ahead]
    done, to_come = len(burn.points), [None] * len(ahead)
    before: list[int | None] = [None] * done
    settled = Series("Settled", [*(point.settled for point in burn.points), *to_come])
    held = Series("Held", [*before[:-1], period.held or None, *to_come])
    thresholds = [
        Mark(f"{percent_text(float(share))}%", threshold_amount(share, period.limit))
        for share in rule.thresholds
        if share != 1 and period.limit
    ]
    bands = []
    if ahead:
        from_here = [*before[:-1], period.settled]
        bands = [
            _stretch("95% band", from_here, [(step.low, step.high) for step in ahead]),
            _stretch("80% band", from_here, [(step.low_80, step.high_80) for step in ahead]),
        ]
    expected = Series("Expected", [*before, *(step.expected for step in ahead)]) if ahead else None
    hard = "Hard limit" if rule.hard else "Soft limit"
    words = _description(rule, period, forecast)

    def draw(width: float, height: float) -> SafeString:
        return burn_up_chart(
            title="Burn-up of the period",
            slots=slots,
            spent=settled,
            held=held,
            expected=expected,
            bands=bands,
            limit=Mark(hard, period.limit),
            lines=thresholds,
            style=money_format(rule.currency),
            description=words,
            width=width,
            height=height,
        )

    rows = [Row(slot.full_name, point.settled) for slot, point in zip(slots, burn.points)]
    rows += [
        Row(slot.full_name, None, step.expected, step.low, step.high)
        for slot, step in zip(slots[done:], ahead)
    ]
    return BurnUpPicture(draw(960, 320), draw(340, 280), rows, burn.apportioned)


def _ahead(forecast: BudgetForecast, burn: BurnUp, now: datetime) -> list[Step]:
    """The steps after the current one. The bands open as the root of the time that has gone by then."""
    path = forecast.path
    steps = [point for point in path if not burn.points or point.at > burn.points[-1].end] or list(path)
    every = -(-len(steps) // AHEAD)
    if every > 1:
        steps = [
            point for number, point in enumerate(steps, 1) if number % every == 0 or number == len(steps)
        ]
    end = path[-1]
    whole = max((end.at - now).total_seconds(), 1.0)
    settled = burn.points[-1].settled if burn.points else 0
    found = []
    for point in steps:
        opened = min(1.0, max(0.0, (point.at - now).total_seconds() / whole)) ** 0.5

        def at(bound: int) -> int:
            return max(settled, point.expected + round((bound - end.expected) * opened))  # noqa: B023

        bounds = (forecast.low, forecast.high, forecast.low_80, forecast.high_80)
        found.append(Step(point.at, point.expected, *(at(bound) for bound in bounds)))
    return found


def _stretch(name: str, before: list[int | None], ahead: list[tuple[int, int]]) -> Stretch:
    return Stretch(name, [*before, *(low for low, _ in ahead)], [*before, *(high for _, high in ahead)])


def _slot(at: datetime, zone: tzinfo, unit: str, partial: bool = False) -> Slot:
    local = at.astimezone(zone)
    if unit == "hour":
        return Slot(f"{local:%H}:00", f"{local:%Y-%m-%d %H}:00", partial=partial)
    return Slot(f"{local:%b} {local.day}", f"{local:%Y-%m-%d}", partial=partial)


def _description(rule: BudgetRule, period: PeriodStatus, forecast: BudgetForecast | NoForecast) -> str:
    words = [
        f"{money_text(period.settled, rule.currency)} settled and {money_text(period.held, rule.currency)} held "
        f"of a {'hard' if rule.hard else 'soft'} limit of {money_text(period.limit, rule.currency)}."
    ]
    if not isinstance(forecast, NoForecast):
        words.append(
            f"Expected at the end: {money_text(forecast.expected, rule.currency)}, between "
            f"{money_text(forecast.low, rule.currency)} and {money_text(forecast.high, rule.currency)} with a "
            "probability of 95 %. The table below holds the steps."
        )
    return " ".join(words)
