"""Holds: set aside before a call, settled with its cost, released without one, or expired.

A hard budget admits a hold by one conditional UPDATE of its period row. All budgets that a hold counts
into take it in one transaction, in one order everywhere, or none does. No counter stands beside the
database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

import msgspec
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.bulk import insert_rows, upsert_add
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Invalid, KeyReused
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.money import MAX_NANO, format_amount
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from agent_factory_site.common.services.entities import resolve_entities
from financial.domain.budget_rules import BudgetRule, Place, Subject, budget_amount, local_day, place_of
from financial.domain.exchange import SAME, Exchange
from financial.models import BudgetDay, Hold, HoldPart
from financial.selectors.budget_index import budget_index
from financial.selectors.exchange import find_exchanges

from .budget_opening import Wanted, open_periods
from .budget_periods import TABLE, Traces, lock_periods, write_periods
from .hold_expiry import make_room
from .hold_refusals import Refused, payment_required

_ATTEMPTS: Final = 20
_HOLD_COLUMNS: Final = (
    "id",
    "owner",
    "idempotency_key",
    "fingerprint",
    "state",
    "entity_id",
    "entities",
    "cost_type",
    "provider",
    "model",
    "service_tier",
    "tags",
    "amount",
    "currency",
    "created_at",
    "expires_at",
    "settlement",
)
_PART_COLUMNS: Final = ("hold_id", "period_id", "amount", "numerator", "denominator", "day", "provisional")
_TAKE: Final = (
    f"UPDATE {TABLE} SET held = held + %s WHERE id = %s AND (good_until IS NULL OR good_until > %s) "  # noqa: S608
    'AND (NOT hard OR settled + held + %s <= "limit") RETURNING settled + held, alert_at'
)
_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """What is to be set aside, checked: ``amount`` in nano-units of ``currency``.

    ``owner`` is whose hold it is; ``idempotency_key`` names the request, ``fingerprint`` what it said.
    """

    owner: str
    entity: EntityName
    amount: int
    currency: str
    cost_type: str
    entities: Mapping[str, str] = field(default_factory=dict)
    provider: str = ""
    model: str = ""
    service_tier: str = "standard"
    tags: Mapping[str, str] = field(default_factory=dict)
    expires_in: int = 300
    idempotency_key: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a hold takes of one period row."""

    rule: BudgetRule
    entity: int
    place: Place
    period: int
    amount: int
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class PlacedHold:
    """A hold as it was placed; ``replayed`` when the same request had placed it before."""

    hold: Hold
    parts: Sequence[HoldPart]
    replayed: bool = False


def place_hold(*, request: HoldRequest) -> PlacedHold:
    """Set ``request.amount`` aside in every budget that it counts into, or in none of them.

    Raises ``PaymentRequired`` (``budget_exceeded``) naming the budget that refused, ``Invalid`` without an
    exchange rate of today for the hold or one of its budgets, ``KeyReused`` for a key that came with
    another request. A repeated request answers with the hold that it placed.
    """
    now = timezone.now()
    refusal: Refused
    numbers = resolve_entities({FLEET, request.entity, *request.entities.items()})
    for _ in range(_ATTEMPTS):
        parts = _parts(request, numbers, now)
        try:
            return retry_conflicts(lambda: _place(request, numbers, parts, now))  # noqa: B023
        except IntegrityError:
            # Only the key can be there already; anything else is raised again below.
            if (placed := _placed_before(request)) is None:
                raise
            return placed
        except Refused as refused:
            # Nobody is refused for money that expired holds keep, or by a limit that holds no longer.
            refusal = refused
            if not make_room(refused.period, refused.amount, now):
                break
    raise payment_required(refusal.period, refusal.amount, now)


def _parts(request: HoldRequest, numbers: Mapping[EntityName, int], now: datetime) -> list[Part]:
    index = budget_index()
    seen = dict(request.entities) | {request.entity[0]: request.entity[1]}
    subject = Subject(
        occurred_at=now,
        entities={kind: numbers[kind, key] for kind, key in seen.items()},
        fleet=numbers[FLEET],
        cost_type=request.cost_type,
        provider=request.provider,
        model=request.model,
        tags=request.tags,
    )
    matches = index.matches(subject)
    base: str = settings.BASE_CURRENCY
    foreign = {match.rule.currency for match in matches} | {request.currency}
    today = local_day(now)
    rates = find_exchanges({(currency, today) for currency in foreign - {base}})
    exchanges = {currency: rates.get((currency, today)) for currency in foreign} | {base: SAME}
    own = exchanges[request.currency]
    if own is None:
        raise _no_rate(request.currency, today)
    base_amount = own.convert(request.amount)
    wanted = [Wanted(rule, entity, place_of(rule.period, now), now) for rule, entity in matches]
    ids = open_periods(wanted, now)
    parts = []
    for item in wanted:
        exchange = exchanges[item.rule.currency]
        if exchange is None:
            raise _no_rate(item.rule.currency, today)
        amount = budget_amount(
            item.rule.currency, base, (request.currency, request.amount), base_amount, exchange
        )
        if amount > MAX_NANO:
            raise Invalid.field_error("/amount", "too_large", "Does not fit 64 bits of a budget's currency.")
        parts.append(Part(item.rule, item.entity, item.place, ids[item.name], amount, exchange))
    return sorted(parts, key=lambda part: (part.rule.id.int, part.entity))


