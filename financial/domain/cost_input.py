"""What a sender may say of one cost, decoded and checked without a database or a clock."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import NANO, MoneyError, parse_amount

from .pricing import check_usage

CostType = Literal["llm", "tool", "compute", "storage", "human", "other"]
ServiceTier = Literal["standard", "batch", "flex", "priority"]
Quantity = Annotated[int, Meta(ge=0, le=10**15)]

FLEET: Final = "*"


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
    """One cost event as it was sent."""

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
    amount: str | None = None
    currency: str | None = None
    run_id: str | None = None
    tags: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one event; amounts in nano-units."""

    earliest: datetime
    latest: datetime
    max_amount: int
    max_key_length: int = 255
    max_tags: int = 50
    max_entities: int = 20
    max_tag_value_length: int = 1000


_decoder: Final = msgspec.json.Decoder(CostInput)
_item_decoder: Final = msgspec.json.Decoder()
_field_types: Final[dict[str, Any]] = typing.get_type_hints(CostInput, include_extras=True)
_usage_types: Final[dict[str, Any]] = typing.get_type_hints(UsageInput, include_extras=True)
_required: Final = tuple(
    field.name for field in msgspec.structs.fields(CostInput) if field.default is msgspec.NODEFAULT
    and field.default_factory is msgspec.NODEFAULT
)
_NAMES: Final = ("source", "event_id", "entity_type", "entity_id", "provider", "model", "run_id")


def decode_cost(raw: bytes | msgspec.Raw) -> CostInput | list[FieldError]:
    """One cost from its JSON text, or every field that is wrong with it."""
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError:
        return _explain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [FieldError("", "malformed", _plain(error))]


def _plain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "The JSON is nested too deeply."
    if isinstance(error, UnicodeDecodeError):
        return "The text is not valid UTF-8."
    return str(error)


def pointer(*parts: str) -> str:
    """An RFC 6901 JSON pointer."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _explain(raw: bytes | msgspec.Raw) -> list[FieldError]:
    """Every bad field of an item that did not decode: the slow way, taken for bad items only."""
    try:
        item = _item_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [FieldError("", "malformed", _plain(error))]
    if not isinstance(item, dict):
        return [FieldError("", "not_an_object", "A cost is a JSON object.")]
    errors = [
        FieldError(pointer(name), "required", "This field is required.")
        for name in _required
        if name not in item
    ]
    for name, value in item.items():
        if name not in _field_types:
            errors.append(FieldError(pointer(name), "unknown_field", "There is no such field."))
        elif name == "usage" and isinstance(value, dict):
            errors.extend(_bad_keys(name, value, _usage_types))
        elif name in ("tags", "entities") and isinstance(value, dict):
            errors.extend(_bad_keys(name, value, dict.fromkeys(value, str)))
        elif problem := _mistyped(value, _field_types[name]):
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


def check_cost(cost: CostInput, limits: Limits) -> list[FieldError]:
    """What a well-formed cost still gets wrong: empty names, impossible usage, times and amounts."""
    errors: list[FieldError] = []
    longest = limits.max_key_length
    for name in _NAMES:
        value = getattr(cost, name)
        if value is None:
            continue
        if not value.strip():
            if name not in ("run_id", "provider", "model") or value:
                errors.append(FieldError(pointer(name), "blank", "This may not be blank."))
        elif problem := _bad_text(value, longest):
            errors.append(FieldError(pointer(name), *problem))
    if cost.provider is not None and len(cost.provider) > 100:
        errors.append(FieldError("/provider", "too_long", "At most 100 characters."))
    if cost.entity_type == FLEET or len(cost.entity_type) > 100:
        errors.append(FieldError("/entity_type", "bad_value", "At most 100 characters, and not \"*\"."))
    if not limits.earliest <= cost.occurred_at:
        errors.append(
            FieldError("/occurred_at", "too_early", f"Not before {limits.earliest.isoformat()}.")
        )
    elif cost.occurred_at > limits.latest:
        errors.append(FieldError("/occurred_at", "in_the_future", f"Not after {limits.latest.isoformat()}."))
    if cost.entities:
        _check_entities(cost, limits, errors)
    if cost.tags:
        _check_tags(cost.tags, limits, errors)
    if cost.amount is not None or cost.currency is not None:
        _check_amount(cost, limits, errors)
    elif cost.usage is None:
        errors.append(FieldError("", "nothing_to_charge", "Give usage with provider and model, or amount and currency."))
    if cost.usage is not None:
        _check_usage(cost, errors)
    return errors


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
    for kind, key in cost.entities.items():
        if not kind.strip() or not key.strip() or kind == FLEET or len(kind) > 100:
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
        if not key.strip():
            errors.append(FieldError(pointer("tags", key), "blank", "A tag has a name."))
        elif problem := _bad_text(key, limits.max_key_length) or _bad_text(value, limits.max_tag_value_length):
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
        errors.append(FieldError("/currency", "unknown_currency", "An ISO 4217 code in capitals, such as USD."))


def _check_usage(cost: CostInput, errors: list[FieldError]) -> None:
    usage = cost.usage
    assert usage is not None
    if cost.amount is None:
        for name in ("provider", "model"):
            if not getattr(cost, name):
                errors.append(FieldError(pointer(name), "required", "Usage is priced by provider and model."))
    errors.extend(
        FieldError(pointer("usage", error.field), error.code, f"{error.field} {error.detail}.")
        for error in check_usage(msgspec.structs.asdict(usage))
    )


def event_key(source: str, event_id: str) -> UUID:
    """The identity of an event: the first 128 bits of SHA-256 over its source and id, each length-prefixed."""
    name = source.encode()
    return UUID(
        bytes=hashlib.sha256(b"%d:%b%b" % (len(name), name, event_id.encode())).digest()[:16]
    )


_encoder: Final = msgspec.json.Encoder(order="deterministic")


def content_digest(cost: CostInput) -> UUID:
    """A digest of what was said, the same however it was written: key order, time zone, defaults spelled out."""
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
        None if cost.amount is None else parse_amount(cost.amount),
        cost.currency,
        cost.run_id or "",
        cost.tags,
    )
    return UUID(bytes=hashlib.blake2b(_encoder.encode(said), digest_size=16).digest())
