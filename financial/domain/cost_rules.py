"""What a well-formed cost may still get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

import msgspec

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import NANO, MoneyError, parse_amount

from .cost_input import Correction, CostInput, CostItem, parse_quantity, pointer
from .pricing import check_usage, is_sound

FLEET: Final = "*"
_NAMES: Final = ("source", "event_id", "entity_type", "entity_id", "provider", "model", "run_id")
_values_of: Final = attrgetter(*_NAMES)
_OPTIONAL: Final = frozenset({"provider", "model", "run_id"})
MAX_UNIT_LENGTH: Final = 32
MAX_REASON_LENGTH: Final = 500
REPRICE_SOURCE: Final = "reprice"
HOLD_SOURCE: Final = "hold"
VOID_SOURCE: Final = "void"
RESERVED_SOURCES: Final = frozenset({REPRICE_SOURCE, HOLD_SOURCE, VOID_SOURCE})
"""Sources that the system itself records under: nobody else may, to imitate or forestall its rows."""
_UNKNOWN_CURRENCY: Final = FieldError(
    "/currency", "unknown_currency", "An ISO 4217 code in capitals, such as USD."
)


_TYPE_RULE: Final = 'At most 100 characters without "/" and ",", and not "*".'


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one event; amounts in nano-units."""

    earliest: datetime
    latest: datetime
    max_amount: int
    max_key_length: int = 255
    max_tags: int = 50
    max_entities: int = 20
    max_tag_value_length: int = 255


def check_cost(cost: CostItem, limits: Limits, own_source: str = "") -> list[FieldError]:
    """What a well-formed cost still gets wrong: names, impossible usage, times and amounts.

    ``own_source`` is the reserved source under which the system itself sends it.
    """
    errors = _check_correction(cost, limits) if isinstance(cost, Correction) else _check_event(cost, limits)
    if cost.source in RESERVED_SOURCES and cost.source != own_source:
        errors.append(FieldError("/source", "reserved", reserved(cost.source)))
    return errors


def reserved(source: str) -> str:
    """Why nobody may send costs as ``source``, one of :data:`RESERVED_SOURCES`."""
    return f'"{source}" is the source of what the system itself records: send under another name.'


def _check_correction(cost: Correction, limits: Limits) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("source", "event_id", "reason"):
        _check_name(name, getattr(cost, name), limits, errors)
    _check_signed(cost.amount, limits, errors)
    if cost.currency is not None and cost.currency not in CURRENCIES:
        errors.append(_UNKNOWN_CURRENCY)
    return errors


def _check_name(name: str, value: str, limits: Limits, errors: list[FieldError]) -> None:
    longest = {"unit": MAX_UNIT_LENGTH, "reason": MAX_REASON_LENGTH}.get(name, limits.max_key_length)
    if not value.strip():
        if name not in _OPTIONAL or value:
            errors.append(FieldError(pointer(name), "blank", "This may not be blank."))
    elif problem := _bad_text(value, longest):
        errors.append(FieldError(pointer(name), *problem))


def is_entity_type(kind: str) -> bool:
    """Whether entities of ``kind`` can be asked about: it stands in a path, and in a list of groupings."""
    return len(kind) <= 100 and "/" not in kind and "," not in kind and kind != FLEET


def _check_event(cost: CostInput, limits: Limits) -> list[FieldError]:
    errors: list[FieldError] = []
    longest = limits.max_key_length
    for name, value in zip(_NAMES, _values_of(cost), strict=True):
        # Nearly every name is fine, which is seen here without a call.
        if value is None or (len(value) <= longest and value.strip() and "\0" not in value):
            continue
        _check_name(name, value, limits, errors)
    for name in ("unit", "reason"):
        if (text := getattr(cost, name)) is not None:
            _check_name(name, text, limits, errors)
    if cost.provider is not None and len(cost.provider) > 100:
        errors.append(FieldError("/provider", "too_long", "At most 100 characters."))
    if not is_entity_type(cost.entity_type):
        errors.append(FieldError("/entity_type", "bad_value", _TYPE_RULE))
    if not limits.earliest <= cost.occurred_at:
        errors.append(FieldError("/occurred_at", "too_early", f"Not before {limits.earliest.isoformat()}."))
    elif cost.occurred_at > limits.latest:
        errors.append(FieldError("/occurred_at", "in_the_future", f"Not after {limits.latest.isoformat()}."))
    if cost.entities:
        _check_entities(cost, limits, errors)
    if cost.tags:
        _check_tags(cost.tags, limits, errors)
    if cost.kind == "credit":
        _check_credit(cost, limits, errors)
    else:
        _check_charge(cost, limits, errors)
    return errors


def _check_charge(cost: CostInput, limits: Limits, errors: list[FieldError]) -> None:
    if cost.reason is not None:
        errors.append(FieldError("/reason", "unexpected", "Only corrections and credits have a reason."))
    if cost.amount is not None or cost.currency is not None:
        _check_amount(cost, limits, errors)
    if cost.quantity is not None or cost.unit is not None:
        _check_quantity(cost, errors)
    if cost.usage is not None:
        _check_usage(cost, errors)
    if cost.amount is None and cost.currency is None and cost.quantity is None and cost.usage is None:
        errors.append(
            FieldError(
                "",
                "nothing_to_charge",
                "Give usage with provider and model, quantity and unit, or amount and currency.",
            )
        )
    if cost.usage is not None and cost.quantity is not None:
        errors.append(FieldError("/quantity", "contradiction", "Usage and quantity exclude each other."))


