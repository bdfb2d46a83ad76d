"""What keys, texts and numbers may be where service levels take them; every fault names its field."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .windows import parse_duration

KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}\Z")


def token(step: object) -> str:
    """A step of a JSON pointer (RFC 6901)."""
    return str(step).replace("~", "~0").replace("/", "~1")


def check_fields(
    body: Mapping[str, Any], known: Collection[str], pointer: str, errors: list[FieldError]
) -> None:
    """Names every field that there is not."""
    for name in body:
        if name not in known:
            errors.append(FieldError(f"{pointer}/{token(name)}", "unknown_field", "There is no such field."))


def parse_key(value: object, pointer: str, errors: list[FieldError]) -> str:
    """A key of lower-case letters, digits, ``_`` and ``-``."""
    if value is None:
        errors.append(FieldError(pointer, "required", "Is needed."))
    elif not isinstance(value, str):
        errors.append(FieldError(pointer, "not_a_string", "Must be a string."))
    elif not KEY.match(value):
        detail = "Is 1 to 100 of a-z, 0-9, _ and -, and begins with a letter or digit."
        errors.append(FieldError(pointer, "bad_key", detail))
    else:
        return value
    return ""


def parse_text(
    body: Mapping[str, Any], name: str, most: int, errors: list[FieldError], pointer: str = ""
) -> str:
    """A text that may be left out."""
    value = body.get(name)
    if value is None:
        return ""
    at = f"{pointer}/{name}"
    if not isinstance(value, str):
        errors.append(FieldError(at, "not_a_string", "Must be a string."))
    elif len(value) > most:
        errors.append(FieldError(at, "too_long", f"Has more than {most} characters."))
    elif "\0" in value:
        errors.append(FieldError(at, "invalid", "Holds a NUL character."))
    elif any("\ud800" <= character <= "\udfff" for character in value):
        errors.append(FieldError(at, "invalid", "Holds half of a surrogate pair."))
    else:
        return value.strip()
    return ""


def one_of(value: object, known: Collection[str], pointer: str, errors: list[FieldError]) -> str:
    """One of a few words."""
    if isinstance(value, str) and value in known:
        return value
    code = "required" if value is None else "bad_value"
    errors.append(FieldError(pointer, code, f"Is one of {', '.join(known)}."))
    return ""


def parse_decimal(value: object, pointer: str, errors: list[FieldError], places: int) -> Decimal | None:
    """A finite number, as it was written, with at most so many decimals; a string is refused."""
    if value is None:
        errors.append(FieldError(pointer, "required", "Is needed."))
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        errors.append(FieldError(pointer, "not_a_number", "Must be a number."))
        return None
    if not math.isfinite(value) if not isinstance(value, int) else abs(value) >= 10**15:
        errors.append(FieldError(pointer, "out_of_range", "Is too large or not finite."))
        return None
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    exponent = number.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > places:
        errors.append(FieldError(pointer, "too_precise", f"At most {places} decimals."))
        return None
    return number


def parse_length(value: object, pointer: str, errors: list[FieldError]) -> timedelta | None:
    """A duration such as ``30d``."""
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError:
        detail = "Is a whole number of m, h, d or w, such as 5m or 30d."
        errors.append(FieldError(pointer, "required" if value is None else "bad_duration", detail))
        return None
