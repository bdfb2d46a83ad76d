"""What a sender may say of one result, decoded and checked without a database or a clock."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from agent_factory_site.common.errors import FieldError

from .metric_input import METRIC_KEY
from .values import bad_text, is_number, text_error, unit_error

MAX_EVENT_ID: Final = 255
MAX_JUDGE: Final = 100
LARGEST: Final = 1e100
"""Beyond this, squares of values would not add up in a float."""
BUILT_IN: Final = frozenset({"cost", "success", "error", "latency"})
SCORE: Final = "score:"


class ResultInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One measured value of one unit, under an id that is unique within its experiment.

    ``metric`` is the key of a metric, a part of a ratio or a built-in source. ``covariate`` is the same
    measure from before exposure. Scores may name their ``judge`` and its version. A higher ``revision`` takes
    the place of a lower one of the same event, whatever the order in which they arrive; without a ``value`` it
    takes the result back.
    """

    unit_id: str
    metric: str
    value: float | None
    event_id: str
    occurred_at: Annotated[datetime, Meta(tz=True)]
    covariate: float | None = None
    judge: str | None = None
    judge_version: str | None = None
    revision: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


ResultItem = ResultInput | list[FieldError]
S = TypeVar("S", bound=msgspec.Struct)

_decoder: Final = msgspec.json.Decoder(ResultInput)
_plain: Final = msgspec.json.Decoder()


def decode_result(raw: bytes | msgspec.Raw) -> ResultItem:
    """One result from its JSON text, or every field that is wrong with it."""
    return decode(raw, _decoder, "A result")


def decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[S], called: str) -> S | list[FieldError]:
    """What ``decoder`` makes of a JSON text, or every field that is wrong with it."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [FieldError("", "malformed", f"Is not JSON: {error}.")]
    try:
        item = _plain.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [FieldError("", "malformed", f"Is not JSON: {error}.")]
    if not isinstance(item, dict):
        return [FieldError("", "not_an_object", f"{called} is a JSON object.")]
    return _faults(item, decoder.type)


def _faults(item: Mapping[str, Any], struct: type[S]) -> list[FieldError]:
    types = typing.get_type_hints(struct, include_extras=True)
    errors = []
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in item:
            errors.append(FieldError(f"/{field.name}", "required", "This field is required."))
    for name, value in item.items():
        if name not in types:
            step = name.replace("~", "~0").replace("/", "~1")
            errors.append(FieldError(f"/{step}", "unknown_field", "There is no such field."))
            continue
        try:
            msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            errors.append(FieldError(f"/{name}", "bad_value", str(error).partition(" - at `")[0] + "."))
    return errors


def check_result(result: ResultInput) -> list[FieldError]:
    """What is wrong with a result by itself."""
    errors = []
    if (fault := unit_error(result.unit_id)) is not None:
        errors.append(fault)
    if (fault := text_error("/event_id", result.event_id, MAX_EVENT_ID)) is not None:
        errors.append(fault)
    if not METRIC_KEY.match(result.metric):
        errors.append(FieldError("/metric", "bad_key", "Is not the key of a metric or a source."))
    if result.value is None:
        if result.revision == 0:
            detail = "A result has a value; a higher revision without one takes it back."
            errors.append(FieldError("/value", "required", detail))
    elif (fault := number_error("/value", result.value)) is not None:
        errors.append(fault)
    if result.covariate is not None and (fault := number_error("/covariate", result.covariate)) is not None:
        errors.append(fault)
    return errors + judge_errors(result.metric, result.judge, result.judge_version)


def number_error(pointer: str, value: object) -> FieldError | None:
    """What keeps a value from being summed and squared."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return FieldError(pointer, "not_a_number", "Must be a number.")
    if not is_number(value):
        return FieldError(pointer, "not_finite", "Must be a finite number.")
    if abs(value) > LARGEST:
        return FieldError(pointer, "out_of_range", f"Must lie between -{LARGEST:g} and {LARGEST:g}.")
    return None


def judge_errors(metric: str, judge: str | None, version: str | None) -> list[FieldError]:
    """What is wrong with the judge of a score."""
    errors = []
    if judge is None:
        if version is not None:
            errors.append(FieldError("/judge", "required", "A version needs the judge that it is one of."))
        return errors
    if not metric.startswith(SCORE):
        detail = f"Only scores, whose metric begins with {SCORE}, have a judge."
        errors.append(FieldError("/judge", "unexpected", detail))
    if (fault := text_error("/judge", judge, MAX_JUDGE)) is not None:
        errors.append(fault)
    if version is not None and ((len(version) > MAX_JUDGE) or bad_text(version)):
        errors.append(FieldError("/judge_version", "invalid", f"Is a text of up to {MAX_JUDGE} characters."))
    return errors


def is_built_in(source: str) -> bool:
    """Whether every experiment takes results from this source."""
    return source in BUILT_IN or (source.startswith(SCORE) and len(source) > len(SCORE))


def metric_error(
    metric: str, kinds: Mapping[str, Collection[str]], ratios: Collection[str]
) -> FieldError | None:
    """What is wrong with the metric of a result or a set: ``kinds`` by source, ``ratios`` by key."""
    if metric in kinds or is_built_in(metric):
        return None
    if metric in ratios:
        detail = "A ratio has no results of its own: send its numerator and its denominator."
        return FieldError("/metric", "wrong_kind", detail)
    detail = "Is no metric of this experiment, no part of one, and no built-in source."
    return FieldError("/metric", "unknown_metric", detail)


def kind_error(kinds: Collection[str], value: float | None) -> FieldError | None:
    """What is wrong with a value for metrics of these kinds; one that was taken back has none."""
    if value is None:
        return None
    if "proportion" in kinds and value not in (0, 1):
        return FieldError("/value", "wrong_kind", "A result of a proportion is 0 or 1.")
    if "count" in kinds and (value < 0 or value != int(value)):
        return FieldError("/value", "wrong_kind", "A result of a count is a whole number of at least 0.")
    return None


def event_key(experiment: UUID, event_id: str) -> UUID:
    """The identity of a result: the first 128 bits of SHA-256 over its experiment and event id."""
    return UUID(bytes=hashlib.sha256(experiment.bytes + event_id.encode()).digest()[:16])


_encoder: Final = msgspec.json.Encoder()


def content_digest(result: ResultInput) -> UUID:
    """A digest of what was said, the same however it was written: time zone, 1 or 1.0, empty or absent.

    The revision is no part of it.
    """
    said = (
        result.unit_id,
        result.metric,
        None if result.value is None else float(result.value) + 0.0,
        result.occurred_at.astimezone(UTC),
        None if result.covariate is None else float(result.covariate) + 0.0,
        result.judge or "",
        result.judge_version or "",
    )
    return UUID(bytes=hashlib.blake2b(_encoder.encode(said), digest_size=16).digest())
