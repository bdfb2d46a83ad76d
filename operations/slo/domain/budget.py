"""Error budgets: how much may go wrong, how much has, and how long the rest lasts. Exact, in fractions.

**By occurrences** the budget is (1 - target) of the events so far, excluded ones left out: a calendar month is judged
on the events that it has had, on any of its days, and traffic to come is not guessed at. Its minutes are another
way to say the share that is left: minutes left = left ratio x (1 - target) x minutes of the whole window, that is
for how long everything could still fail, at even traffic.

**By time slices** the budget is (1 - target) of the minutes of the whole window, excluded ones left out: 43.2 minutes
in 30 days, known from the first day on. Spent are the bad minutes; minutes without data are neither good nor bad, so
they spend nothing, and the coverage says how many there are.

An adjustment gives budget back (above 0) or takes it away: left = total + adjusted - spent. In minutes it is
turned into events, for an objective by occurrences, at the budget's own rate (events of budget to minutes of budget).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from agent_factory_site.common.periods import Interval

from .burn_alerts import Burn
from .counts import Budgeting, Counts, NoData, View, sli
from .windows import MINUTE, RollingWindow, Window, minutes_in, window_at

PRESENT: Final = (timedelta(hours=1), timedelta(hours=6))
"""The present burn rate is that of the last hour, or of the last six when the hour had no data."""
_NOTHING: Final = Fraction(0)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Budget given back (above 0) or taken away (below 0), in events or in minutes."""

    events: int | None = None
    minutes: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of a window, in events, or in minutes for time slices.

    ``left``, ``left_ratio``, ``minutes_left`` and ``met`` are None, with a ``reason``, when nothing was counted.
    """

    budgeting: Budgeting
    good: int
    counted: int
    total: Fraction
    spent: int
    adjusted: Fraction
    minutes: Fraction
    left: Fraction | None
    left_ratio: Fraction | None
    minutes_left: Fraction | None
    met: bool | None
    reason: NoData | None = None


def budget_of(
    counts: Counts,
    *,
    target: Fraction,
    budgeting: Budgeting,
    window_minutes: int,
    excluded_minutes: int = 0,
    adjustments: Iterable[Adjustment] = (),
    view: View = "after",
) -> Budget:
    """The budget of a window of ``window_minutes`` as a whole, of which ``excluded_minutes`` are maintenance.

    In the view ``before`` nothing is excluded.
    """
    level = sli(counts, budgeting, view)
    allowed = 1 - target
    minutes = allowed * max(0, window_minutes - (excluded_minutes if view == "after" else 0))
    total = allowed * level.total if budgeting == "occurrences" else minutes
    spent = level.total - level.good
    adjusted = _NOTHING
    for adjustment in adjustments:
        adjusted += _amount(adjustment, budgeting, total / minutes if minutes else _NOTHING)
    if level.ratio is None or not total:
        reason = level.reason or "all_excluded"
        return Budget(
            budgeting,
            level.good,
            level.total,
            total,
            spent,
            adjusted,
            minutes,
            None,
            None,
            None,
            None,
            reason,
        )
    left = total - spent + adjusted if adjusted else total - spent
    ratio = left / total
    return Budget(
        budgeting=budgeting,
        good=level.good,
        counted=level.total,
        total=total,
        spent=spent,
        adjusted=adjusted,
        minutes=minutes,
        left=left,
        left_ratio=ratio,
        minutes_left=ratio * minutes,
        met=left.numerator >= 0,
    )


def _amount(adjustment: Adjustment, budgeting: Budgeting, rate: Fraction) -> Fraction:
    if adjustment.events is not None:
        return Fraction(adjustment.events)
    minutes = Fraction(adjustment.minutes or 0)
    return minutes * rate if budgeting == "occurrences" else minutes


def present_burn(burns: Mapping[timedelta, Burn]) -> Fraction | None:
    """The burn rate by which the time to exhaustion is told; None without data."""
    rates = (burns[window].rate for window in PRESENT if window in burns)
    return next((rate for rate in rates if rate is not None), None)


Outlook = Literal["exhausted", "exhausts", "lasts", "no_data"]


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """When the budget is gone at the present burn rate: ``at`` is None unless it ``exhausts``."""

    outlook: Outlook
    at: datetime | None = None


def exhaustion(
    budget: Budget, burn: Fraction | None, window: Window, target: Fraction, at: datetime
) -> Exhaustion:
    """When nothing is left if the burn rate, and the traffic, stay as they are at ``at``.

    Rolling: left ratio x window / burn rate, the earliest possible, as if no error left the window before; never when
    that is no less than the window, for by then it holds new errors only. Calendar, time slices:
    minutes left / ((1 - target) x burn rate). Calendar, occurrences: new traffic brings new budget, so that
    time begun x left ratio / (burn rate - 1). A budget that outlives its calendar window ``lasts``.
    """
    if budget.left_ratio is None or budget.minutes_left is None:
        return Exhaustion("no_data")
    if budget.left_ratio.numerator <= 0:
        return Exhaustion("exhausted")
    if burn is None:
        return Exhaustion("no_data")
    if burn.numerator <= 0:
        return Exhaustion("lasts")
    whole = window_at(window, at)
    if isinstance(window, RollingWindow):
        needed: Fraction | None = budget.left_ratio * minutes_in(whole) / burn
        limit = Fraction(minutes_in(whole))
    else:
        limit = Fraction((whole.end - at) // _SECOND, 60)
        if budget.budgeting == "timeslices":
            needed = budget.minutes_left / ((1 - target) * burn)
        else:
            begun = Fraction((at - whole.start) // _SECOND, 60)
            needed = begun * budget.left_ratio / (burn - 1) if burn > 1 else None
    if needed is None or needed >= limit:
        return Exhaustion("lasts")
    return Exhaustion("exhausts", at + timedelta(seconds=int(needed * 60)))


def coverage(minutes_with_data: int, begun: Interval) -> Fraction | None:
    """The share of the minutes so far that have data; None when no minute has begun."""
    minutes = begun.duration // MINUTE
    return Fraction(min(max(0, minutes_with_data), minutes), minutes) if minutes else None
