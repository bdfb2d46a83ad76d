"""What one metric shows in each segment, from the analysis that the results are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.models.fields.json import KeyTransform

from research.domain.analysis_inputs import arms_of
from research.domain.analysis_json import comparison_json
from research.domain.analysis_rules import Measure, compare_measure, settings_of
from research.domain.segments import attribute_of
from research.domain.statistics.values import Engine
from research.models import Analysis, AnalysisSegment

from .analysis import GROUPS, AnalysedResults
from .arm_data import measured

COVARIATE: Final = "=covariate"
"""What the built-in segments are told apart by; no attribute of an experiment can be called so."""
WORDS: Final = {
    "covariate:none": "Without a covariate",
    "covariate:low": "Covariate up to the median",
    "covariate:high": "Covariate above the median",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A group of units, those of each arm by variant, and the comparisons within it as the API renders them."""

    name: str
    words: str
    units: dict[str, int]
    comparisons: list[dict[str, Any]]


def segment_groups(found: AnalysedResults) -> list[str]:
    """What the segments of the last analysis (by looks: of the last look) are told apart by: attributes in the order
    in which the experiment names them, then ``COVARIATE``. No statement but for what a look saw.
    """
    row = _analysis(found)
    if row is None:
        return []
    attributes = [named[0] for name, _ in row.inputs.get("attributes", ()) if (named := attribute_of(name))]
    groups = list(dict.fromkeys(attributes))
    return [*groups, COVARIATE] if any(name in row.inputs["segments"] for name in GROUPS) else groups


def metric_segments(found: AnalysedResults, metric: str, by: str) -> list[Segment]:
    """The segments of one of :func:`segment_groups`, those without units left out; one statement for an attribute.

    P-values are not corrected for the number of segments: they describe.
    """
    row = _analysis(found)
    if row is None:
        return []
    engine: Engine = found.judged["engine"]
    looked = engine == "group_sequential" and found.looks
    settings = settings_of(
        row.settings,
        engine=engine,
        alpha=found.judged["alpha"],
        looks=tuple(look.fraction for look in found.looks) if looked else (),
        final=found.looks[-1].final if looked else False,
    )
    chosen = next(one for one in found.results.data.metrics if one.key == metric)
    variants = tuple(variant.key for variant in found.results.data.variants)
    counted = dict(row.inputs.get("attributes", ()))
    segments = []
    for name, words, stored in _stored(row, metric, by):
        arms = arms_of(stored, variants)
        if arms is None:
            continue
        units = counted.get(name) or {arm.variant: arm.units for arm in arms}
        if not any(units.values()):
            continue
        compared = compare_measure(Measure(measured(chosen), variants, arms), settings)
        segments.append(Segment(name, words, units, [comparison_json(one) for one in compared.comparisons]))
    return segments


def _analysis(found: AnalysedResults) -> Analysis | None:
    if found.judged["engine"] == "group_sequential" and found.looks:
        return found.looks[-1].analysis
    return found.analysis


def _stored(row: Analysis, metric: str, by: str) -> list[tuple[str, str, Any]]:
    """Name, words and arms of the segments, in order."""
    if by == COVARIATE:
        segments = row.inputs["segments"]
        return [(name, WORDS[name], segments.get(name, {}).get(metric)) for name in GROUPS]
    names = {
        name: named[1]
        for name, _ in row.inputs.get("attributes", ())
        if (named := attribute_of(name)) and named[0] == by
    }
    rows = AnalysisSegment.objects.filter(analysis=row, name__in=names).annotate(
        arms=KeyTransform(metric, "inputs")
    )
    arms = dict(rows.values_list("name", "arms"))
    return [(name, words, arms.get(name)) for name, words in names.items()]
