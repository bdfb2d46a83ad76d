"""Giving numbers to the values that segments by attributes are told apart by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from research.domain.assignment import Definition
from research.domain.segments import FIRST, Known, missing_values, packed_segments
from research.models import Experiment, SegmentValue
from research.selectors.segment_values import remembered_values, stored_values


def packed_units(definition: Definition, said: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """By unit, what of its attributes is kept with its first exposure (``domain/segments.py``).

    No statement where the values are known to this process, as nearly always. Inside the transaction that writes
    the exposures.
    """
    names = definition.segments
    known: Known = remembered_values(definition.id) or stored_values(definition.id)
    if missing_values(names, said.values(), known):
        known = _numbered(definition.id, names, said.values())
    return {unit: packed_segments(names, attributes, known) for unit, attributes in said.items()}


def _numbered(experiment: UUID, names: tuple[str, ...], units: Collection[Mapping[str, Any]]) -> Known:
    """The numbers of all values, with new ones for those that have none yet and find room."""
    with transaction.atomic():
        # Whoever gives numbers takes turns; exposures that need none do not wait for it.
        Experiment.objects.select_for_update(no_key=True).get(pk=experiment)
        known = stored_values(experiment)
        following = dict.fromkeys(names, FIRST)
        for (name, _), code in known.items():
            following[name] = max(following.get(name, FIRST), code + 1)
        rows = []
        for name, value in missing_values(names, units, known):
            rows.append(
                SegmentValue(experiment_id=experiment, attribute=name, code=following[name], value=value)
            )
            following[name] += 1
        if not rows:
            return known
        SegmentValue.objects.bulk_create(rows)
        return stored_values(experiment)
