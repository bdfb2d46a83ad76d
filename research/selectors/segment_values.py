"""Values that segments by attributes are told apart by, and the numbers that stand for them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from uuid import UUID

from django.db import transaction

from research.domain.segments import NOT_SET, NOT_SET_NAME, OTHER, OTHER_NAME, Known
from research.models import SegmentValue

REMEMBERED: Final = 1000
"""Experiments whose values this process remembers."""
_memory: OrderedDict[UUID, dict[tuple[str, str], int]] = OrderedDict()


def remembered_values(experiment: UUID) -> Known | None:
    """What this process has read: a number once given stays, others may have come since."""
    return _memory.get(experiment)


def stored_values(experiment: UUID) -> Known:
    """The numbers of all values, in one statement; remembered once the transaction, if there is one, commits."""
    rows = SegmentValue.objects.filter(experiment=experiment)
    found = {
        (attribute, value): code for attribute, value, code in rows.values_list("attribute", "value", "code")
    }
    # What this transaction has written itself may still be rolled back.
    transaction.on_commit(lambda: _remember(experiment, found))
    return found


def _remember(experiment: UUID, found: dict[tuple[str, str], int]) -> None:
    _memory[experiment] = {**_memory.get(experiment, {}), **found}
    while len(_memory) > REMEMBERED:
        _memory.popitem(last=False)


def value_names(experiment: UUID) -> dict[str, dict[int, str]]:
    """By attribute, what each number stands for, those of no and of other values left out; one statement."""
    rows = SegmentValue.objects.filter(experiment=experiment).order_by("attribute", "code")
    found: dict[str, dict[int, str]] = {}
    for attribute, code, value in rows.values_list("attribute", "code", "value"):
        found.setdefault(attribute, {})[code] = value
    return found


def value_name(names: dict[int, str], code: int) -> str:
    """What a number stands for."""
    if code == NOT_SET:
        return NOT_SET_NAME
    return OTHER_NAME if code == OTHER else names.get(code, OTHER_NAME)