def _no_rate(currency: str, day: date) -> Invalid:
    return Invalid.field_error(
        "/currency",
        "no_exchange_rate",
        f"There is no {currency} to {settings.BASE_CURRENCY} rate for {day}.",
    )


def _place(
    request: HoldRequest, numbers: Mapping[EntityName, int], parts: Sequence[Part], now: datetime
) -> PlacedHold:
    hold = Hold(
        id=uuid7(),
        owner=request.owner,
        idempotency_key=request.idempotency_key,
        fingerprint=request.fingerprint,
        state=Hold.State.HELD,
        entity_id=numbers[request.entity],
        entities=sorted({numbers[request.entity], *(numbers[name] for name in request.entities.items())}),
        cost_type=request.cost_type,
        provider=request.provider,
        model=request.model,
        service_tier=request.service_tier,
        tags=dict(request.tags),
        amount=request.amount,
        currency=request.currency,
        created_at=now,
        expires_at=now + timedelta(seconds=request.expires_in),
    )
    rows = [
        HoldPart(
            hold_id=hold.id,
            period_id=part.period,
            amount=part.amount,
            numerator=part.exchange.numerator,
            denominator=part.exchange.denominator,
            day=part.place.day,
        )
        for part in parts
    ]
    with transaction.atomic():
        values = [getattr(hold, name) for name in _HOLD_COLUMNS]
        values[6], values[11] = (_encoder.encode(value).decode() for value in (values[6], values[11]))
        values[4] = str(hold.state)
        insert_rows(connection, Hold._meta.db_table, _HOLD_COLUMNS, [values])
        insert_rows(
            connection,
            HoldPart._meta.db_table,
            _PART_COLUMNS,
            [[getattr(row, name) for name in _PART_COLUMNS] for row in rows],
        )
        record_audit(
            action="place",
            target_type="financial.Hold",
            target_id=str(hold.id),
            changes={"amount": format_amount(request.amount), "currency": request.currency},
        )
        # Last, because others wait for these rows until the commit.
        _take(parts, now)
    return PlacedHold(hold, rows)


def _take(parts: Sequence[Part], now: datetime) -> None:
    """Take every part from its period row, or raise :class:`Refused`."""
    at = connection.ops.adapt_datetimefield_value(now)
    alerted = []
    with connection.cursor() as cursor:
        for part in parts:
            cursor.execute(_TAKE, [part.amount, part.period, at, part.amount])
            row = cursor.fetchone()
            if row is None:
                raise Refused(part.period, part.amount)
            used, alert_at = row
            if alert_at is not None and used >= alert_at:
                alerted.append(part)
    days = [(part.period, part.place.day, part.amount) for part in parts if part.place.day is not None]
    if days:
        upsert_add(
            connection,
            BudgetDay._meta.db_table,
            ("period_id", "day"),
            ("held", "settled", "provisional", "overrun"),
            ("bigint", "date", *("bigint",) * 4),
            [(*row, 0, 0, 0) for row in sorted(days)],
        )
    if alerted:
        traces = Traces(now)
        rules = {part.period: part for part in alerted}
        rows = lock_periods(rules, now)
        for row in rows:
            traces.note_crossings(row, rules[row.id].rule, rules[row.id].place.day)
        write_periods(rows)
        traces.write({number: part.rule for number, part in rules.items()})


def _placed_before(request: HoldRequest) -> PlacedHold | None:
    if not request.idempotency_key:
        return None
    hold = Hold.objects.filter(owner=request.owner, idempotency_key=request.idempotency_key).first()
    if hold is None:
        return None
    if hold.fingerprint != request.fingerprint:
        raise KeyReused("idempotency_key_reused", "This Idempotency-Key came with another request before.")
    return PlacedHold(hold, list(hold.parts.all()), replayed=True)
