"""How costs look in JSON: money as strings, quantities as integers, times in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import format_amount
from financial.models import CostEvent, Hold
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.archives import ArchivedCost
from financial.selectors.breakdown import CostBreakdown, CostSums
from financial.selectors.cost_events import CostEventRow
from financial.selectors.holds import HeldPart
from financial.services.append import Appended
from financial.services.entries import stored_entry
from financial.services.record_costs import RecordedCosts


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def recorded_event(event: Appended) -> dict[str, Any]:
    """An event as it was recorded: what was sent, what it costs and why."""
    entry = event.entry
    cost_type, provider, model, currency = entry.series
    unpriced = entry.unpriced > 0
    return {
        "id": str(event.id),
        "source": event.source,
        "event_id": event.event_id,
        "kind": entry.kind,
        "occurred_at": instant(entry.occurred_at),
        "recorded_at": instant(event.recorded_at),
        "entity_type": entry.entity[0],
        "entity_id": entry.entity[1],
        "entities": dict(sorted(name for name in entry.entities if name != entry.entity)),
        "cost_type": cost_type,
        "provider": provider or None,
        "model": model or None,
        "service_tier": entry.service_tier,
        "usage": {name: value for name, value in zip(USAGE_FIELDS, entry.usage, strict=True) if value},
        "quantity": None if entry.quantity is None else plain(entry.quantity),
        "unit": entry.unit or None,
        "amount": None if unpriced else format_amount(entry.amount),
        "currency": currency,
        "base_amount": None if unpriced else format_amount(entry.base_amount),
        "base_currency": settings.BASE_CURRENCY,
        "parts": {name: format_amount(part) for name, part in entry.parts.items()},
        "unpriced": unpriced,
        "price_version": str(entry.price_version) if entry.price_version else None,
        "unit_price": str(entry.unit_price) if entry.unit_price else None,
        "run_id": entry.run_id or None,
        "tags": entry.tags,
        "corrects": str(entry.corrects) if entry.corrects else None,
        "reason": entry.reason or None,
    }


def stored_event(row: CostEventRow) -> dict[str, Any]:
    """A ledger row, the same as when it was recorded."""
    event = row.event
    return recorded_event(
        Appended(event.id, event.source, event.event_id, event.recorded_at, stored_entry(event, row.entities))
    )


def archived_event(cost: ArchivedCost) -> dict[str, Any]:
    """What is still known of an event whose details were archived."""
    return {
        "id": str(cost.id),
        "occurred_at": instant(cost.occurred_at),
        "archived": True,
        "archive_files": list(cost.files),
    }


def recorded_event_with_net(event: Appended) -> dict[str, Any]:
    """An event as it was recorded just now, as :func:`stored_event_with_net` shows it."""
    return _with_net(recorded_event(event), event.entry.amount, ())


def stored_event_with_net(row: CostEventRow) -> dict[str, Any]:
    """A ledger row, and what it comes to with its corrections."""
    return _with_net(stored_event(row), row.event.amount, row.corrections)


def _with_net(answer: dict[str, Any], amount: int, corrections: Sequence[CostEvent]) -> dict[str, Any]:
    if answer["kind"] != CostEvent.Kind.CHARGE:
        return answer
    net = amount + sum(each.amount for each in corrections)
    return {
        **answer,
        "net_amount": None if answer["unpriced"] and not corrections else format_amount(net),
        "corrections": [
            {
                "id": str(each.id),
                "amount": format_amount(each.amount),
                "reason": each.reason,
                "recorded_at": instant(each.recorded_at),
            }
            for each in corrections
        ],
    }


def hold(
    row: Hold,
    budgets: Iterable[HeldPart],
    event: dict[str, Any] | None = None,
    state: str | None = None,
) -> dict[str, Any]:
    """A hold, what it takes of each budget, and the ``event`` that it was settled with."""
    return {
        "id": str(row.id),
        "state": str(state or row.state),
        "amount": format_amount(row.amount),
        "currency": row.currency,
        "created_at": instant(row.created_at),
        "expires_at": instant(row.expires_at),
        "budgets": [
            {
                "id": str(budget.budget),
                "name": budget.name,
                "period": budget.key,
                "amount": format_amount(budget.amount),
                "currency": budget.currency,
            }
            for budget in budgets
        ],
        "event": event,
    }


def plain(billionths: int) -> str:
    """A quantity as a decimal string without trailing zeros."""
    whole = format_amount(billionths)
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


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
