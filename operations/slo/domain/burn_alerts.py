"""Burn conditions: is an error budget being spent so fast that somebody has to be told?

Multiwindow, multi-burn-rate rules of the SRE workbook, chapter 5 (sre.google/workbook/alerting-on-slos). The burn
rate is error ratio / (1 - target): at 1 the budget lasts for exactly one window. A rule holds while the burn rate over
its long window and that over its short one are both above its factor: the long one says that it matters, the short
one that it goes on. There is no waiting time on top.

A factor is that share of the budget which may be gone when the rule fires: factor = share x period / long window. A
rule that is given by its share therefore means the same for every period; the workbook's factors are those of 30 days.

What a rule's condition is when something is not known:

* A window without data has no burn rate. A rule is false as soon as either window is at or below its factor, whatever
  the other one says; else, if a burn rate is missing, it is ``unknown``, which is neither firing nor all right.
* A condition that was firing (or held) stays so while it is unknown, and says that it is ``stale``: an outage that
  takes its own measurements down must not end its alert. Data ends it, and so does somebody who archives the SLO.
* Below the min-traffic of the long window a condition that is not firing yet does not fire; it is ``ok`` and says
  ``low_traffic``. One that fires goes on until its burn rates fall: fewer requests are no recovery.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import Final, Literal

from .windows import format_duration

Severity = Literal["page", "ticket"]
State = Literal["ok", "firing", "held", "unknown"]
Note = Literal["", "stale", "low_traffic", "no_data"]
REFERENCE: Final = timedelta(days=30)
BURN_WINDOWS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 30, 60, 120, 360, 1440, 4320))
"""The windows over which a status gives burn rates: 5m, 30m, 1h, 2h, 6h, 1d, 3d."""


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Both burn rates above ``factor``. Rules of one SLO are told apart by ``key``."""

    key: str
    long: timedelta
    short: timedelta
    factor: Fraction
    severity: Severity

    @property
    def text(self) -> str:
        """What it says, for people."""
        return f"the budget burns {self.pace}"

    @property
    def pace(self) -> str:
        """How fast the budget burns while it holds."""
        times = "faster than" if self.factor == 1 else f"more than {float(self.factor):g} times as fast as"
        return f"{times} it may, over {format_duration(self.long)} and over {format_duration(self.short)}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A rule before it is fitted to a period: ``share`` of the budget gone within ``long``."""

    long: timedelta
    short: timedelta
    share: Fraction
    severity: Severity

    def fit(self, period: timedelta) -> BurnRule:
        """The rule for a budget that has to last for ``period``."""
        factor = self.share * Fraction(period // timedelta(seconds=1), self.long // timedelta(seconds=1))
        return BurnRule(rule_key(self.long, self.short), self.long, self.short, factor, self.severity)


def rule_key(long: timedelta, short: timedelta) -> str:
    """The key of a rule that was not given one: ``1h_5m``."""
    return f"{format_duration(long)}_{format_duration(short)}"


_ZERO: Final = Fraction(0)
_HOUR: Final = timedelta(hours=1)
DEFAULT: Final = (
    Recipe(_HOUR, _HOUR / 12, Fraction(2, 100), "page"),
    Recipe(6 * _HOUR, _HOUR / 2, Fraction(5, 100), "page"),
    Recipe(72 * _HOUR, 6 * _HOUR, Fraction(10, 100), "ticket"),
)
"""Table 5-8: 14.4, 6 and 1 for 30 days."""
EXTENDED: Final = (*DEFAULT[:2], Recipe(24 * _HOUR, 2 * _HOUR, Fraction(10, 100), "ticket"), DEFAULT[2])
"""With the optional rule of 1 d and 2 h: 3 for 30 days."""
RECIPES: Final[Mapping[str, tuple[Recipe, ...]]] = {"default": DEFAULT, "extended": EXTENDED}


def rules_for(name: str, period: timedelta) -> tuple[BurnRule, ...]:
    """The rules called ``default`` or ``extended`` for a period, without those whose window is longer than it."""
    return tuple(recipe.fit(period) for recipe in RECIPES[name] if recipe.long < period)


def burn_rate(error_ratio: Fraction | None, target: Fraction) -> Fraction | None:
    """How many times as fast as it may the budget is spent; None without data."""
    return None if error_ratio is None else error_ratio / (1 - target)


def burn_rate_of(bad: int, total: int, target: Fraction) -> Fraction | None:
    """:func:`burn_rate` of ``bad`` of ``total``, reduced once; None without data."""
    if total <= 0:
        return None
    if not bad:
        return _ZERO
    whole = target.denominator
    return Fraction(bad * whole, total * (whole - target.numerator))


def budget_share(rule: BurnRule, period: timedelta) -> Fraction:
    """The share of the budget that is gone when the rule fires: factor x long window / period."""
    return rule.factor * Fraction(rule.long // timedelta(seconds=1), period // timedelta(seconds=1))


def detection_time(rule: BurnRule, target: Fraction, error_ratio: Fraction) -> Fraction | None:
    """Seconds of errors, after none, from which the rule holds; None when it never does.

    (1 - target) / error ratio x window x factor, for the slower of both windows, at even traffic.
    """
    needed = rule.factor * (1 - target)
    if error_ratio <= needed:
        return None
    return needed / error_ratio * Fraction(max(rule.long, rule.short) // timedelta(seconds=1))


def reset_time(rule: BurnRule, target: Fraction, error_ratio: Fraction = Fraction(1)) -> Fraction | None:
    """Seconds without errors, after a long time at ``error_ratio``, from which the rule holds no more."""
    needed = rule.factor * (1 - target)
    if error_ratio <= needed:
        return None
    return (1 - needed / error_ratio) * Fraction(min(rule.long, rule.short) // timedelta(seconds=1))


def unreachable(rule: BurnRule, target: Fraction) -> str:
    """Why the rule can never fire, not even when everything fails; or nothing."""
    highest = 1 / (1 - target)
    if rule.factor < highest:
        return ""
    return (
        f"Rule {rule.key} can never fire: with a target of {percent(target)} a full outage burns the budget "
        f"{float(highest):g} times as fast as it may, which is not above {float(rule.factor):g}."
    )


def percent(ratio: Fraction) -> str:
    """``99.9 %``, with as many decimals as it has, up to nine."""
    return f"{float(ratio * 100):.9f}".rstrip("0").rstrip(".") + " %"


@dataclass(frozen=True, slots=True)
class Burn:
    """What a series did over one window; ``rate`` is None when there was no data."""

    rate: Fraction | None
    events: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """What an evaluation found of one rule."""

    rule: BurnRule
    state: State
    long: Fraction | None
    short: Fraction | None
    note: Note = ""

    @property
    def active(self) -> bool:
        """Whether its condition holds, held back or not."""
        return self.state in ("firing", "held")


def evaluate(
    rules: Sequence[BurnRule],
    burns: Mapping[timedelta, Burn],
    *,
    min_traffic: int = 0,
    active: Collection[str] = (),
) -> list[Condition]:
    """The condition of each rule, in the order of the rules.

    ``burns`` by window; ``min_traffic`` is how many events a long window needs before a condition may
    begin; ``active`` are the keys of the rules that were firing or held at the evaluation before. While a rule fires,
    those that are less urgent are held: lower factors, whatever their severity.
    """
    conditions = [_judge(rule, burns, min_traffic, rule.key in active) for rule in rules]
    return _hold_lower(conditions)


_UNKNOWN: Final = Burn(None)


def _at_most(rate: Fraction | None, factor: Fraction) -> bool:
    # What Fraction says too, after it has asked for types; ten thousand groups ask it often.
    return rate is not None and rate.numerator * factor.denominator <= factor.numerator * rate.denominator


def _judge(rule: BurnRule, burns: Mapping[timedelta, Burn], min_traffic: int, was_active: bool) -> Condition:
    long, short = burns.get(rule.long, _UNKNOWN), burns.get(rule.short, _UNKNOWN)
    rates = long.rate, short.rate
    if _at_most(long.rate, rule.factor) or _at_most(short.rate, rule.factor):
        return Condition(rule, "ok", *rates)
    if None in rates:
        return Condition(
            rule, "firing" if was_active else "unknown", *rates, "stale" if was_active else "no_data"
        )
    if not was_active and long.events < min_traffic:
        return Condition(rule, "ok", *rates, "low_traffic")
    return Condition(rule, "firing", *rates)


def _hold_lower(conditions: Iterable[Condition]) -> list[Condition]:
    conditions = list(conditions)
    firing = [found.rule.factor for found in conditions if found.state == "firing"]
    if len(firing) < 2:
        return conditions
    highest = max(firing)
    return [
        Condition(found.rule, "held", found.long, found.short, found.note)
        if found.state == "firing" and found.rule.factor < highest
        else found
        for found in conditions
    ]
