"""Prices of our own: negotiated rates, self-hosted models, models the catalogue does not know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from financial.domain.model_names import ModelName, normalise, normalise_tier
from financial.domain.rates import InvalidRates, format_rates, parse_rates
from financial.models import PriceVersion
from financial.selectors.prices import get_price, prices_in_use

from .prices import lock_prices

MAX_NOTE: Final = 500


def set_price_override(
    *,
    provider: str,
    model: str,
    rates: object,
    service_tier: str = PriceVersion.ServiceTier.STANDARD,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    currency: str = "USD",
    note: str = "",
) -> PriceVersion:
    """Price a model and tier by ``rates`` over ``[valid_from, valid_to)``, from now on if not said.

    Names may be in any spelling and are stored in that of the price lookup. An override without an
    end closes an earlier one without an end; any other overlap is a :class:`Conflict`.
    Ledger rows that are priced already keep their prices.

    Raises :class:`Invalid` with every bad field: names, tier, currency, dates, and each fault in
    ``rates`` (see :mod:`financial.domain.rates` for their form).
    """
    start = valid_from or timezone.now()
    name, tier = normalise(provider, model), normalise_tier(service_tier)
    errors = _name_errors(name) + _interval_errors(start, valid_to)
    if tier not in PriceVersion.ServiceTier.values:
        known = ", ".join(PriceVersion.ServiceTier.values)
        errors.append(FieldError("/service_tier", "unknown_tier", f"Is not one of {known}."))
    if currency not in CURRENCIES:
        errors.append(FieldError("/currency", "unknown_currency", "Is not an ISO 4217 currency code."))
    if len(note) > MAX_NOTE:
        errors.append(FieldError("/note", "too_long", f"Has more than {MAX_NOTE} characters."))
    try:
        card = parse_rates(rates)
    except InvalidRates as invalid:
        errors += [
            FieldError(
                "/".join(("/rates", *map(_token, e.path))), e.code, f"{e.detail[0].upper()}{e.detail[1:]}."
            )
            for e in invalid.errors
        ]
    if errors:
        raise Invalid.fields(*errors)
    with transaction.atomic():
        lock_prices()
        _make_room(name, tier, start, valid_to)
        row: PriceVersion = PriceVersion.objects.create(
            provider=name.provider,
            model=name.model,
            service_tier=tier,
            source=PriceVersion.Source.OVERRIDE,
            currency=currency,
            valid_from=start,
            valid_to=valid_to,
            rates=format_rates(card),
            note=note,
        )
    return row


class Keep(Enum):
    """What is not named in a change."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


def change_price(
    *,
    price_id: UUID | str,
    valid_to: datetime | None | Keep = KEEP,
    note: str | Keep = KEEP,
    check: Callable[[PriceVersion], None] | None = None,
) -> PriceVersion:
    """Change the end (``None``: open) or the note of an override; nothing else of a price ever changes.

    ``check`` is called with the row while it is locked, and may raise to refuse the change. Raises
    :class:`Invalid` for an end that is not after the start, :class:`Conflict` for a price of the
    catalogue, an archived one, or an end beyond the start of the override that follows.
    """
    if note is not KEEP and len(note) > MAX_NOTE:
        raise Invalid.field_error("/note", "too_long", f"Has more than {MAX_NOTE} characters.")
    with transaction.atomic():
        lock_prices()
        row = get_price(price_id)
        if check is not None:
            check(row)
        _refuse_fixed(row)
        if row.archived_at is not None:
            raise Conflict("archived", "This price is archived.")
        if valid_to is not KEEP:
            _check_end(row, valid_to)
            row.valid_to = valid_to
        if note is not KEEP:
            row.note = note
        row.save(update_fields=["valid_to", "note"])
    return row


def end_price(*, price_id: UUID | str, valid_to: datetime) -> PriceVersion:
    """Let an override end at ``valid_to``; see :func:`change_price`."""
    return change_price(price_id=price_id, valid_to=valid_to)


def archive_price(*, price_id: UUID | str) -> PriceVersion:
    """Take an override out of use for all its dates, as one that should not have been.

    A repeat changes nothing, and ledger rows priced with it keep naming it. Raises :class:`Conflict`
    for a price of the catalogue.
    """
    with transaction.atomic():
        lock_prices()
        row = get_price(price_id)
        _refuse_fixed(row)
        if row.archived_at is None:
            row.archived_at = timezone.now()
            row.save(update_fields=["archived_at"])
    return row


def _token(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _name_errors(name: ModelName) -> list[FieldError]:
    errors = []
    for field, value, most in (("provider", name.provider, 100), ("model", name.model, 255)):
        if not value:
            errors.append(
                FieldError(f"/{field}", "required", "Is needed, and names who is paid for the model.")
            )
        elif len(value) > most:
            errors.append(FieldError(f"/{field}", "too_long", f"Has more than {most} characters."))
        elif "\0" in value:
            errors.append(FieldError(f"/{field}", "invalid", "Holds a NUL character."))
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


def _overrides(name: ModelName, tier: str) -> list[PriceVersion]:
    rows = prices_in_use(name).filter(source=PriceVersion.Source.OVERRIDE, service_tier=tier)
    return list(rows.order_by("valid_from"))


def _make_room(name: ModelName, tier: str, start: datetime, end: datetime | None) -> None:
    for other in _overrides(name, tier):
        if other.valid_to is None and end is None and other.valid_from < start:
            other.valid_to = start
            other.save(update_fields=["valid_to"])
        elif (end is None or other.valid_from < end) and (other.valid_to is None or start < other.valid_to):
            raise _overlap(other)


def _overlap(other: PriceVersion) -> Conflict:
    until = f"{other.valid_to:%Y-%m-%d %H:%M} UTC" if other.valid_to else "further notice"
    return Conflict(
        "overlapping_price",
        f"The override {other.pk} holds from {other.valid_from:%Y-%m-%d %H:%M} UTC until {until}: "
        "end or archive it first.",
        extensions={"price": str(other.pk)},
    )


def _refuse_fixed(row: PriceVersion) -> None:
    if row.source != PriceVersion.Source.OVERRIDE:
        raise Conflict(
            "catalogue_price", "A price of the catalogue is not changed; set an override for its dates."
        )


def _check_end(row: PriceVersion, end: datetime | None) -> None:
    if errors := _interval_errors(row.valid_from, end):
        raise Invalid.fields(*errors)
    for other in _overrides(ModelName(row.provider, row.model), row.service_tier):
        if other.valid_from > row.valid_from and (end is None or other.valid_from < end):
            raise _overlap(other)
