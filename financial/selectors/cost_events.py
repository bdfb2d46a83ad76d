"""Reading ledger rows: one, or a page of a filtered list at the same cost anywhere in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import Entity
from agent_factory_site.common.pagination import Ordering, Page, page_of
from agent_factory_site.common.selectors.entities import find_entities
from financial.domain.cost_input import event_key
from financial.models import CostAttribution, CostEvent, CostEventKey, CostSeries

from .tags import with_tag

EXPORT_CHUNK: Final = 1_000
_BY_TIME: Final = Ordering.of(CostEvent, ("-occurred_at", "-id"))
# Unique within one entity, which every list over attributions is restricted to.
_BY_ATTRIBUTION: Final = Ordering(
    (CostAttribution._meta.get_field("occurred_at"), CostAttribution._meta.get_field("event")),
    descending=True,
    salt="cursor financial.CostAttribution",
)


@dataclass(frozen=True, slots=True)
class CostFilters:
    """What to list; None leaves a filter out. ``start`` is included, ``end`` is not."""

    start: datetime | None = None
    end: datetime | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    source: str | None = None
    event_id: str | None = None
    run_id: str | None = None
    cost_type: str | None = None
    provider: str | None = None
    model: str | None = None
    unpriced: bool | None = None
    currency: str | None = None
    kind: str | None = None
    tags: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class CostEventRow:
    """A ledger row, the keys of all entities that see it, by type, and its corrections where asked for."""

    event: CostEvent
    entities: dict[str, str]
    corrections: Sequence[CostEvent] = ()


def find_cost_event(event_id: UUID) -> CostEventRow:
    """One ledger row with its corrections; raises NotFound."""
    event = CostEvent.objects.select_related("entity", "series").filter(pk=event_id).first()
    if event is None:
        raise NotFound("not_found", "There is no such cost.")
    corrections = list(CostEvent.objects.filter(corrects=event_id).order_by("id"))
    return replace(_with_entities([event])[0], corrections=corrections)


def cost_event_page(filters: CostFilters, *, limit: int, cursor: str | None) -> Page:
    """A page of :class:`CostEventRow`, newest first."""
    if filters.entity_type and filters.entity_id:
        return _page_of_entity((filters.entity_type, filters.entity_id), filters, limit, cursor)
    events = filter_cost_events(filters).select_related("entity", "series")
    page = page_of(events, _BY_TIME, limit, cursor)
    return Page(_with_entities(page.rows), page.next, page.previous)


def cost_event_chunks(filters: CostFilters, size: int = EXPORT_CHUNK) -> Iterator[list[CostEventRow]]:
    """All rows that ``filters`` leave, newest first, in pages of ``size``: memory holds one of them.

    Rows recorded meanwhile may be among them; none comes twice. The first page is read at once, so
    that what is wrong is known before anything is sent.
    """
    first = cost_event_page(filters, limit=size, cursor=None)
    return _chunks(first, filters, size)


def _chunks(page: Page, filters: CostFilters, size: int) -> Iterator[list[CostEventRow]]:
    while page.rows:
        yield page.rows
        if page.next is None:
            return
        page = cost_event_page(filters, limit=size, cursor=page.next)


def _page_of_entity(name: tuple[str, str], filters: CostFilters, limit: int, cursor: str | None) -> Page:
    # No entity has number 0: a name that was never seen has nothing.
    entity = find_entities([name]).get(name, 0)
    seen = CostAttribution.objects.filter(entity_id=entity)
    if filters.start:
        seen = seen.filter(occurred_at__gte=filters.start)
    if filters.end:
        seen = seen.filter(occurred_at__lt=filters.end)
    narrowed = any(
        getattr(filters, field.name) is not None
        for field in fields(filters)
        if field.name not in ("start", "end", "entity_type", "entity_id")
    )
    if narrowed:
        seen = seen.filter(Exists(filter_cost_events(filters).filter(pk=OuterRef("event"))))
    page = page_of(seen, _BY_ATTRIBUTION, limit, cursor)
    events = CostEvent.objects.select_related("entity", "series").filter(**_within(page.rows))
    found = events.in_bulk([row.event for row in page.rows])
    # A month may be archived between the two reads.
    rows = [found[row.event] for row in page.rows if row.event in found]
    return Page(_with_entities(rows), page.next, page.previous)


def filter_cost_events(filters: CostFilters) -> QuerySet[CostEvent]:
    """The ledger rows that ``filters`` leave, those about the entity aside."""
    events = CostEvent.objects.all()
    if filters.start:
        events = events.filter(occurred_at__gte=filters.start)
    if filters.end:
        events = events.filter(occurred_at__lt=filters.end)
    if filters.source and filters.event_id:
        # The two together are unique, and found by their key.
        key = CostEventKey.objects.filter(pk=event_key(filters.source, filters.event_id))
        events = events.filter(pk__in=key.values("event"))
    elif filters.source:
        events = events.filter(source=filters.source)
    elif filters.event_id:
        events = events.filter(event_id=filters.event_id)
    if filters.run_id:
        events = events.filter(run_id=filters.run_id)
    named: dict[str, Any] = {
        name: getattr(filters, name)
        for name in ("cost_type", "provider", "model", "currency")
        if getattr(filters, name) is not None
    }
    if named:
        events = events.filter(series__in=CostSeries.objects.filter(**named))
    if filters.unpriced is not None:
        priced_later = CostEvent.objects.filter(corrects=OuterRef("pk"), unpriced=-1)
        without_price = Q(unpriced=1) & ~Exists(priced_later)
        events = events.filter(without_price if filters.unpriced else ~without_price)
    if filters.kind is not None:
        events = events.filter(kind=filters.kind)
    for tag, value in filters.tags or ():
        events = with_tag(events, tag, value)
    return events


def _within(rows: Sequence[CostEvent | CostAttribution]) -> dict[str, datetime]:
    """The time that ``rows`` span: it tells PostgreSQL which months to look in."""
    if not rows:
        return {}
    times = [row.occurred_at for row in rows]
    return {"occurred_at__gte": min(times), "occurred_at__lte": max(times)}


def _with_entities(events: Iterable[CostEvent]) -> list[CostEventRow]:
    listed = list(events)
    by_event: dict[UUID, dict[str, str]] = {event.id: {} for event in listed}
    attributions = CostAttribution.objects.filter(event__in=list(by_event), **_within(listed))
    seen = list(attributions.values_list("event", "entity_id"))
    names = Entity.objects.in_bulk({entity for _, entity in seen})
    for event, number in seen:
        by_event[event][names[number].type] = names[number].key
    return [CostEventRow(event, by_event[event.id]) for event in listed]
