"""Results with what they mean: comparisons by an engine, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from agent_factory_site.common.db.snapshot import snapshot
from research.domain.analysis_rules import Judged, judge, settings_of
from research.domain.statistics.values import Engine

from .arm_data import health_of, live_measures, progress_of
from .results import ExperimentResults, PhaseData, read_results


@dataclass(frozen=True, slots=True)
class AnalysedResults:
    """Units, sums and exposures as they are now, and what they come to."""

    results: ExperimentResults
    judged: Judged


def analysed_results(
    name: str,
    phase: int | None = None,
    *,
    engine: Engine | None = None,
    alpha: float | None = None,
) -> AnalysedResults:
    """The results of a phase compared by ``engine`` at ``alpha``, those of the experiment where left out.

    A fixed number of statements. Raises :class:`NotFound` for an experiment or a phase that there is not.
    """
    with snapshot():
        found = read_results(name, phase)
        data = found.data
        settings = settings_of(data.experiment.analysis, engine=engine, alpha=alpha)
        judged = judge(live_measures(data), settings, health_of(data), progress_of(data), stopped_arms(data))
    return AnalysedResults(found, judged)


def stopped_arms(data: PhaseData) -> list[str]:
    """Arms that take no new units."""
    return [variant.key for variant in data.variants if variant.stopped_at is not None]
