"""What a sender may say of one cost, decoded and checked without a database or a clock."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import parse_amount

from .repeated_names import quotation_marks, repeated_name

CostType = Literal["llm", "tool", "compute", "storage", "human", "other"]
ServiceTier = Literal["standard", "batch", "flex", "priority", "fast"]
Kind = Literal["charge", "credit"]
Quantity = Annotated[int, Meta(ge=0, le=10**15)]


class UsageInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Tokens and other units of one model call.

    ``input_tokens`` includes the cached and audio ones, ``output_tokens`` the reasoning and audio ones.
    """

    input_tokens: Quantity = 0
    cache_read_tokens: Quantity = 0
    cache_write_tokens: Quantity = 0
    cache_write_1h_tokens: Quantity = 0
    output_tokens: Quantity = 0
    reasoning_tokens: Quantity = 0
    audio_input_tokens: Quantity = 0
    audio_output_tokens: Quantity = 0
    images: Quantity = 0
    requests: Quantity = 0


class CostInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One cost event as it was sent: a charge, or a credit with a negative amount and a reason.

    A charge is worked out from ``usage``, from ``quantity`` (a decimal string or a whole number) of
    ``unit``, or is the ``amount`` itself.
    """

    source: str
    event_id: str
    occurred_at: Annotated[datetime, Meta(tz=True)]
    entity_type: str
    entity_id: str
    cost_type: CostType
    entities: dict[str, str] = {}
    provider: str | None = None
    model: str | None = None
    service_tier: ServiceTier = "standard"
    usage: UsageInput | None = None
    quantity: str | int | None = None
    unit: str | None = None
    amount: str | None = None
    currency: str | None = None
    run_id: str | None = None
    tags: dict[str, str] = {}
    kind: Kind = "charge"
    reason: str | None = None


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A correction of one recorded charge by a signed amount; everything else is inherited from it."""

    source: str
    event_id: str
    corrects: UUID
    amount: str
    reason: str
    currency: str | None = None
    kind: Literal["correction"] = "correction"


CostItem = CostInput | Correction

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


_decoder: Final = msgspec.json.Decoder(CostInput)
_item_decoder: Final = msgspec.json.Decoder()


