"""Results in plain words."""

from __future__ import annotations

from .bayesian import PEEKING
from .results import Comparison
from .values import WORDS, Interval


def number(value: float) -> str:
    """Four significant digits, with its sign."""
    return f"{value:+.4g}"


def share(value: float) -> str:
    """A fraction as a percentage, with its sign."""
    return f"{value * 100:+.3g} %"


def probability(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}" if value < 0.1 else f"= {value:.2f}"


def chance(value: float) -> str:
    """A probability as a percentage that never claims certainty."""
    return "above 99.9 %" if value > 0.999 else "below 0.1 %" if value < 0.001 else f"{value * 100:.1f} %"


def comparison_text(one: Comparison) -> str:
    """What the comparison shows, with its interval; where nothing can be said, why."""
    if one.interval is None:
        why = WORDS[one.undefined] if one.undefined else "there is no interval"
        if one.effect is None:
            return f"No comparison of {one.variant} with {one.baseline}: {why}."
        if not one.effect:
            found = f"{one.variant} and {one.baseline} do not differ so far"
        else:
            found = f"{one.variant} differs from {one.baseline} by {number(one.effect)} so far"
        return f"{found}, but nothing can be said about chance: {why}."
    assert one.effect is not None
    level = f"{(1 - one.alpha) * 100:.4g} %"
    said = {
        "better": f"{one.variant} is better than {one.baseline}",
        "worse": f"{one.variant} is worse than {one.baseline}",
        "undecided": f"No difference between {one.variant} and {one.baseline} has been shown",
        "undefined": f"{one.variant} cannot be judged against {one.baseline}",
    }[one.outcome]
    kind = "credible interval" if one.engine == "bayesian" else "interval"
    text = f"{said}: {number(one.effect)} ({level} {kind} {_range(one.interval)})"
    if one.relative_effect is not None:
        text += f", relative {share(one.relative_effect)}"
        if one.relative_interval is not None:
            text += f" ({share(one.relative_interval.low)} to {share(one.relative_interval.high)})"
    if one.engine == "bayesian" and one.bayesian is not None:
        text += (
            f"; chance to beat {one.baseline} {chance(one.bayesian.chance_to_beat)}, "
            f"expected loss {one.bayesian.expected_loss:.4g}. {PEEKING}"
        )
    else:
        if one.p_value is not None:
            text += f"; p {probability(one.p_value)}"
            if one.p_adjusted is not None and one.p_adjusted != one.p_value:
                text += f", corrected {probability(one.p_adjusted)}"
        text += "."
    if one.undefined:
        text += f" {WORDS[one.undefined].capitalize()}."
    return text


def _range(interval: Interval) -> str:
    return f"{number(interval.low)} to {number(interval.high)}"
