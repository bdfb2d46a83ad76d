"""The numbers that budgets publish: of the current periods, where most is spent and held first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from agent_factory_site.common.metrics import History, Number, Point, Sample, register, shared
from agent_factory_site.common.money import to_decimal
from financial.domain.budget_state import Standing
from financial.selectors.budget_counts_past import crossings_at, overruns_at
from financial.selectors.budget_past import PastPeriod, find_past, limits_at, spent_at, untold
from financial.selectors.budget_totals import crossings_by_threshold, current_periods, overruns_by_cause

LABELS: Final = ("budget", "name", "entity_type", "entity_id", "period", "currency")
MAX_PERIODS: Final = 500
"""Periods that are published at most."""

_periods = shared(current_periods)


def _now(measure: Callable[[Standing], Number | None]) -> Callable[[], Iterable[Sample]]:
    def current() -> Iterable[Sample]:
        for each in _periods(MAX_PERIODS):
            names = (each.budget, each.name, each.entity_type, each.entity_id, each.key, each.currency)
            yield Sample(dict(zip(LABELS, names, strict=True)), measure(each.standing))

    return current


def _instants(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    instants = []
    while start < end:
        instants.append(start)
        start += step
    return instants


Amounts = Sequence[int | None]
Past = Callable[[PastPeriod, Sequence[datetime]], Sequence[Number | None]]


def _find(labels: Mapping[str, str]) -> PastPeriod | None:
    return find_past(labels["budget"], (labels["entity_type"], labels["entity_id"]), labels["period"])


def _past(measure: Past) -> History:
    """Values as the books have them today, while the period was the present one."""

    def history(
        labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
    ) -> Sequence[Point]:
        instants = _instants(start, end, step)
        found = _find(labels)
        values = [None] * len(instants) if found is None else measure(found, instants)
        return [Point(at, value) for at, value in zip(instants, values, strict=True)]

    return history


def _money(amounts: Amounts) -> list[Number | None]:
    return [None if amount is None else to_decimal(amount) for amount in amounts]


def _spent_ratio(past: PastPeriod, instants: Sequence[datetime]) -> list[Number | None]:
    pairs = zip(spent_at(past, instants), limits_at(past, instants), strict=True)
    return [None if spent is None or not limit else spent / limit for spent, limit in pairs]


def _untold(labels: Mapping[str, str]) -> str:
    found = _find(labels)
    return "" if found is None else untold(found)


def _overruns() -> Iterable[Sample]:
    for (budget, cause), count in overruns_by_cause().items():
        yield Sample({"budget": budget, "cause": cause}, count)


def _past_overruns(
    labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
) -> Sequence[Point]:
    instants = _instants(start, end, step)
    return list(map(Point, instants, overruns_at(labels["budget"], labels["cause"], instants)))


def _past_crossings(
    labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
) -> Sequence[Point]:
    instants = _instants(start, end, step)
    try:
        threshold = Decimal(labels["threshold"])
    except InvalidOperation:
        threshold = Decimal("NaN")
    if not threshold.is_finite() or threshold.adjusted() > 3:
        # No threshold that a budget can have.
        return [Point(at, None) for at in instants]
    return list(map(Point, instants, crossings_at(labels["budget"], threshold, instants)))


def _crossings() -> Iterable[Sample]:
    for (budget, threshold), count in crossings_by_threshold().items():
        yield Sample({"budget": budget, "threshold": f"{threshold.normalize():f}"}, count)


register(
    name="agent_factory_budget_utilisation_ratio",
    help="Spent and held of a budget's limit in its current period; unknown at limit 0.",
    unit="ratio",
    labels=LABELS,
    current=_now(lambda standing: standing.utilisation),
    max_series=MAX_PERIODS,
)
register(
    name="agent_factory_budget_spent_ratio",
    help="Spent of a budget's limit in its current period, holds left out; unknown at limit 0.",
    unit="ratio",
    labels=LABELS,
    current=_now(lambda standing: standing.settled / standing.limit if standing.limit else None),
    history=_past(_spent_ratio),
    max_series=MAX_PERIODS,
    untold=_untold,
)
register(
    name="agent_factory_budget_limit",
    help="Limit of a budget in its current period, with what was carried over and overrides.",
    unit="",
    labels=LABELS,
    current=_now(lambda standing: to_decimal(standing.limit)),
    history=_past(lambda past, instants: _money(limits_at(past, instants))),
    max_series=MAX_PERIODS,
)
register(
    name="agent_factory_budget_remaining",
    help="What a hold may still take of a budget in its current period; negative beyond the limit.",
    unit="",
    labels=LABELS,
    current=_now(lambda standing: to_decimal(standing.remaining)),
    max_series=MAX_PERIODS,
)
register(
    name="agent_factory_budget_settled",
    help="Spent of a budget in its current period, with what is kept for calls without a price.",
    unit="",
    labels=LABELS,
    current=_now(lambda standing: to_decimal(standing.settled)),
    history=_past(lambda past, instants: _money(spent_at(past, instants))),
    max_series=MAX_PERIODS,
    untold=_untold,
)
register(
    name="agent_factory_budget_held",
    help="Held of a budget in its current period by open holds.",
    unit="",
    labels=LABELS,
    current=_now(lambda standing: to_decimal(standing.held)),
    max_series=MAX_PERIODS,
)
register(
    name="agent_factory_budget_overruns_total",
    help="Times that a budget's limit was passed, by cause.",
    unit="overruns",
    labels=("budget", "cause"),
    current=_overruns,
    history=_past_overruns,
    kind="counter",
    max_series=MAX_PERIODS,
)
register(
    name="agent_factory_budget_threshold_crossings_total",
    help="Times that a threshold of a budget was reached, once in each period.",
    unit="crossings",
    labels=("budget", "threshold"),
    current=_crossings,
    history=_past_crossings,
    kind="counter",
    max_series=MAX_PERIODS,
)
