"""The numbers of a service level in sentences that people can check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from math import floor, log10

from .budget import Budget, Exhaustion
from .burn_alerts import Condition, percent
from .windows import format_duration


def number(value: Fraction | int) -> str:
    """With separators and about three figures: ``99,123``, ``43.2``, ``0.14``, and never 0 for what is not."""
    size = abs(float(value))
    places = 0 if size >= 100 else 1 if size >= 10 else 2
    if 0 < size < 0.01:
        places = 1 - floor(log10(size))
    text = f"{float(value):,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text


def level(ratio: Fraction) -> str:
    """A service level in percent, cut off after four decimals so that 99.99999 % does not read as 100 %."""
    units = int(ratio * 1_000_000)
    return f"{units // 10_000}.{units % 10_000:04d}".rstrip("0").rstrip(".") + " %"


def budget_text(budget: Budget) -> str:
    """``99,123 of 99,999 good; budget 100, 876 used.``"""
    if budget.left is None:
        if budget.reason == "all_excluded":
            return "All data of this window lies in maintenance windows: it is neither met nor missed."
        return "No data in this window: it is neither met nor missed."
    unit = " minutes" if budget.budgeting == "timeslices" else ""
    text = (
        f"{budget.good:,} of {budget.counted:,}{unit} good; "
        f"budget {number(budget.total)}{unit}, {budget.spent:,} used"
    )
    if budget.adjusted:
        text += f", {number(abs(budget.adjusted))} {'given back' if budget.adjusted > 0 else 'taken away'}"
    return text + "."


def left_text(budget: Budget) -> str:
    """What is left of the budget, as a share and as minutes."""
    if budget.left_ratio is None or budget.minutes_left is None:
        return ""
    share = number(abs(budget.left_ratio) * 100)
    minutes = number(abs(budget.minutes_left))
    noun = "minute" if minutes == "1" else "minutes"
    what = f"bad {noun}" if budget.budgeting == "timeslices" else f"{noun} of full outage at even traffic"
    if budget.left_ratio < 0:
        return f"The budget is overdrawn by {share} %, {minutes} {what}."
    return f"{share} % of the budget is left, {minutes} {what}."


def burn_text(rate: Fraction | None, window: timedelta) -> str:
    """How fast the budget is spent."""
    length = format_duration(window)
    if rate is None:
        return f"No data in the last {length}."
    if not rate:
        return f"In the last {length} none of the budget was spent."
    times = number(rate)
    pace = f"{times} times as fast as it may be"
    if rate == 1:
        pace = "just as fast as it may be"
    elif times == "1":
        pace = f"a trace {'faster' if rate > 1 else 'more slowly'} than it may be"
    return f"In the last {length} the budget was spent {pace}."


def exhaustion_text(found: Exhaustion) -> str:
    """When the budget is gone."""
    match found.outlook:
        case "exhausted":
            return "The budget is used up."
        case "exhausts":
            assert found.at is not None
            return f"At the present burn rate it is gone by {found.at:%Y-%m-%d %H:%M} UTC."
        case "lasts":
            return "At the present burn rate it lasts."
        case "no_data":
            return "Without data nobody knows how long it lasts."


def coverage_text(share: Fraction | None) -> str:
    """How much of the window is known."""
    return "No minute has begun." if share is None else f"{level(share)} of the minutes so far have data."


def condition_text(condition: Condition) -> str:
    """What a burn rule found."""
    pace = condition.rule.pace
    match condition.state:
        case "ok" if condition.note == "low_traffic":
            return f"Quiet: there are too few events to tell whether the budget burns {pace}."
        case "ok":
            return f"Quiet: the budget does not burn {pace}."
        case "unknown":
            return f"Unknown: there is no data to tell whether the budget burns {pace}."
    state = {"firing": "Firing", "held": "Held back by a more urgent rule"}[condition.state]
    if condition.note == "stale":
        return f"{state}: the budget burned {pace}; there is no data now that would end it."
    return f"{state}: {condition.rule.text}."


def status_text(
    ratio: Fraction | None,
    target: Fraction,
    budget: Budget,
    found: Exhaustion,
    conditions: Sequence[Condition] = (),
) -> str:
    """A service level in a few sentences."""
    if ratio is None:
        return budget_text(budget)
    verdict = "Met" if budget.met else "Missed"
    parts = [
        f"{verdict}: {level(ratio)}, objective {percent(target)}.",
        budget_text(budget),
        left_text(budget),
    ]
    if budget.met and ratio < target and budget.budgeting == "timeslices" and not budget.adjusted:
        parts.append("Minutes without data, or still to come, have spent nothing of it.")
    if found.outlook != "exhausted":
        parts.append(exhaustion_text(found))
    parts += [condition_text(condition) for condition in conditions if condition.active]
    return " ".join(parts)
