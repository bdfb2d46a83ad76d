"""Attribute values as clients write them: numbers as text, text as JSON, objects as Python writes them."""

from __future__ import annotations

import ast
import math
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

import msgspec

MAX_NAME: Final = 255
MAX_TOKENS: Final = 10**9
"""Tokens of one call. The largest context windows hold some ten millions; beyond this a number is a mistake."""

MAX_COST: Final = Decimal(10**6)
"""USD for one call; beyond this a number is a mistake."""

NOTHING: Final = frozenset({"", "none", "null", "nil", "unknown", "undefined", "n/a", "{}", "[]", '""'})
"""Text that says that there is nothing to say, in lower case."""

_SHORT: Final = 64
_MAGNITUDE: Final = 40
_HUGE: Final = Decimal(10) ** _MAGNITUDE
_LITERAL_LENGTH: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def text(value: object, longest: int = MAX_NAME) -> str:
    """A name: without outer white space, quotes of JSON and what cannot be stored, cut to ``longest``."""
    if value is None:
        return ""
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        value = str(value)
    return _short(value, longest) if len(value) <= _SHORT else _clean(value, longest)


def _clean(value: str, longest: int) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            inner = msgspec.json.decode(value)
        except msgspec.DecodeError:
            inner = None
        if isinstance(inner, str):
            value = inner.strip()
    if not value.isprintable():
        value = "".join(character if character.isprintable() else " " for character in value).strip()
    return "" if value.lower() in NOTHING else value[:longest]


# The spans of a fleet name the same few things over and over.
_short: Final = lru_cache(maxsize=8192)(_clean)


def tokens(value: object) -> int | str:
    """A count of tokens, or why it is none: ``not_a_number``, ``not_whole``, ``negative``, ``too_large``."""
    if type(value) is int:
        count = value
    else:
        number = decimal(value)
        if number is None:
            return "not_a_number"
        if abs(number) > MAX_TOKENS:
            return "too_large" if number > 0 else "negative"
        if number != number.to_integral_value():
            return "not_whole"
        count = int(number)
    if count < 0:
        return "negative"
    return count if count <= MAX_TOKENS else "too_large"


def decimal(value: object) -> Decimal | None:
    """A finite number however it is written; None for anything else, NaN and the infinities."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and len(value) > 64:
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value).strip().strip('"'))
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    if number and abs(number.adjusted()) > _MAGNITUDE:
        # Written short, but no arithmetic holds it: far too large, or nothing.
        return _HUGE.copy_sign(number) if number.adjusted() > 0 else Decimal(0)
    return number


def cost(value: object) -> Decimal | None:
    """An amount of USD to the billionth, from zero to a million; None for anything else."""
    number = decimal(value)
    if number is None or not 0 <= number <= MAX_COST:
        return None
    return number.quantize(Decimal("1e-9"))


def seconds(value: object) -> float | None:
    """A duration that is not negative; None for anything else."""
    number = decimal(value)
    if number is None or number < 0:
        return None
    found = float(number)
    return found if math.isfinite(found) else None


def moment(value: object) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 time, plain or as a JSON string; one without zone is UTC."""
    if not isinstance(value, str) or not 10 <= len(value) <= 64:
        return None
    try:
        time = datetime.fromisoformat(value.strip().strip('"'))
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    passed = time - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000


def mapping(value: object) -> dict[str, Any] | None:
    """An object: a key-value list, or text in JSON or as Python prints a dict; None for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    found: object
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        if len(value) > _LITERAL_LENGTH:
            return None
        try:
            found = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
    return (
        {key: inner for key, inner in found.items() if isinstance(key, str)}
        if isinstance(found, dict)
        else None
    )
