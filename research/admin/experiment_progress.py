"""How an experiment's effect came about: by day with its confidence sequence, and by the looks that were planned."""

from __future__ import annotations

import math
from datetime import date
from typing import Any, Final

from agent_factory_site.common.charts import Banded, Slot, interval_chart, plain_format
from research.domain.analysis_rules import settings_of
from research.domain.looks_ahead import boundaries_ahead
from research.models import Metric
from research.selectors.analysis import AnalysedResults

from .effect_words import effect_format, effect_words, interval_words, p_sentence
from .experiment_words import badge, percent

ARMS_DRAWN: Final = 6
DAYS_SHOWN: Final = 400
"""The last ones of a phase that lasts longer."""
WIDTHS: Final = (("chart", 960), ("chart_small", 460))


def over_time_context(found: AnalysedResults, primary: Metric) -> dict[str, Any] | None:
    """The cumulative effect on the primary metric by day; None before an analysis has read the days."""
    stored = None if found.analysis is None else found.analysis.result.get("over_time")
    if not stored:
        return None
    arms = list(stored)[:ARMS_DRAWN]
    days = [date.fromisoformat(point["day"]) for point in stored[arms[0]]["cumulative"]][-DAYS_SHOWN:]
    points = {arm: stored[arm]["cumulative"][-DAYS_SHOWN:] for arm in arms}
    slots = [Slot(f"{day.day} {day:%b}", f"{day:%A}, {day.day} {day:%B %Y}") for day in days]
    series = [
        Banded(
            arm,
            [point["effect"] if point["ci"] else None for point in points[arm]],
            [point["ci"][0] if point["ci"] else None for point in points[arm]],
            [point["ci"][1] if point["ci"] else None for point in points[arm]],
        )
        for arm in arms
    ]
    charts = {
        name: interval_chart(
            title=f"Effect on {primary.key} of all units up to each day, with its confidence sequence",
            slots=slots,
            series=series,
            style=effect_format(primary),
            within=_settled(series),
            empty="Fewer than 30 units in an arm: no interval yet.",
            width=width,
        )
        for name, width in WIDTHS
    }
    return {
        **charts,
        "metric": primary.key,
        "left_out": len(stored) - len(arms),
        "arms": arms,
        "rows": [
            (
                day,
                [
                    (
                        effect_words(primary, points[arm][place]["effect"]),
                        interval_words(primary, points[arm][place]["ci"]),
                    )
                    for arm in arms
                ],
            )
            for place, day in reversed(list(enumerate(days)))
        ],
        "novelty": [_novelty(primary, arm, stored[arm]["novelty"]) for arm in arms],
    }


def _settled(series: list[Banded]) -> tuple[float, float] | None:
    """From where to where the bands reach once a quarter of the days with one is over, and every effect."""
    lows: list[float] = []
    highs: list[float] = []
    for one in series:
        known = [
            (float(low), float(high))
            for low, high in zip(one.low, one.high, strict=True)
            if low is not None and high is not None
        ]
        later = known[len(known) // 4 :]
        lows += [low for low, _ in later]
        highs += [high for _, high in later]
        values = [float(value) for value in one.values if value is not None]
        lows += values
        highs += values
    return (min(lows), max(highs)) if lows else None


def _novelty(metric: Metric, arm: str, found: dict[str, Any] | None) -> tuple[str, Any, str]:
    if found is None:
        return arm, badge("too early"), "Three days with units in both arms are needed."
    words = f"{effect_words(metric, found['slope'])} a day over {found['days']} days, {p_sentence(found['p_value'])}"
    if found["fades"]:
        return arm, badge("fades", "af-badge-warn"), words
    return arm, badge("no sign of fading", "af-badge-good"), words


def looks_context(found: AnalysedResults, primary: Metric) -> dict[str, Any] | None:
    """The looks taken with their boundaries, and those to come; None for experiments that plan none."""
    analysis = found.results.data.experiment.analysis
    if analysis.get("engine") != "group_sequential":
        return None
    settings = settings_of(analysis)
    count = int(analysis.get("planned_looks", 5))
    taken = [look.fraction for look in found.looks]
    ended = bool(found.looks) and found.looks[-1].final
    ahead = (
        [] if found.next_look is None else boundaries_ahead(taken, count, settings.alpha, settings.spending)
    )
    rows = [_look(look) for look in found.looks]
    arms = list(rows[-1]["z"]) if rows else []
    slots = [Slot(f"Look {row['number']}", f"Look {row['number']} at {row['share']}") for row in rows]
    slots += [
        Slot(f"Look {number}", f"Look {number}, planned at {percent(share, 0)}")
        for number, (share, _) in enumerate(ahead, len(rows) + 1)
    ]
    bounds = [_finite(row["boundary_exact"]) for row in rows] + [_finite(bound) for _, bound in ahead]
    beyond = [None] * len(ahead)
    series = [
        Banded(
            "between the boundaries: go on",
            [None] * len(slots),
            [None if one is None else -one for one in bounds],
            bounds,
        )
    ]
    for arm in arms[:ARMS_DRAWN]:
        values = [row["z"].get(arm) for row in rows] + beyond
        series.append(Banded(f"z of {arm}", values, [None] * len(slots), [None] * len(slots)))
    charts = {
        name: interval_chart(
            title=f"z of {primary.key} at each look against its boundary",
            slots=slots,
            series=series,
            style=plain_format(),
            empty="No look can be planned without an mde of the primary metric."
            if primary.mde is None
            else "No look was taken before the end.",
            width=width,
            height=260,
        )
        for name, width in WIDTHS
    }
    information = None if found.analysis is None else found.analysis.result.get("information")
    return {
        **charts,
        "rows": rows,
        "arms": arms,
        "ahead": [(percent(share, 0), _boundary_words(bound)) for share, bound in ahead],
        "next": None if found.next_look is None else percent(found.next_look, 0),
        "information": None if information is None else percent(information, 1),
        "planned": count,
        "ended": ended,
        "no_mde": primary.mde is None,
    }


def _look(look: Any) -> dict[str, Any]:
    seen = look.analysis.result.get("look") or {"boundary": None, "spent": None, "arms": {}}
    return {
        "number": look.number,
        "planned": percent(look.planned, 0),
        "share": percent(look.fraction, 1),
        "final": look.final,
        "as_of": look.analysis.as_of,
        "boundary": _boundary_words(seen["boundary"]),
        "boundary_exact": seen["boundary"],
        "spent": "–" if seen["spent"] is None else f"{seen['spent']:.2g}",
        "z": {arm: one["z"] for arm, one in seen["arms"].items()},
        "cells": [
            ("–" if one["z"] is None else f"{one['z']:+.2f}", one["crossed"]) for one in seen["arms"].values()
        ],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _boundary_words(value: float | None) -> str:
    known = _finite(value)
    return "none can be crossed" if known is None else f"\N{PLUS-MINUS SIGN}{known:.2f}"
