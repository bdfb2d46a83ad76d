"""Setting, ending and archiving unit prices: what a tool call, a machine hour, a GB-month or a minute costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, get_args
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.money import MoneyError
from financial.domain.cost_input import CostType
from financial.domain.fixed_point import parse_fixed
from financial.models import UnitPrice
from financial.selectors.unit_prices import get_unit_price

from .price_overrides import KEEP, Keep

COST_TYPES: Final = get_args(CostType)
MAX_NOTE: Final = 500
_LONGEST: Final = {"provider": 100, "model": 255, "unit": 32, "note": MAX_NOTE}


def set_unit_price(
    *,
    cost_type: str,
    unit: str,
    price: object,
    currency: str = "USD",
    provider: str = "",
    model: str = "",
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    note: str = "",
) -> UnitPrice:
    """Price one ``unit`` of ``cost_type`` over ``[valid_from, valid_to)``, from now on if not said.

    ``price`` is a decimal string with up to 12 decimals. An empty ``provider`` or ``model`` stands for
    any. A price without an end closes an earlier one without an end for the same names; any other
    overlap is a :class:`Conflict`. Costs that are recorded already keep what they were priced with.

    Raises :class:`Invalid` with every bad field.
    """
    start = valid_from or timezone.now()
    names = {"provider": provider.strip(), "model": model.strip(), "unit": unit.strip(), "note": note}
    errors = _text_errors(names) + _interval_errors(start, valid_to)
    if cost_type not in COST_TYPES:
        errors.append(
            FieldError("/cost_type", "unknown_cost_type", f"Is not one of {', '.join(COST_TYPES)}.")
        )
    if not names["unit"]:
        errors.append(FieldError("/unit", "required", "Names what is counted, such as call or gb_month."))
    if currency not in CURRENCIES:
        errors.append(FieldError("/currency", "unknown_currency", "Is not an ISO 4217 currency code."))
    value = 0
    try:
        value = parse_fixed(price)
    except MoneyError as error:
        errors.append(FieldError("/price", error.code, error.detail))
    if errors:
        raise Invalid.fields(*errors)

    def store() -> UnitPrice:
        with transaction.atomic():
            lock_unit_prices()
            _make_room(
                _siblings(cost_type, names["provider"], names["model"], names["unit"]), start, valid_to
            )
            row: UnitPrice = UnitPrice.objects.create(
                cost_type=cost_type,
                price=value,
                currency=currency,
                valid_from=start,
                valid_to=valid_to,
                **names,
            )
        return row

    return retry_conflicts(store)


def change_unit_price(
    *,
    price_id: UUID | str,
    valid_to: datetime | None | Keep = KEEP,
    note: str | Keep = KEEP,
    check: Callable[[UnitPrice], None] | None = None,
) -> UnitPrice:
    """Change the end (``None``: open) or the note; nothing else of a unit price ever changes.

    ``check`` is called with the row while it is locked, and may raise to refuse the change. Raises
    :class:`Invalid` for an end that is not after the start, :class:`Conflict` for an archived price or
    an end beyond the start of the one that follows.
    """
    if note is not KEEP and (errors := _text_errors({"note": note})):
        raise Invalid.fields(*errors)

    def store() -> UnitPrice:
        with transaction.atomic():
            lock_unit_prices()
            row = get_unit_price(price_id)
            if check is not None:
                check(row)
            if row.archived_at is not None:
                raise Conflict("archived", "This unit price is archived.")
            if valid_to is not KEEP:
                _check_end(row, valid_to)
                row.valid_to = valid_to
            if note is not KEEP:
                row.note = note
            row.save(update_fields=["valid_to", "note"])
        return row

    return retry_conflicts(store)


def end_unit_price(*, price_id: UUID | str, valid_to: datetime) -> UnitPrice:
    """Let a unit price end at ``valid_to``; see :func:`change_unit_price`."""
    return change_unit_price(price_id=price_id, valid_to=valid_to)


def archive_unit_price(*, price_id: UUID | str) -> UnitPrice:
    """Take a unit price out of use for all its dates, as one that should not have been.

    A repeat changes nothing, and ledger rows priced with it keep naming it.
    """

    def store() -> UnitPrice:
        with transaction.atomic():
            lock_unit_prices()
            row = get_unit_price(price_id)
            if row.archived_at is None:
                row.archived_at = timezone.now()
                row.save(update_fields=["archived_at"])
        return row

    return retry_conflicts(store)


def lock_unit_prices() -> None:
    """Hold off other writers of unit prices; SQLite has one writer at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {UnitPrice._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def _text_errors(names: dict[str, str]) -> list[FieldError]:
    errors = []
    for name, text in names.items():
        if len(text) > _LONGEST[name]:
            errors.append(FieldError(f"/{name}", "too_long", f"Has more than {_LONGEST[name]} characters."))
        elif "\0" in text:
            errors.append(FieldError(f"/{name}", "invalid", "Holds a NUL character."))
    return errors


def _interval_errors(start: datetime, end: datetime | None) -> list[FieldError]:
    errors = [
        FieldError(pointer, "naive_time", "Needs a time zone.")
        for pointer, moment in (("/valid_from", start), ("/valid_to", end))
        if moment is not None and moment.tzinfo is None
    ]
    if not errors and end is not None and end <= start:
        errors.append(FieldError("/valid_to", "not_after_start", "Must be after the price's start."))
    return errors


def _siblings(cost_type: str, provider: str, model: str, unit: str) -> QuerySet[UnitPrice]:
    rows: QuerySet[UnitPrice] = UnitPrice.objects.filter(
        cost_type=cost_type, provider=provider, model=model, unit=unit, archived_at=None
    )
    return rows.order_by("valid_from")


def _make_room(siblings: QuerySet[UnitPrice], start: datetime, end: datetime | None) -> None:
    for other in siblings:
        if other.valid_to is None and end is None and other.valid_from < start:
            other.valid_to = start
            other.save(update_fields=["valid_to"])
        elif (end is None or other.valid_from < end) and (other.valid_to is None or start < other.valid_to):
            raise _overlap(other)


def _check_end(row: UnitPrice, end: datetime | None) -> None:
    if errors := _interval_errors(row.valid_from, end):
        raise Invalid.fields(*errors)
    for other in _siblings(row.cost_type, row.provider, row.model, row.unit):
        if other.valid_from > row.valid_from and (end is None or other.valid_from < end):
            raise _overlap(other)


def _overlap(other: UnitPrice) -> Conflict:
    until = f"{other.valid_to:%Y-%m-%d %H:%M} UTC" if other.valid_to else "further notice"
    return Conflict(
        "overlapping_price",
        f"The unit price {other.pk} holds from {other.valid_from:%Y-%m-%d %H:%M} UTC until {until}: "
        "end or archive it first.",
        extensions={"price": str(other.pk)},
    )
