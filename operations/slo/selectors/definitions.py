"""SLOs as the arithmetic sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import cast

from operations.slo.domain.burn_alert_input import fitted_rules, parse_burn_alerts
from operations.slo.domain.burn_alerts import BURN_WINDOWS, BurnRule
from operations.slo.domain.counts import Budgeting
from operations.slo.domain.windows import CalendarUnit, Window, window_from
from operations.slo.models import Slo


@dataclass(frozen=True, slots=True)
class Definition:
    """What an SLO promises; ``rules`` are fitted to its window, ``lengths`` are the windows that look back: those of
    every status, and those of the rules.
    """

    target: Fraction
    window: Window
    budgeting: Budgeting
    rules: tuple[BurnRule, ...]
    lengths: tuple[timedelta, ...]
    min_traffic: int


def definition_of(slo: Slo) -> Definition:
    """What ``slo`` promises."""
    stored = json.dumps(slo.burn_alerts)
    rules, lengths = _rules(stored, slo.rolling_seconds, slo.calendar, slo.timezone)
    return Definition(
        target=_target(slo.target),
        window=_window(slo.rolling_seconds, slo.calendar, slo.timezone),
        budgeting=cast(Budgeting, slo.budgeting),
        rules=rules,
        lengths=lengths,
        min_traffic=slo.min_traffic,
    )


def lengths_of(rules: tuple[BurnRule, ...]) -> tuple[timedelta, ...]:
    """The windows that look back, the shortest first."""
    return tuple(sorted({*BURN_WINDOWS, *(length for rule in rules for length in (rule.long, rule.short))}))


@lru_cache(maxsize=1024)
def _window(rolling_seconds: int | None, calendar: str | None, zone: str) -> Window:
    return window_from(rolling_seconds, cast(CalendarUnit | None, calendar), zone)


@lru_cache(maxsize=1024)
def _target(stored: Decimal) -> Fraction:
    return Fraction(stored)


@lru_cache(maxsize=1024)
def _rules(
    stored: str, rolling_seconds: int | None, calendar: str | None, zone: str
) -> tuple[tuple[BurnRule, ...], tuple[timedelta, ...]]:
    window = _window(rolling_seconds, calendar, zone)
    alerts = parse_burn_alerts(json.loads(stored), window, "/burn_alerts", [])
    # What is stored was checked; a set that was shortened since is no reason to know nothing of the SLO.
    rules = fitted_rules(alerts, window) if alerts is not None else ()
    return rules, lengths_of(rules)