def _check_credit(cost: CostInput, limits: Limits, errors: list[FieldError]) -> None:
    for name in ("usage", "quantity", "unit"):
        if getattr(cost, name) is not None:
            errors.append(FieldError(pointer(name), "unexpected", "A credit is an amount."))
    for name in ("amount", "currency", "reason"):
        if getattr(cost, name) is None:
            errors.append(
                FieldError(pointer(name), "required", "A credit needs an amount, a currency and a reason.")
            )
    if cost.amount is not None:
        nano = _check_signed(cost.amount, limits, errors)
        if nano is not None and nano > 0:
            errors.append(FieldError("/amount", "not_negative", "A credit is negative."))
    if cost.currency is not None and cost.currency not in CURRENCIES:
        errors.append(_UNKNOWN_CURRENCY)


def _check_signed(amount: str, limits: Limits, errors: list[FieldError]) -> int | None:
    try:
        nano = parse_amount(amount)
    except MoneyError as error:
        errors.append(FieldError("/amount", error.code, error.detail))
        return None
    if nano == 0:
        errors.append(FieldError("/amount", "zero", "Zero changes nothing."))
    elif abs(nano) > limits.max_amount:
        errors.append(FieldError("/amount", "too_large", f"At most {limits.max_amount // NANO} units."))
    return nano


def _check_quantity(cost: CostInput, errors: list[FieldError]) -> None:
    if cost.quantity is None:
        errors.append(FieldError("/quantity", "required", "A unit needs a quantity."))
    else:
        try:
            quantity = parse_quantity(cost.quantity)
        except MoneyError as error:
            code, detail = (
                text.replace("an_amount", "a_quantity").replace("an amount", "a quantity")
                for text in (error.code, error.detail.replace("the amount", "the quantity"))
            )
            errors.append(FieldError("/quantity", code, detail))
        else:
            if quantity < 0:
                errors.append(FieldError("/quantity", "negative", "A quantity is not negative."))
    if cost.unit is None:
        errors.append(FieldError("/unit", "required", "A quantity needs a unit."))


def _bad_text(text: str, longest: int) -> tuple[str, str] | None:
    if len(text) > longest:
        return "too_long", f"At most {longest} characters."
    if "\0" in text:
        return "nul_character", "A NUL character cannot be stored."
    return None


def _check_entities(cost: CostInput, limits: Limits, errors: list[FieldError]) -> None:
    if len(cost.entities) > limits.max_entities:
        errors.append(FieldError("/entities", "too_many", f"At most {limits.max_entities} entities."))
        return
    own = cost.entity_type
    for kind, key in cost.entities.items():
        if (
            is_entity_type(kind)
            and len(key) <= limits.max_key_length
            and kind.strip()
            and key.strip()
            and "\0" not in kind
            and "\0" not in key
            and (kind != own or key == cost.entity_id)
        ):
            continue
        if "/" in kind or "," in kind:
            errors.append(FieldError(pointer("entities", kind), "bad_value", _TYPE_RULE))
        elif not kind.strip() or not key.strip() or kind == FLEET or len(kind) > 100:
            errors.append(FieldError(pointer("entities", kind), "bad_value", "Name a type and an id."))
        elif problem := _bad_text(kind, limits.max_key_length) or _bad_text(key, limits.max_key_length):
            errors.append(FieldError(pointer("entities", kind), *problem))
        elif kind == cost.entity_type and key != cost.entity_id:
            errors.append(
                FieldError(
                    pointer("entities", kind), "contradiction", "This type is entity_type, with another id."
                )
            )


def _check_tags(tags: Mapping[str, str], limits: Limits, errors: list[FieldError]) -> None:
    if len(tags) > limits.max_tags:
        errors.append(FieldError("/tags", "too_many", f"At most {limits.max_tags} tags."))
        return
    for key, value in tags.items():
        if (
            len(key) <= limits.max_key_length
            and len(value) <= limits.max_tag_value_length
            and key.strip()
            and "\0" not in key
            and "\0" not in value
        ):
            continue
        if not key.strip():
            errors.append(FieldError(pointer("tags", key), "blank", "A tag has a name."))
        elif problem := _bad_text(key, limits.max_key_length) or _bad_text(
            value, limits.max_tag_value_length
        ):
            errors.append(FieldError(pointer("tags", key), *problem))


def _check_amount(cost: CostInput, limits: Limits, errors: list[FieldError]) -> None:
    if cost.amount is None:
        errors.append(FieldError("/amount", "required", "A currency needs an amount."))
    else:
        try:
            nano = parse_amount(cost.amount)
        except MoneyError as error:
            errors.append(FieldError("/amount", error.code, error.detail))
        else:
            if nano < 0:
                errors.append(FieldError("/amount", "negative", "An amount is not negative."))
            elif nano > limits.max_amount:
                errors.append(
                    FieldError("/amount", "too_large", f"At most {limits.max_amount // NANO} units.")
                )
    if cost.currency is None:
        errors.append(FieldError("/currency", "required", "An amount needs a currency."))
    elif cost.currency not in CURRENCIES:
        errors.append(_UNKNOWN_CURRENCY)


def _check_usage(cost: CostInput, errors: list[FieldError]) -> None:
    usage = cost.usage
    assert usage is not None
    if cost.amount is None:
        for name in ("provider", "model"):
            if not getattr(cost, name):
                errors.append(FieldError(pointer(name), "required", "Usage is priced by provider and model."))
    if is_sound(usage):
        return
    errors.extend(
        FieldError(pointer("usage", error.field), error.code, f"{error.field} {error.detail}.")
        for error in check_usage(msgspec.structs.asdict(usage))
    )
