"""One ledger row, told in full: its arithmetic, who sees it, who recorded it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.conf import settings

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.display import money_text
from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.money import SCALE, format_amount
from financial.domain.cost_rules import VOID_SOURCE
from financial.domain.pricing import RATE_SCALE
from financial.domain.rates import format_rate
from financial.models import CostEvent, PriceVersion
from financial.models.cost_event import USAGE_FIELDS
from financial.models.unit_price import PRICE_SCALE
from financial.selectors.cost_arithmetic import cost_arithmetic
from financial.selectors.cost_events import find_cost_event

from .cost_filters import COST_TYPES

PART_NAMES = {
    "input_tokens": "Input tokens",
    "cache_read_tokens": "Cache read tokens",
    "cache_write_tokens": "Cache write tokens (5 min)",
    "cache_write_1h_tokens": "Cache write tokens (1 h)",
    "output_tokens": "Output tokens",
    "reasoning_tokens": "Reasoning tokens",
    "audio_input_tokens": "Audio input tokens",
    "audio_output_tokens": "Audio output tokens",
    "images": "Images",
    "requests": "Requests",
}


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line of the arithmetic, written out."""

    part: str
    quantity: int
    per_million: str
    note: str
    exact: str
    share: str


@dataclass(frozen=True, slots=True)
class ShownSums:
    """The arithmetic of a row: its lines, their exact sum, and what rounding did."""

    price: PriceVersion
    lines: list[ShownLine]
    exact: str
    rounding: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class ShownUnit:
    """A quantity and the price of one unit; an empty price where none was known."""

    quantity: str
    price: str


@dataclass(frozen=True, slots=True)
class CostFacts:
    """What the page of one cost shows; ``net`` in nano-units, ``base`` the rate to the base currency."""

    event: CostEvent
    cost_type: str
    exact: str
    readable: str
    base: str
    entities: list[tuple[str, str]]
    usage: list[tuple[str, int]]
    tags: list[tuple[str, str]]
    sums: ShownSums | None
    unit: ShownUnit | None
    corrections: list[CostEvent]
    net: int
    priced_later: bool
    voided: bool
    audit: AuditEvent | None
    actor: Actor | None


def cost_facts(event_id: UUID) -> CostFacts:
    """The facts of one ledger row."""
    row = find_cost_event(event_id)
    event = row.event
    corrections = list(row.corrections)
    audit = AuditEvent.objects.filter(pk=event.audit_id).first()
    return CostFacts(
        event=event,
        cost_type=COST_TYPES.get(event.series.cost_type, event.series.cost_type),
        exact=format_amount(event.amount),
        readable=money_text(event.amount, event.series.currency).lstrip("$€£¥₹"),
        base=_exchange(event),
        entities=sorted(row.entities.items(), key=lambda pair: (pair[0] != event.entity.type, pair)),
        usage=[(PART_NAMES[name], getattr(event, name)) for name in USAGE_FIELDS if getattr(event, name)],
        tags=sorted(event.tags.items()),
        sums=_shown(event),
        unit=_unit(event),
        corrections=corrections,
        net=event.amount + sum(correction.amount for correction in corrections),
        voided=any(correction.source == VOID_SOURCE for correction in corrections),
        priced_later=event.unpriced + sum(correction.unpriced for correction in corrections) < 1,
        audit=audit,
        actor=Actor(audit.actor_kind, audit.actor_id) if audit else None,  # type: ignore[arg-type]
    )


def _shown(event: CostEvent) -> ShownSums | None:
    found = cost_arithmetic(event)
    if found is None:
        return None
    lines = [
        ShownLine(
            part=PART_NAMES[line.part],
            quantity=line.quantity,
            per_million=format_rate(line.rate),
            note=_note(line.part, line.rate_of, line.above),
            exact=_exact(line.exact),
            share=format_amount(line.amount),
        )
        for line in found.sums.lines
    ]
    difference = found.sums.amount * 10 ** (RATE_SCALE - SCALE) - found.sums.exact
    sign = "+" if difference > 0 else "\N{MINUS SIGN}"
    rounding = f"{sign}{_exact(abs(difference))}" if difference else ""
    return ShownSums(found.price, lines, _exact(found.sums.exact), rounding, found.agrees)


def _unit(event: CostEvent) -> ShownUnit | None:
    if event.quantity is None:
        return None
    price = event.unit_price
    return ShownUnit(
        quantity=format_amount(event.quantity).removesuffix(".00"),
        price=_scaled(price.price, PRICE_SCALE) if price is not None else "",
    )


def _exchange(event: CostEvent) -> str:
    """The rate to the base currency, in words; empty in the base currency."""
    if not event.exchange:
        return ""
    numerator, denominator = event.exchange
    rate = (Decimal(numerator) / Decimal(denominator)).normalize()
    return f"{rate:f} {settings.BASE_CURRENCY} per {event.series.currency}"


def _note(part: str, rate_of: str, above: int | None) -> str:
    notes = []
    if rate_of != part:
        notes.append(f"at the rate of {PART_NAMES[rate_of].lower()}")
    if above is not None:
        notes.append(f"tier above {above:,} input tokens")
    return ", ".join(notes)


def _exact(value: int) -> str:
    return _scaled(value, RATE_SCALE)


def _scaled(value: int, places: int) -> str:
    """``value`` of 10^-places as a plain decimal with at least two decimals."""
    whole, fraction = divmod(value, 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0")
    return f"{whole}.{digits:0<2}"
