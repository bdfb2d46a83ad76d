"""Objects that say a name twice, of which a decoder silently keeps the last.

Looked for without reading a text again where its quotation marks already tell that there is none.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

import msgspec

from agent_factory_site.common.errors import FieldError


class _Repeated(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise _Repeated(name)
        seen.add(name)


_decoder: Final = json.JSONDecoder(object_pairs_hook=_once)


def repeated_name(text: bytes) -> list[FieldError]:
    """The error of a well-formed JSON text in which an object has a name twice; none where none has."""
    try:
        _decoder.decode(text.decode())
    except _Repeated as repeated:
        detail = f"The name {json.dumps(str(repeated))} stands twice in one object."
        return [FieldError("", "duplicate_name", detail)]
    return []


def quotation_marks(
    required: int,
    texts: Collection[str | None],
    groups: Collection[Collection[str]],
    usage: msgspec.Struct | None,
) -> int:
    """The fewest quotation marks in which an object that says this, and each name once, can be written.

    ``required`` texts under names, those of ``texts`` that are there, named texts in ``groups`` that are
    not empty, and the quantities of ``usage`` that are not 0. A text with exactly as many marks says no
    name twice; one with more may hold escaped marks, values spelled out that are the default, or repeats.
    """
    marks = 4 * (required + len(texts) - list(texts).count(None))
    for group in groups:
        if group:
            marks += 2 + 4 * len(group)
    if usage is not None:
        quantities = msgspec.structs.astuple(usage)
        marks += 2 + 2 * (len(quantities) - quantities.count(0))
    return marks
