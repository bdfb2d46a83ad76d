"""Values of targeting rules as people type them: ``DE, FR``, ``18``, ``"18"``, ``>=1.2.0``."""

from __future__ import annotations

import json
import re
from typing import Any, Final

LISTS: Final = ("in", "not_in")
TEXTS: Final = ("matches", "semver")
_PART: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,]*?)\s*(?:,|\Z)')


def read_value(op: str, text: str) -> Any:
    """What was typed as the value of a rule.

    Numbers and truth values are such, unless they stand in double quotes; lists are divided by commas;
    patterns and versions are taken as they stand. Nothing, for ``exists``, is true.
    """
    if op in TEXTS:
        return text
    if op in LISTS:
        return [_scalar(part) for part in _parts(text)]
    if op == "exists" and not text.strip():
        return True
    return _scalar(text.strip())


def _parts(text: str) -> list[str]:
    found = []
    place = 0
    while place < len(text):
        match = _PART.match(text, place)
        if match is None:
            # A quote that does not end where its part does: as it stands.
            head, _, _ = text[place:].partition(",")
            found.append(head.strip())
            place += len(head) + 1
            continue
        found.append(match[1])
        place = match.end()
    return [part for part in found if part]


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else text


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is a word, no number")


def write_value(op: str, value: Any) -> str:
    """The text that :func:`read_value` reads as ``value``."""
    if op in TEXTS:
        return str(value)
    if isinstance(value, list):
        return ", ".join(_written(item, in_list=True) for item in value)
    return _written(value, in_list=False)


def _written(value: Any, *, in_list: bool) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value and value == value.strip() and _scalar(value) == value and not value.startswith('"')
    if plain and not (in_list and "," in value):
        return value
    return json.dumps(value, ensure_ascii=False)