@cache
def _types(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(struct, include_extras=True)


@cache
def _required(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in msgspec.structs.fields(struct)
        if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    )


_REQUIRED: Final = _required(CostInput)


def decode_cost(raw: bytes | msgspec.Raw) -> CostItem | list[FieldError]:
    """One cost from its JSON text, or every field that is wrong with it."""
    try:
        cost = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _decode_slowly(raw, error, "A cost", read_cost)
    text = bytes(raw)
    optional = (cost.provider, cost.model, cost.run_id, cost.amount, cost.currency, cost.unit, cost.reason)
    marks = quotation_marks(len(_REQUIRED), optional, (cost.entities, cost.tags), cost.usage)
    return cost if text.count(b'"') == marks else repeated_name(text) or cost


def decode_struct(raw: bytes, decoder: msgspec.json.Decoder[S], called: str) -> S | list[FieldError]:
    """What ``decoder`` makes of a JSON text, or every field that is wrong with it.

    ``called`` begins the sentence that refuses anything but an object.
    """

    def read(item: Mapping[str, Any]) -> S | list[FieldError]:
        struct: type[S] = decoder.type
        return _explain(item, struct) or msgspec.convert(item, struct)

    try:
        decoded = decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _decode_slowly(raw, error, called, read)
    return repeated_name(raw) or decoded


def _plain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "The JSON is nested too deeply."
    if isinstance(error, UnicodeDecodeError):
        return "The text is not valid UTF-8."
    return str(error)


def _decode_slowly(
    raw: bytes | msgspec.Raw,
    error: Exception,
    called: str,
    read: Callable[[Mapping[str, Any]], T | list[FieldError]],
) -> T | list[FieldError]:
    """Corrections, credits, and what is wrong with the rest: the way that only rare items take."""
    if not isinstance(error, msgspec.ValidationError):
        return [FieldError("", "malformed", _plain(error))]
    try:
        item = _item_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as worse:
        return [FieldError("", "malformed", _plain(worse))]
    if not isinstance(item, dict):
        return [FieldError("", "not_an_object", f"{called} is a JSON object.")]
    result = read(item)
    return result if isinstance(result, list) else repeated_name(bytes(raw)) or result


def read_cost(item: Mapping[str, Any]) -> CostItem | list[FieldError]:
    """One cost from a decoded JSON object, or every field that is wrong with it."""
    if item.get("kind") == "credit" and "cost_type" not in item:
        item = {**item, "cost_type": "other"}
    struct: type[CostItem] = Correction if "corrects" in item else CostInput
    errors = _explain(item, struct)
    return errors or msgspec.convert(item, struct)


def pointer(*parts: str) -> str:
    """An RFC 6901 JSON pointer."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _explain(item: Mapping[str, Any], struct: type[msgspec.Struct]) -> list[FieldError]:
    types = _types(struct)
    errors = [
        FieldError(pointer(name), "required", "This field is required.")
        for name in _required(struct)
        if name not in item
    ]
    for name, value in item.items():
        if name not in types:
            errors.append(FieldError(pointer(name), "unknown_field", "There is no such field."))
        elif name == "usage" and isinstance(value, dict):
            errors.extend(_bad_keys(name, value, _types(UsageInput)))
        elif name in ("tags", "entities") and isinstance(value, dict):
            errors.extend(_bad_keys(name, value, dict.fromkeys(value, str)))
        elif problem := _mistyped(value, types[name]):
            errors.append(FieldError(pointer(name), "bad_value", problem))
    return errors


def _bad_keys(name: str, value: Mapping[str, Any], types: Mapping[str, Any]) -> Iterable[FieldError]:
    for key, inner in value.items():
        if key not in types:
            yield FieldError(pointer(name, key), "unknown_field", "There is no such field.")
        elif problem := _mistyped(inner, types[key]):
            yield FieldError(pointer(name, key), "bad_value", problem)


def _mistyped(value: Any, expected: Any) -> str:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        return str(error).partition(" - at `")[0] + "."
    return ""


def event_key(source: str, event_id: str) -> UUID:
    """The identity of an event: the first 128 bits of SHA-256 over its source and id, each length-prefixed."""
    name = source.encode()
    return UUID(bytes=hashlib.sha256(b"%d:%b%b" % (len(name), name, event_id.encode())).digest()[:16])


_encoder: Final = msgspec.json.Encoder(order="deterministic")


def content_digest(cost: CostItem) -> UUID:
    """A digest of what was said, the same however it was written: key order, time zone, defaults spelled out."""
    said: tuple[Any, ...]
    if isinstance(cost, Correction):
        said = (cost.corrects, parse_amount(cost.amount), cost.reason)
    else:
        said = (
            cost.occurred_at.astimezone(UTC),
            cost.entity_type,
            cost.entity_id,
            cost.cost_type,
            {**cost.entities, cost.entity_type: cost.entity_id},
            cost.provider or "",
            cost.model or "",
            cost.service_tier,
            cost.usage,
            None if cost.quantity is None else parse_quantity(cost.quantity),
            cost.unit,
            None if cost.amount is None else parse_amount(cost.amount),
            cost.currency,
            cost.run_id or "",
            cost.tags,
            cost.kind,
            cost.reason,
        )
    return UUID(bytes=hashlib.blake2b(_encoder.encode(said), digest_size=16).digest())


def parse_quantity(quantity: str | int) -> int:
    """Billionths of a unit; raises MoneyError for anything but a decimal of up to 9 places."""
    return parse_amount(str(quantity) if isinstance(quantity, int) else quantity)
