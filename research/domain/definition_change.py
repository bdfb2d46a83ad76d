"""Changing a definition: what is named changes, everything else stays."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .definition_input import DefinitionInput

_LISTS: Final = ("variants", "metrics")
_PLACE: Final = re.compile(r"/(variants|metrics)/(\d+)(/.*|)\Z")
ALWAYS: Final = ("name", "hypothesis", "owner")
"""What may change in every state but archived."""
WHILE_OPEN: Final = (*ALWAYS, "coverage", "targeting", "variants", "metrics")
"""What may change, in parts, while the experiment runs or is paused."""
TUNABLE: Final = ("mde", "margin", "scale")
"""What may change of a metric after the start."""


class Merged:
    """A stored body with changes laid over it; items of lists are told apart by their keys."""

    def __init__(self, stored: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        self.body: dict[str, Any] = dict(stored)
        self._sent: dict[str, list[int | None]] = {}
        for name, value in changes.items():
            if name in _LISTS and isinstance(value, list):
                self.body[name] = self._merged_list(name, stored[name], value)
            elif name == "analysis" and isinstance(value, Mapping):
                self.body[name] = {**stored[name], **value}
            else:
                self.body[name] = value

    def _merged_list(self, name: str, stored: list[dict[str, Any]], sent: list[Any]) -> list[Any]:
        places = {item["key"]: place for place, item in enumerate(stored)}
        items: list[Any] = [dict(item) for item in stored]
        origins: list[int | None] = [None] * len(items)
        for number, item in enumerate(sent):
            key = item.get("key") if isinstance(item, Mapping) else None
            place = places.get(key) if isinstance(key, str) else None
            if place is None or origins[place] is not None:
                items.append(item)
                origins.append(number)
            else:
                items[place] = {**items[place], **item}
                origins[place] = number
        self._sent[name] = origins
        return items

    def without(self, name: str, keys: Collection[str]) -> None:
        """Leave the items of ``keys`` out of a list."""
        items = self.body[name]
        if not isinstance(items, list):
            return
        origins = self._sent.get(name, [None] * len(items))
        kept = [
            (item, origin)
            for item, origin in zip(items, origins)
            if not (isinstance(item, Mapping) and item.get("key") in keys)
        ]
        self.body[name] = [item for item, _ in kept]
        self._sent[name] = [origin for _, origin in kept]

    def located(self, error: FieldError) -> FieldError:
        """The error with its place in what was sent, not in what was merged."""
        found = _PLACE.match(error.pointer)
        if found is None or found.group(1) not in self._sent:
            return error
        name, place, rest = found.groups()
        origin = self._sent[name][int(place)]
        pointer = f"/{name}" if origin is None else f"/{name}/{origin}{rest}"
        return FieldError(pointer, error.code, error.detail)


def fixed_errors(old: DefinitionInput, new: DefinitionInput, state: str) -> list[FieldError]:
    """What a change may not touch in ``state``; nothing is fixed in a draft but the key."""
    allowed = WHILE_OPEN if state in ("running", "paused") else ALWAYS
    errors = [
        FieldError(f"/{name}", "fixed", "Does not change after the start.")
        for name in DefinitionInput.__dataclass_fields__
        if name not in allowed and getattr(old, name) != getattr(new, name)
    ]
    if "variants" in allowed and [each.key for each in old.variants] != [each.key for each in new.variants]:
        detail = "Variants neither come nor go after the start: stop one, or begin another experiment."
        errors.append(FieldError("/variants", "fixed", detail))
    if "metrics" in allowed and _fixed_of(old) != _fixed_of(new):
        detail = f"Of metrics only {', '.join(TUNABLE)} change after the start."
        errors.append(FieldError("/metrics", "fixed", detail))
    return errors


def _fixed_of(definition: DefinitionInput) -> list[dict[str, Any]]:
    return [
        {name: getattr(metric, name) for name in metric.__dataclass_fields__ if name not in TUNABLE}
        for metric in definition.metrics
    ]


def opens_phase(old: DefinitionInput, new: DefinitionInput) -> bool:
    """Whether units that come from now on see something else: other weights, targeting or payloads.

    More coverage does not: arms grow in place, so that those who are in stay comparable with those who come.
    """
    return old.variants != new.variants or old.targeting != new.targeting
