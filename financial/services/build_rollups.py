"""Bringing the facet rollups in line with the settings: building what is new, dropping what is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from agent_factory_site.common.services.entities import resolve_entities
from financial.models import (
    CostAttribution,
    CostEvent,
    CostEventKey,
    CostFacetDimension,
    CostFacetRollupDay,
    CostFacetRollupQuarter,
    LedgerArchive,
)
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.archives import MOVING

from .facets import FacetSubject, facet_owners
from .rollups import add_to_facet_rollups

CHUNK = 2000


@dataclass(frozen=True, slots=True)
class BuiltRollups:
    """Dimensions that were built and dropped, and the ledger rows read for it."""

    built: list[str]
    dropped: list[str]
    events: int


def wanted_dimensions() -> list[tuple[str, str]]:
    """(owner type, dimension) of everything the settings ask for."""
    pairs = []
    for pair in settings.COST_ROLLUP_PAIRS:
        owner, colon, second = pair.strip().partition(":")
        if not (owner and colon and second):
            raise Invalid("bad_setting", f"COST_ROLLUP_PAIRS: {pair!r} is not of the form agent:user.")
        pairs.append((owner, f"entity:{second}"))
    return sorted({*pairs, *(("", f"tag:{key.strip()}") for key in settings.COST_ROLLUP_TAGS)})


def build_rollups(*, progress: Callable[[int], None] = lambda events: None) -> BuiltRollups:
    """Make the facet rollups those of the settings, in one transaction that holds writers off.

    ``progress`` is told the number of ledger rows read so far.
    """
    wanted = wanted_dimensions()
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # Waits for writers that have not seen the new dimensions, and holds off the next ones.
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {CostEventKey._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")
        if LedgerArchive.objects.filter(state__in=MOVING).exists():
            raise Conflict(
                "archive_running", "A month of the ledger is being archived or restored: finish that first."
            )
        present = {(row.owner_type, row.dimension): row for row in CostFacetDimension.objects.all()}
        gone = [row for name, row in present.items() if name not in wanted]
        for row in gone:
            CostFacetRollupQuarter.objects.filter(dimension=row).delete()
            CostFacetRollupDay.objects.filter(dimension=row).delete()
            row.delete()
        new = [
            CostFacetDimension.objects.create(owner_type=owner, dimension=dimension)
            for owner, dimension in wanted
            if (owner, dimension) not in present
        ]
        events = _build(new, progress) if new else 0
    return BuiltRollups([str(row) for row in new], [str(row) for row in gone], events)


def _build(dimensions: list[CostFacetDimension], progress: Callable[[int], None]) -> int:
    fleet = resolve_entities([FLEET])
    done = 0
    for chunk in _chunks():
        seen = CostAttribution.objects.filter(event__in=[event.id for event in chunk])
        pairs = list(seen.values_list("event", "entity_id"))
        names: dict[int, EntityName] = {
            pk: (kind, key)
            for pk, kind, key in Entity.objects.filter(pk__in={pk for _, pk in pairs}).values_list(
                "pk", "type", "key"
            )
        }
        by_event: dict[object, list[EntityName]] = {}
        for event, number in pairs:
            by_event.setdefault(event, []).append(names[number])
        numbers = {name: pk for pk, name in names.items()} | fleet
        subjects = [FacetSubject(by_event[event.id], event.tags) for event in chunk]
        owners = facet_owners(dimensions, subjects, numbers)
        add_to_facet_rollups(
            [
                (each, event.occurred_at, event.series_id, measures(event))
                for each, event in zip(owners, chunk, strict=True)
                if each
            ]
        )
        done += len(chunk)
        progress(done)
    return done


def measures(event: CostEvent) -> tuple[int, ...]:
    """What a ledger row adds to its rollups, in their order."""
    usage = (getattr(event, name) for name in USAGE_FIELDS)
    return int(event.kind == CostEvent.Kind.CHARGE), event.unpriced, event.amount, event.base_amount, *usage


def _chunks() -> Iterator[list[CostEvent]]:
    last = None
    while True:
        rows = CostEvent.objects.order_by("pk")
        chunk = list((rows.filter(pk__gt=last) if last else rows)[:CHUNK])
        if not chunk:
            return
        yield chunk
        last = chunk[-1].pk
