"""What one metric shows in each segment, on the page of an experiment."""

from __future__ import annotations

from typing import Any, Final

from research.models import Metric
from research.selectors.analysis import AnalysedResults
from research.selectors.segments import COVARIATE, metric_segments, segment_groups

from .effect_words import effect_words, interval_words, reason_words
from .experiment_view import View

ROWS: Final = 200
"""So many comparisons at most, a row each; the API answers them all."""


def segments_context(found: AnalysedResults, metric: Metric, view: View) -> dict[str, Any] | None:
    """What segments may be told apart by, and the rows of the one that is looked at; None without any."""
    groups = segment_groups(found)
    if not groups:
        return None
    by = view.by if view.by in groups else groups[0]
    rows: list[dict[str, Any]] = []
    segments = metric_segments(found, metric.key, by)
    shown = max(1, ROWS // max(1, len(segments[0].comparisons) if segments else 1))
    for segment in segments[:shown]:
        for place, one in enumerate(segment.comparisons):
            rows.append(
                {
                    "words": segment.words if place == 0 else "",
                    "span": len(segment.comparisons) if place == 0 else 0,
                    "variant": one["variant"],
                    "units": segment.units.get(one["variant"], 0),
                    "baseline_units": segment.units.get(one["baseline"], 0),
                    "effect": effect_words(metric, one["effect"]),
                    "ci": interval_words(metric, one["ci"]),
                    "reason": reason_words(one["undefined"]) if one["undefined"] else "",
                }
            )
    return {
        "by": by,
        "covariate": by == COVARIATE,
        "groups": [
            {
                "name": "Covariate" if name == COVARIATE else name,
                "query": view.query(by=name),
                "on": name == by,
            }
            for name in groups
        ],
        "rows": rows,
        "left_out": max(0, len(segments) - shown),
    }
