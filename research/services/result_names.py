"""Numbers of sources and judges; those never seen before are registered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from agent_factory_site.common.db.retry import retry_conflicts
from research.models import Judge, ResultSource

JudgeName = tuple[str, str, str]
"""Source, name and version."""


@dataclass(frozen=True, slots=True)
class Names:
    """All sources of an experiment by their key, and judges by source, name and version."""

    sources: dict[str, int]
    judges: dict[JudgeName, int]


def resolve_names(experiment: UUID, *, sources: Collection[str], judges: Collection[JudgeName] = ()) -> Names:
    """The sources of an experiment and the judges asked for, registered where they are new."""
    found = _stored(experiment)
    if not all(source in found.sources for source in sources):
        retry_conflicts(lambda: _register_sources(experiment, sorted(set(sources) - set(found.sources))))
        found = _stored(experiment)
    if not all(judge in found.judges for judge in judges):
        missing = sorted(set(judges) - set(found.judges))
        numbers = found.sources
        retry_conflicts(lambda: _register_judges(numbers, missing))
        found = _stored(experiment)
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
