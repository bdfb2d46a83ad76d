"""The numbers that budgets publish: of the current periods, where most is spent and held first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from agent_factory_site.common.metrics import Number, Sample, register, shared
from agent_factory_site.common.money import to_decimal
from financial.domain.budget_state import Standing
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


def _overruns() -> Iterable[Sample]:
    for (budget, cause), count in overruns_by_cause().items():
        yield Sample({"budget": budget, "cause": cause}, count)


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
    name="agent_factory_budget_limit",
    help="Limit of a budget in its current period, with what was carried over and overrides.",
    unit="",
    labels=LABELS,
    current=_now(lambda standing: to_decimal(standing.limit)),
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
    max_series=MAX_PERIODS,
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
    kind="counter",
    max_series=MAX_PERIODS,
)
register(
    name="agent_factory_budget_threshold_crossings_total",
    help="Times that a threshold of a budget was reached, once in each period.",
    unit="crossings",
    labels=("budget", "threshold"),
    current=_crossings,
    kind="counter",
    max_series=MAX_PERIODS,
)
