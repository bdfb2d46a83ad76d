"""How costs look in JSON: money as strings, quantities as integers, times in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import format_amount
from financial.models import CostEvent
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.breakdown import CostBreakdown, CostSums
from financial.selectors.series import SeriesNames
from financial.services.record_costs import RecordedCosts, RecordedEvent


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _event(
    *,
    identity: UUID,
    source: str,
    event_id: str,
    occurred_at: datetime,
    recorded_at: datetime,
    entity: tuple[str, str],
    entities: Mapping[str, str],
    names: SeriesNames,
    service_tier: str,
    quantities: Sequence[int],
    amount: int,
    base_amount: int,
    parts: Mapping[str, int],
    unpriced: bool,
    price_version: UUID | None,
    run_id: str,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "id": str(identity),
        "source": source,
        "event_id": event_id,
        "occurred_at": instant(occurred_at),
        "recorded_at": instant(recorded_at),
        "entity_type": entity[0],
        "entity_id": entity[1],
        "entities": dict(entities),
        "cost_type": names.cost_type,
        "provider": names.provider or None,
        "model": names.model or None,
        "service_tier": service_tier,
        "usage": {name: value for name, value in zip(USAGE_FIELDS, quantities, strict=True) if value},
        "amount": None if unpriced else format_amount(amount),
        "currency": names.currency,
        "base_amount": None if unpriced else format_amount(base_amount),
        "base_currency": settings.BASE_CURRENCY,
        "parts": {name: format_amount(part) for name, part in parts.items()},
        "unpriced": unpriced,
        "price_version": str(price_version) if price_version else None,
        "run_id": run_id or None,
        "tags": dict(tags),
    }


def recorded_event(event: RecordedEvent) -> dict[str, Any]:
    """An event that was just recorded, without asking the database again."""
    cost, charge = event.cost, event.charge
    return _event(
        identity=event.id,
        source=cost.source,
        event_id=cost.event_id,
        occurred_at=charge.occurred_at,
        recorded_at=event.recorded_at,
        entity=(cost.entity_type, cost.entity_id),
        entities={kind: key for kind, key in cost.entities.items() if kind != cost.entity_type},
        names=SeriesNames(cost.cost_type, cost.provider or "", cost.model or "", charge.currency),
        service_tier=cost.service_tier,
        quantities=charge.quantities,
        amount=charge.amount,
        base_amount=charge.base_amount,
        parts=charge.parts,
        unpriced=bool(charge.unpriced),
        price_version=charge.price_version,
        run_id=cost.run_id or "",
        tags=cost.tags,
    )


def stored_event(event: CostEvent, entities: Mapping[str, str]) -> dict[str, Any]:
    """A ledger row; ``entities`` are all that see it, by type. Wants ``entity`` and ``series`` loaded."""
    own = (event.entity.type, event.entity.key)
    series = event.series
    return _event(
        identity=event.id,
        source=event.source,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        entity=own,
        entities={kind: key for kind, key in sorted(entities.items()) if kind != own[0]},
        names=SeriesNames(series.cost_type, series.provider, series.model, series.currency),
        service_tier=event.service_tier,
        quantities=[getattr(event, name) for name in USAGE_FIELDS],
        amount=event.amount,
        base_amount=event.base_amount,
        parts=event.parts,
        unpriced=event.unpriced,
        price_version=event.price_version_id,
        run_id=event.run_id,
        tags=event.tags,
    )


def batch_outcome(outcome: RecordedCosts) -> dict[str, Any]:
    """What became of a batch."""
    return {
        "accepted": len(outcome.accepted),
        "duplicates": len(outcome.duplicates),
        "rejected": [
            {"index": index, "errors": _errors(errors)} for index, errors in sorted(outcome.rejected.items())
        ],
        "amount": format_amount(outcome.amount),
        "currency": settings.BASE_CURRENCY,
    }


def _errors(errors: Iterable[FieldError]) -> list[dict[str, str]]:
    return [error.as_dict() for error in errors]


def sums(values: CostSums) -> dict[str, Any]:
    """Sums over events."""
    return {
        "amount": format_amount(values.amount),
        "events": values.events,
        "unpriced": values.unpriced,
        "usage": dict(zip(USAGE_FIELDS, values.usage, strict=True)),
    }


def breakdown(found: CostBreakdown, *, groupings: int) -> dict[str, Any]:
    """Total and breakdown; ``key`` is a string for one grouping, an array for several."""
    return {
        "total": sums(found.total),
        "breakdown": [
            {"key": group.key[0] if groupings == 1 else list(group.key), **sums(group.sums)}
            for group in found.groups
        ],
    }
