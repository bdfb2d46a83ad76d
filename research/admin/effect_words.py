"""Effects, intervals and probabilities as they are read on a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from agent_factory_site.common.charts import NumberFormat, plain_format, ratio_format
from research.domain.statistics.values import WORDS
from research.models import Metric

from .experiment_words import THIN

MINUS: Final = "\N{MINUS SIGN}"
POINTS: Final = f"{THIN}pp"
"""Percentage points: a difference of two shares."""


def _signed(value: float, digits: int) -> str:
    if abs(value) >= 1e5 or (value and abs(value) < 1e-4):
        text = f"{value:+.{digits - 1}e}"
    else:
        text = f"{value:+.{digits}g}"
    return text.replace("-", MINUS) if value else "0"


def effect_words(metric: Metric, value: float | None) -> str:
    """A difference, with its sign: of proportions in percentage points."""
    if value is None:
        return "–"
    if metric.kind == Metric.Kind.PROPORTION:
        return f"{_signed(value * 100, 3)}{POINTS}"
    return _signed(value, 3)


def size_words(metric: Metric, value: float | None) -> str:
    """The size of a difference, without a sign."""
    return effect_words(metric, value).lstrip("+")


def interval_words(metric: Metric, interval: Sequence[float] | None) -> str:
    """``+0.3 to +10.2 pp``."""
    if interval is None:
        return "–"
    low, high = (effect_words(metric, side) for side in interval)
    return f"{low.removesuffix(POINTS)} to {high}"


def relative_words(value: float | None) -> str:
    """A share of the baseline's value, with its sign."""
    return "–" if value is None else f"{_signed(value * 100, 3)}{THIN}%"


def relative_interval_words(interval: Sequence[float] | None) -> str:
    """The same, from low to high."""
    if interval is None:
        return "–"
    low, high = (relative_words(side) for side in interval)
    return f"{low.removesuffix(f'{THIN}%')} to {high}"


def p_words(value: float | None) -> str:
    """A p-value to two digits; never zero."""
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def p_sentence(value: float | None) -> str:
    """``p = 0.012``, ``p < 0.0001``."""
    words = p_words(value)
    return f"p {words}" if words.startswith("<") else f"p = {words}"


def chance_words(value: float | None) -> str:
    """A chance that never claims certainty."""
    if value is None:
        return "–"
    if value > 0.999:
        return f"> 99.9{THIN}%"
    return f"< 0.1{THIN}%" if value < 0.001 else f"{value * 100:.1f}{THIN}%"


def reason_words(reason: str | None) -> str:
    """Why a number is not there, as a sentence without its stop."""
    if reason is None:
        return "No interval"
    words = next((words for known, words in WORDS.items() if known == reason), reason)
    return words[0].upper() + words[1:]


def effect_format(metric: Metric) -> NumberFormat:
    """How a chart writes effects on a metric."""
    if metric.kind != Metric.Kind.PROPORTION:
        plain = plain_format()
        return NumberFormat(lambda value: effect_words(metric, float(value)), plain.tick)
    share = ratio_format()
    return NumberFormat(
        lambda value: effect_words(metric, float(value)),
        lambda value, step: share.tick(value, step).replace("%", "pp"),
    )


def change_words(
    verdict: Mapping[str, Any],
    primary: str,
    engine: str,
    arms: Mapping[str, datetime | None],
    *,
    breached: Collection[str] = (),
    final: bool = False,
) -> str:
    """What would change a verdict that is given; empty for one that waits, whose blockers say it. ``arms`` has when
    each arm but the baseline was stopped, ``breached`` those that breach a guardrail; ``final`` says that results stay
    those of the last look.
    """
    code = verdict["code"]
    look = " at the next look" if engine == "group_sequential" else ""
    if code == "ship" and final:
        return (
            f"{verdict['variant']} being stopped, as it is when it breaches a guardrail, "
            "or a check of health that fails"
        )
    if code == "ship":
        return (
            f"an interval of {primary} that reaches no effect again{look}, a guardrail that {verdict['variant']} "
            "breaches, or a check of health that fails"
        )
    if code == "unhealthy":
        return "the cause found and mended, and a new phase, which counts units afresh"
    if code == "not_started":
        return "the first exposed units"
    if code != "roll_back":
        return ""
    if all(arms.values()):
        return "nothing any more, as every other arm was stopped"
    if all(stopped or arm in breached for arm, stopped in arms.items()):
        return "nothing any more, as every other arm was stopped or breaches a guardrail"
    if final:
        return "only a check of health that fails, as the last look was taken"
    return f"an interval of {primary} on the better side of no effect{look}"
