"""Experiments in words: states and their colours, rules, coverage, estimates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from research.domain.statistics.srm import SampleRatio
from research.models import Experiment, Metric

from .flag_form import OPERATOR_WORDS

STATE_COLOURS: Final[Mapping[str, str | None]] = {
    "draft": None,
    "running": "success",
    "paused": "warning",
    "stopped": "info",
    "archived": None,
}
STATE_BADGES: Final = {"running": "af-badge-good", "paused": "af-badge-warn", "stopped": "af-badge-info"}
STATE_WORDS: Final = {
    "draft": "Nobody is served yet: everything may still change.",
    "running": "Units are assigned and results are counted.",
    "paused": "Nobody is served and nothing is counted until it is resumed; units keep their arms.",
    "stopped": "It has ended: its results stay.",
    "archived": "Put away.",
}
ENGINE_WORDS: Final = {
    "sequential": "Sequential: may be looked at any time",
    "fixed": "Fixed horizon: one look at the end",
    "group_sequential": "Group sequential: a planned number of looks",
    "bayesian": "Bayesian: posterior of the lift",
}
CORRECTION_WORDS: Final = {"none": "None", "holm": "Holm", "bh": "Benjamini-Hochberg"}
STRATA_WORDS: Final = {"day": "Day of first exposure", "covariate": "Covariate: none, low or high"}
SPENDING_WORDS: Final = {"obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock"}
THIN: Final = "\N{NARROW NO-BREAK SPACE}"


def badge(word: str, kind: str = "", title: str = "") -> SafeString:
    """A word in a coloured box."""
    return format_html('<span class="af-badge {}" title="{}">{}</span>', kind, title, word)


def state_badge(experiment: Experiment) -> SafeString:
    """The state as a word in its colour."""
    return badge(experiment.state, STATE_BADGES.get(experiment.state, ""), STATE_WORDS[str(experiment.state)])


def percent(share: float, places: int = 2) -> str:
    """A share as per cent, without trailing zeros."""
    text = f"{share * 100:,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}{THIN}%"


def targeting_words(rule: Mapping[str, Any]) -> str:
    """One rule as part of a sentence."""
    value = rule["value"]
    if rule["op"] == "exists":
        return f"{rule['attribute']} {'is there' if value else 'is missing'}"
    shown = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
    return f"{rule['attribute']} {OPERATOR_WORDS[rule['op']]} {shown}"


def _scalar(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) or value == "" else str(value)


def days_words(running: timedelta) -> str:
    """How long it ran: days with one decimal below ten."""
    days = running / timedelta(days=1)
    if days == 0:
        return "–"
    return f"{days:.1f}" if days < 9.95 else f"{days:,.0f}"


def sample_ratio_badge(ratio: SampleRatio) -> SafeString:
    """Whether the arms hold the shares of units that they were given."""
    if ratio.p_value is None:
        return badge("SRM: nothing to test yet", "", "There is nothing to test before the first exposure.")
    words = f"p = {ratio.p_value:.3g}"
    if ratio.ok:
        return badge(
            f"SRM ok, {words}",
            "af-badge-good",
            "Arms hold as many units as their weights say, as far as chance allows.",
        )
    return badge(
        f"SRM: sample ratio mismatch, {words}",
        "af-badge-bad",
        "Arms hold other shares of the units than they were given: results are not to be trusted.",
    )


def metric_words(metric: Metric) -> str:
    """What it takes from each unit."""
    if metric.kind == Metric.Kind.RATIO:
        return f"{metric.numerator} / {metric.denominator}"
    if metric.kind == Metric.Kind.QUANTILE:
        return f"quantile {metric.q:g} of all events"
    each = {"sum": "sum", "mean": "mean", "max": "largest", "last": "last"}[metric.aggregate]
    return f"{metric.kind}, {each} per unit"


def aim_words(metric: Metric) -> str:
    """Which way is better, and what difference counts."""
    words = "up is better" if metric.direction == Metric.Direction.INCREASE else "down is better"
    scaled = percent if metric.scale == Metric.Scale.RELATIVE else "{:g}".format
    relative = " of the baseline" if metric.scale == Metric.Scale.RELATIVE else ""
    if metric.mde is not None:
        words += f", smallest effect {scaled(metric.mde)}{relative}"
    if metric.margin is not None:
        words += f", margin {scaled(metric.margin)}{relative}"
    return words


def estimate_words(metric: Metric, value: float | None) -> str:
    """An estimate as it is read: shares as per cent, others to five digits."""
    if value is None:
        return "–"
    if metric.kind == Metric.Kind.PROPORTION:
        return percent(value)
    if abs(value) >= 1e5:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.4e}"
    return f"{value:.5g}"
