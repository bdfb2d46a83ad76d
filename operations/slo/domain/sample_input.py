"""What a sender may say of one event, decoded and judged without a database or a clock."""

from __future__ import annotations

import hashlib
import re
import typing
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from agent_factory_site.common.errors import FieldError

from .counts import MICRO

MAX_EVENT_ID: Final = 255
MAX_COUNT: Final = 10**12
MAX_VALUE: Final = 1e9
MAX_REVISION: Final = 2**62
MAX_LABELS: Final = 20
MAX_LABEL_VALUE: Final = 255
LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}\Z")
AHEAD: Final = timedelta(hours=1)
"""How far a sender's clock may run ahead."""

Takes = Literal["counts", "values", "either"]
"""What the samples of an indicator say: good of total, or a value that is held against a threshold."""


class SampleInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One event, or several of one time, under an id that is unique within its indicator.

    Either ``good`` of ``total``, or a ``value`` in the indicator's unit. Of two samples with one id the one with
    the higher ``revision`` counts, whichever comes first; with equal ones the later to arrive.
    """

    event_id: str
    timestamp: Annotated[datetime, Meta(tz=True)]
    good: int | None = None
    total: int | None = None
    value: float | None = None
    labels: dict[str, str] = {}
    revision: int = 0


SampleItem = SampleInput | list[FieldError]

_decoder: Final = msgspec.json.Decoder(SampleInput)
_plain: Final = msgspec.json.Decoder()
_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])
_types: Final = typing.get_type_hints(SampleInput, include_extras=True)
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_WANTED: Final = {
    "event_id": "Must be text.",
    "timestamp": "Must be a time with its offset, such as 2026-11-22T10:11:12Z.",
    "good": "Must be a whole number.",
    "total": "Must be a whole number.",
    "value": "Must be a number.",
    "labels": "Must be an object of texts.",
    "revision": "Must be a whole number.",
}


def decode_sample(raw: bytes | msgspec.Raw) -> SampleItem:
    """One sample from its JSON text, or every field that is wrong with it."""
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [FieldError("", "malformed", f"Is not JSON: {error}.")]
    try:
        item = _plain.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [FieldError("", "malformed", f"Is not JSON: {error}.")]
    if not isinstance(item, dict):
        return [FieldError("", "not_an_object", "A sample is a JSON object.")]
    return _faults(item)


def decode_samples(body: bytes) -> list[SampleItem] | None:
    """The samples of a JSON list, each by itself; None when the text is no list."""
    try:
        return [decode_sample(raw) for raw in _raws.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _faults(item: Mapping[str, Any]) -> list[FieldError]:
    errors = [
        FieldError(f"/{name}", "required", "This field is required.")
        for name in ("event_id", "timestamp")
        if name not in item
    ]
    for name, value in item.items():
        pointer = f"/{_token(name)}"
        if name not in _types:
            errors.append(FieldError(pointer, "unknown_field", "There is no such field."))
            continue
        if name == "labels" and isinstance(value, dict):
            errors += [
                FieldError(f"{pointer}/{_token(label)}", "bad_value", "A label's value is a string.")
                for label, text in value.items()
                if not isinstance(text, str)
            ]
            continue
        try:
            msgspec.convert(value, _types[name])
        except msgspec.ValidationError:
            errors.append(FieldError(pointer, "bad_value", _WANTED[name]))
    return errors


def check_sample(sample: SampleInput, takes: Takes, *, now: datetime, earliest: datetime) -> list[FieldError]:
    """What is wrong with a sample of an indicator, at ``now``, when minutes are kept from ``earliest`` on."""
    errors: list[FieldError] = []
    if (fault := _text_fault(sample.event_id, MAX_EVENT_ID)) or not sample.event_id.strip():
        errors.append(FieldError("/event_id", "bad_value", fault or "Is needed."))
    if not earliest <= sample.timestamp <= now + AHEAD:
        errors.append(_time_error(sample.timestamp, earliest))
    if sample.value is not None:
        if sample.good is not None or sample.total is not None:
            detail = "A sample has either a value, or good and total."
            errors.append(FieldError("/value", "unexpected", detail))
        elif takes == "counts":
            errors.append(FieldError("/value", "unexpected", "This indicator takes good and total."))
        # Written this way round, it also refuses what is not a number.
        if not -MAX_VALUE <= sample.value <= MAX_VALUE:
            detail = f"Must be a finite number from {-MAX_VALUE:.0f} to {MAX_VALUE:.0f}."
            errors.append(FieldError("/value", "out_of_range", detail))
    elif sample.good is None and sample.total is None and takes != "counts":
        errors.append(FieldError("/value", "required", "Is needed."))
    elif takes == "values":
        errors.append(FieldError("/good", "unexpected", "This indicator takes a value."))
    if sample.value is None and (takes == "counts" or sample.good is not None or sample.total is not None):
        errors += _count_errors(sample.good, sample.total)
    if sample.labels:
        errors += label_errors(sample.labels)
    if not 0 <= sample.revision <= MAX_REVISION:
        errors.append(FieldError("/revision", "out_of_range", f"Must be from 0 to {MAX_REVISION}."))
    return errors


def _time_error(at: datetime, earliest: datetime) -> FieldError:
    if at < earliest:
        detail = f"Is older than the minutes that are kept, which begin at {earliest:%Y-%m-%d %H:%M} UTC."
        return FieldError("/timestamp", "too_old", detail)
    return FieldError("/timestamp", "in_the_future", "Is more than an hour ahead.")


def _count_errors(good: int | None, total: int | None) -> list[FieldError]:
    errors = []
    for pointer, number, least in (("/good", good, 0), ("/total", total, 1)):
        if number is None:
            errors.append(FieldError(pointer, "required", "Is needed: good of total."))
        elif not least <= number <= MAX_COUNT:
            errors.append(FieldError(pointer, "out_of_range", f"Must be from {least} to {MAX_COUNT}."))
    if not errors and good is not None and total is not None and good > total:
        errors.append(FieldError("/good", "more_than_total", f"{good} good of {total} is impossible."))
    return errors


@lru_cache(maxsize=4096)
def _label_error(name: str, value: str) -> FieldError | None:
    pointer = f"/labels/{_token(name)}"
    if not LABEL.match(name):
        detail = "A label's name is up to 63 letters, digits and _, not beginning with a digit."
        return FieldError(pointer, "bad_label", detail)
    if fault := _text_fault(value, MAX_LABEL_VALUE):
        return FieldError(pointer, "bad_value", fault)
    return None


def label_errors(labels: Mapping[str, str]) -> list[FieldError]:
    """What is wrong with the labels of a sample."""
    if len(labels) > MAX_LABELS:
        return [FieldError("/labels", "too_many", f"At most {MAX_LABELS} labels.")]
    found = [_label_error(name, value) for name, value in labels.items()]
    return [error for error in found if error is not None]


def _text_fault(text: str, most: int) -> str:
    if len(text) > most:
        return f"Has more than {most} characters."
    if "\0" in text:
        return "Holds a NUL character."
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "Holds half of a surrogate pair."
    return ""


def is_good(value: float, op: str, threshold: float) -> bool:
    """Whether a value keeps the threshold: ``lte``, ``lt``, ``gte`` or ``gt``.

    Both are the doubles nearest to the decimals that were written, so 0.3 is at most 0.3.
    """
    match op:
        case "lte":
            return value <= threshold
        case "lt":
            return value < threshold
        case "gte":
            return value >= threshold
        case "gt":
            return value > threshold
    raise ValueError(f"no comparison is called {op!r}")


def micros(value: float) -> int:
    """Millionths, as values are summed."""
    return round(value * MICRO)


def event_key(event_id: str) -> UUID:
    """The identity of an event within its indicator: the first 128 bits of SHA-256 over its id."""
    return UUID(bytes=hashlib.sha256(event_id.encode()).digest()[:16])


def content_digest(sample: SampleInput) -> UUID:
    """A digest of all that a sample says but its id and revision, however it was written (zone, 1 or 1.0)."""
    said = (
        sample.timestamp.astimezone(UTC),
        sample.good,
        sample.total,
        None if sample.value is None else sample.value + 0.0,
        sample.labels,
    )
    return UUID(bytes=hashlib.blake2b(_encoder.encode(said), digest_size=16).digest())


def _token(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
