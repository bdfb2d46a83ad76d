"""Segments by attributes: what of a unit's attributes is kept with its first exposure.

An experiment names a few attributes. The value that a unit has of each is kept as a small number, all of them
packed into one: eight bits for each attribute, in the order in which the experiment names them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .targeting import MAX_ATTRIBUTE
from .values import bad_text, text_error

MAX_SEGMENTS: Final = 5
MAX_VALUES: Final = 20
"""So many values of an attribute have a segment of their own; what comes later counts as ``OTHER``."""
MAX_TEXT: Final = 100
BITS: Final = 8
NOT_SET: Final = 0
OTHER: Final = 1
FIRST: Final = 2
"""Numbers of values begin here, in the order in which they were met."""
NOT_SET_NAME: Final = "(not set)"
OTHER_NAME: Final = "(other)"
PREFIX: Final = "attribute:"


def parse_segments(value: object, pointer: str, errors: list[FieldError]) -> list[str]:
    """The attributes that an experiment names: at most five, no two the same."""
    if not isinstance(value, list):
        errors.append(FieldError(pointer, "not_a_list", "Must be a list of attributes."))
        return []
    if len(value) > MAX_SEGMENTS:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_SEGMENTS} attributes."))
        return []
    found: list[str] = []
    for place, name in enumerate(value):
        if fault := text_error(f"{pointer}/{place}", name, MAX_ATTRIBUTE):
            errors.append(fault)
        elif "=" in name or name != name.strip():
            detail = "Has no = in it, and no space around it."
            errors.append(FieldError(f"{pointer}/{place}", "bad_attribute", detail))
        elif name in found:
            errors.append(FieldError(f"{pointer}/{place}", "duplicate", "Is named already."))
        else:
            found.append(name)
    return found


def segment_value(value: Any) -> str:
    """An attribute as the text that tells segments apart; what a query can only say as text is told apart as such.

    ``NOT_SET_NAME`` for nothing at all and for objects, ``OTHER_NAME`` for what is too long to be a name. Several
    values are one, whatever their order.
    """
    if isinstance(value, (list, tuple)):
        several = sorted({segment_value(one) for one in value} - {NOT_SET_NAME})
        if OTHER_NAME in several:
            return OTHER_NAME
        text = ", ".join(several)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        text = str(int(value))
    elif isinstance(value, (int, float)):
        # A whole number may have more digits than Python writes out.
        text = str(value) if isinstance(value, float) or value.bit_length() < 4 * MAX_TEXT else OTHER_NAME
    elif isinstance(value, str):
        text = value.strip()
    else:
        return NOT_SET_NAME
    if not text:
        return NOT_SET_NAME
    return text if len(text) <= MAX_TEXT and bad_text(text) is None else OTHER_NAME


Known = Mapping[tuple[str, str], int]
"""Numbers of values by attribute and value."""


def missing_values(
    attributes: Sequence[str], units: Iterable[Mapping[str, Any]], known: Known
) -> list[tuple[str, str]]:
    """Values of ``units`` that have no number yet and may still get one, in the order in which they are met."""
    room = dict.fromkeys(attributes, MAX_VALUES)
    for name, _ in known:
        room[name] = room.get(name, 0) - 1
    open_ = [name for name in attributes if room[name] > 0]
    if not open_:
        return []
    found: dict[tuple[str, str], None] = {}
    for unit in units:
        for name in open_:
            text = segment_value(unit.get(name))
            if text in (NOT_SET_NAME, OTHER_NAME) or (name, text) in known or (name, text) in found:
                continue
            if room[name] > 0:
                room[name] -= 1
                found[name, text] = None
    return list(found)


def packed_segments(attributes: Sequence[str], unit: Mapping[str, Any], known: Known) -> int:
    """The segments of one unit in one number; a value without a number of its own counts as ``OTHER``."""
    packed = 0
    for place, name in enumerate(attributes):
        text = segment_value(unit.get(name))
        code = NOT_SET if text == NOT_SET_NAME else known.get((name, text), OTHER)
        packed |= code << (BITS * place)
    return packed


def segment_name(attribute: str, value: str) -> str:
    """What the segment is asked for by."""
    return f"{PREFIX}{attribute}={value}"


def attribute_of(segment: str) -> tuple[str, str] | None:
    """Attribute and value of a segment's name; None where it is no such name."""
    attribute, equals, value = segment.removeprefix(PREFIX).partition("=")
    return (attribute, value) if segment.startswith(PREFIX) and equals and attribute and value else None
