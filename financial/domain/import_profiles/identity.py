"""What a row is about, whichever file it comes from: the ids of events that exports may hold again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC
from typing import Any, Final

import msgspec

from .profile import ImportOptions, Profile, Row
from .values import UNIX_EPOCH, BadValue, is_blank, read_text, read_time

Occurrences = Callable[[bytes], int]
"""How often a key of 16 bytes has been asked for, this time included."""
_json: Final = msgspec.json.Decoder(float_hook=str)
_encoder: Final = msgspec.json.Encoder(order="sorted")


def count_in_memory() -> Occurrences:
    """Occurrences of a file whose keys fit into memory."""
    seen: Counter[bytes] = Counter()

    def count(key: bytes) -> int:
        seen[key] += 1
        return seen[key]

    return count


class KeyReader:
    """Makes event ids of the key columns of rows: the same whatever the figures, and however they are written.

    A column that is absent, null or blank is left out. Of one that was given another name with a
    mapping, the value under that name counts.
    """

    def __init__(self, profile: Profile, options: ImportOptions, occurrences: Occurrences) -> None:
        renamed = {
            column.name: options.mapping[field]
            for field, column in profile.columns.items()
            if field in options.mapping
        }
        self._paths = [
            (name, name in profile.key_times, [path_of(each) for each in (name, renamed.get(name)) if each])
            for name in profile.key_columns
        ]
        self._profile = profile
        self._origin = options.time_origin or (UNIX_EPOCH if profile.unix else None)
        self._occurrences = occurrences if profile.numbered_keys else None

    def key_of(self, row: Row) -> str:
        """The event id of a row, such as ``4c0f…`` or, of the second row with this key, ``4c0f…/2``."""
        said = {}
        for name, is_time, paths in self._paths:
            value = next((found for path in paths if not is_blank(found := look_up(row, path))), None)
            if value is not None:
                said[name] = self._time(value) if is_time else _plain(value)
        digest = hashlib.sha256(_encoder.encode(said)).digest()[:16]
        number = self._occurrences(digest) if self._occurrences else 1
        return digest.hex() + (f"/{number}" if number > 1 else "")

    def _time(self, value: Any) -> Any:
        unit, naive_utc = self._profile.time_unit, self._profile.naive_utc
        try:
            moment = read_time(value, unit=unit, origin=self._origin, naive_utc=naive_utc)
            return moment.astimezone(UTC).isoformat()
        except (BadValue, OverflowError):
            return _plain(value)


def _plain(value: Any) -> Any:
    """A value as it is compared: texts without white space around them, ``True`` as ``true``, objects sorted."""
    if not isinstance(value, str):
        return value if isinstance(value, dict | list) else read_text(value)
    text = value.strip()
    if text.startswith("{"):
        try:
            return _json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return text
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


def path_of(column: str) -> tuple[str, ...]:
    """A column as :func:`look_up` wants it: its whole name, then the parts of a dotted path."""
    return column, *column.split(".")


def look_up(row: Row, path: tuple[str, ...]) -> Any:
    """The value of a column: by its whole name, else down a dotted path of objects."""
    whole, *parts = path
    if whole in row or len(parts) == 1:
        return row.get(whole)
    value: Any = row
    for part in parts:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
