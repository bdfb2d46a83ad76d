"""Numbers of sources and judges; those never seen before are registered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import transaction

from agent_factory_site.common.caching import CommittedCache
from agent_factory_site.common.db.retry import retry_conflicts
from research.models import Judge, ResultSource

JudgeName = tuple[str, str, str]
"""Source, name and version."""


_sources: Final[CommittedCache[tuple[UUID, str], int]] = CommittedCache()


@dataclass(frozen=True, slots=True)
class Names:
    """Sources of an experiment by their key, and judges by source, name and version."""

    sources: dict[str, int]
    judges: dict[JudgeName, int]


def resolve_names(
    experiment: UUID,
    *,
    sources: Collection[str],
    judges: Collection[JudgeName] = (),
    beside: Collection[str] = (),
) -> Names:
    """The sources and the judges asked for, registered where they are new; of ``beside`` those that there are.

    Without judges, and where this process has met all of the sources before, nothing is asked.
    """
    wanted = {(experiment, source) for source in (*sources, *beside)}
    if not judges and len(met := _sources.get_many(wanted)) == len(wanted):
        return Names({source: number for (_, source), number in met.items()}, {})
    found = _stored(experiment)
    if not all(source in found.sources for source in sources):
        retry_conflicts(lambda: _register_sources(experiment, sorted(set(sources) - set(found.sources))))
        found = _stored(experiment)
    if not all(judge in found.judges for judge in judges):
        missing = sorted(set(judges) - set(found.judges))
        numbers = found.sources
        retry_conflicts(lambda: _register_judges(numbers, missing))
        found = _stored(experiment)
    _sources.put_on_commit({(experiment, source): number for source, number in found.sources.items()})
    return found


def _stored(experiment: UUID) -> Names:
    sources = dict(ResultSource.objects.filter(experiment=experiment).values_list("key", "pk"))
    rows = Judge.objects.filter(source__experiment=experiment)
    judges = {
        (source, name, version): pk
        for source, name, version, pk in rows.values_list("source__key", "name", "version", "pk")
    }
    return Names(sources, judges)


def _register_sources(experiment: UUID, keys: Collection[str]) -> None:
    with transaction.atomic():
        ResultSource.objects.bulk_create(
            [ResultSource(experiment_id=experiment, key=key) for key in keys], ignore_conflicts=True
        )


def _register_judges(sources: dict[str, int], judges: Collection[JudgeName]) -> None:
    with transaction.atomic():
        Judge.objects.bulk_create(
            [
                Judge(source_id=sources[source], name=name, version=version)
                for source, name, version in judges
            ],
            ignore_conflicts=True,
        )
