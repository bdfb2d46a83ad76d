"""What texts, numbers and JSON may be where experiments take them; every fault names its field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from agent_factory_site.common.errors import FieldError

MAX_UNIT: Final = 255
MAX_DEPTH: Final = 20
MAX_ATTRIBUTES: Final = 200
MAX_ATTRIBUTE_TEXT: Final = 1000
MAX_ATTRIBUTE_LIST: Final = 1000


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number that a double can hold, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300 if isinstance(value, int) else math.isfinite(value)


def bad_text(text: str) -> str | None:
    """Why a text cannot be stored, or None."""
    if "\0" in text:
        return "Holds a NUL character."
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "Holds half of a surrogate pair."
    return None


def text_error(pointer: str, text: object, most: int) -> FieldError | None:
    """What is wrong with a text that has to say something."""
    if text is None:
        return FieldError(pointer, "required", "Is needed.")
    if not isinstance(text, str):
        return FieldError(pointer, "not_a_string", "Must be a string.")
    if not text.strip():
        return FieldError(pointer, "required", "Is needed.")
    if len(text) > most:
        return FieldError(pointer, "too_long", f"Has more than {most} characters.")
    if (fault := bad_text(text)) is not None:
        return FieldError(pointer, "invalid", fault)
    return None


def unit_error(unit: object, pointer: str = "/unit_id") -> FieldError | None:
    """What is wrong with the id of a unit."""
    return text_error(pointer, unit, MAX_UNIT)


def json_error(value: Any, pointer: str, depth: int = 0) -> FieldError | None:
    """What keeps decoded JSON from being stored by both databases and read back as it was."""
    if isinstance(value, str):
        fault = bad_text(value)
    elif isinstance(value, bool) or value is None:
        fault = None
    elif isinstance(value, (int, float)):
        fault = None if is_number(value) else "Is not a finite number."
    elif depth >= MAX_DEPTH:
        fault = f"Is nested more than {MAX_DEPTH} deep."
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            found = json_error(name, pointer, depth + 1) or json_error(inner, pointer, depth + 1)
            if found is not None:
                return found
        fault = None
    elif isinstance(value, list):
        for inner in value:
            if (found := json_error(inner, pointer, depth + 1)) is not None:
                return found
        fault = None
    else:
        fault = "Is not JSON."
    return None if fault is None else FieldError(pointer, "invalid", fault)


def attribute_errors(attributes: object, pointer: str = "/attributes") -> list[FieldError]:
    """What is wrong with the attributes of a unit; nothing of them is stored."""
    if not isinstance(attributes, Mapping):
        return [FieldError(pointer, "not_an_object", "Must be an object.")]
    if len(attributes) > MAX_ATTRIBUTES:
        return [FieldError(pointer, "too_many", f"At most {MAX_ATTRIBUTES} attributes.")]
    errors = []
    for name, value in attributes.items():
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_ATTRIBUTE_LIST:
            errors.append(
                FieldError(f"{pointer}/{name}", "too_many", f"At most {MAX_ATTRIBUTE_LIST} values.")
            )
        elif any(isinstance(item, str) and len(item) > MAX_ATTRIBUTE_TEXT for item in items):
            detail = f"Has more than {MAX_ATTRIBUTE_TEXT} characters."
            errors.append(FieldError(f"{pointer}/{name}", "too_long", detail))
    return errors
