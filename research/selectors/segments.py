"""What one metric shows in each segment, from the analysis that the results are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from research.domain.analysis_inputs import arms_of
from research.domain.analysis_json import comparison_json
from research.domain.analysis_rules import Measure, compare_measure, settings_of
from research.domain.statistics.values import Engine

from .analysis import GROUPS, AnalysedResults
from .arm_data import measured

WORDS: Final = {
    "covariate:none": "without a covariate",
    "covariate:low": "covariate up to the median",
    "covariate:high": "covariate above the median",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A group of units, those of each arm by variant, and the comparisons within it as the API renders them."""

    name: str
    words: str
    units: dict[str, int]
    comparisons: list[dict[str, Any]]


def metric_segments(found: AnalysedResults, metric: str) -> list[Segment]:
    """The groups by covariate of the last analysis (by looks: of the last look); none before it. No statement.

    P-values are not corrected for the number of segments: they describe.
    """
    engine: Engine = found.judged["engine"]
    row = found.analysis
    looks: tuple[float, ...] = ()
    final = False
    if engine == "group_sequential" and found.looks:
        row = found.looks[-1].analysis
        looks = tuple(look.fraction for look in found.looks)
        final = found.looks[-1].final
    if row is None:
        return []
    chosen = next(one for one in found.results.data.metrics if one.key == metric)
    settings = settings_of(row.settings, engine=engine, alpha=found.judged["alpha"], looks=looks, final=final)
    variants = tuple(variant.key for variant in found.results.data.variants)
    segments = []
    for name in GROUPS:
        arms = arms_of(row.inputs["segments"].get(name, {}).get(metric), variants)
        if arms is None:
            continue
        units = {arm.variant: arm.units for arm in arms}
        if not any(units.values()):
            continue
        compared = compare_measure(Measure(measured(chosen), variants, arms), settings)
        segments.append(
            Segment(name, WORDS[name], units, [comparison_json(one) for one in compared.comparisons])
        )
    return segments
