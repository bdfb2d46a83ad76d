"""What a sender may say of a replay: items answered by several arms, once or several times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from agent_factory_site.common.errors import FieldError

from .metric_input import METRIC_KEY
from .result_input import judge_errors, kind_error, number_error
from .values import text_error

MAX_ITEM: Final = 255
MAX_SET: Final = 100
MAX_REPETITIONS: Final = 1000
MAX_VALUES: Final = 100_000


class PairedItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One item of a replay: per variant its value, or one value for each repetition."""

    item: str
    arms: dict[str, float | list[float]]


class PairSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Items of one replay, measured by one metric; sent again it changes nothing, with more items it grows."""

    metric: str
    items: list[PairedItem]
    set: str = "default"
    judge: str | None = None
    judge_version: str | None = None


class PairedValue(NamedTuple):
    """One value: of which item, in which arm, in which repetition."""

    item: str
    variant: str
    repetition: int
    value: float


def check_set(pairs: PairSet) -> list[FieldError]:
    """What is wrong with a set before its items are looked at."""
    errors = []
    if (fault := text_error("/set", pairs.set, MAX_SET)) is not None:
        errors.append(fault)
    if not METRIC_KEY.match(pairs.metric):
        errors.append(FieldError("/metric", "bad_key", "Is not the key of a metric or a source."))
    if not pairs.items:
        errors.append(FieldError("/items", "required", "At least one item is needed."))
    if sum(len(values) for item in pairs.items for values in map(_list, item.arms.values())) > MAX_VALUES:
        errors.append(FieldError("/items", "too_many", f"At most {MAX_VALUES} values in one request."))
    return errors + judge_errors(pairs.metric, pairs.judge, pairs.judge_version)


def check_item(item: PairedItem, variants: Iterable[str], kinds: set[str]) -> list[FieldError]:
    """What is wrong with one item."""
    errors = []
    known = set(variants)
    if (fault := text_error("/item", item.item, MAX_ITEM)) is not None:
        errors.append(fault)
    if not item.arms:
        errors.append(FieldError("/arms", "required", "Needs the value of at least one arm."))
    for variant, stated in item.arms.items():
        pointer = f"/arms/{variant.replace('~', '~0').replace('/', '~1')}"
        values = _list(stated)
        if variant not in known:
            errors.append(FieldError(pointer, "unknown_variant", "There is no such variant."))
        elif not 1 <= len(values) <= MAX_REPETITIONS:
            errors.append(FieldError(pointer, "bad_value", f"Has 1 to {MAX_REPETITIONS} repetitions."))
        for value in values:
            if (fault := number_error(pointer, value) or kind_error(kinds, value)) is not None:
                errors.append(FieldError(pointer, fault.code, fault.detail))
                break
    return errors


def values_of_item(item: PairedItem) -> list[PairedValue]:
    """The values of one item; repetitions are numbered from 0 in the order stated."""
    return [
        PairedValue(item.item, variant, repetition, float(value) + 0.0)
        for variant, stated in item.arms.items()
        for repetition, value in enumerate(_list(stated))
    ]


def _list(stated: float | list[float]) -> list[float]:
    return stated if isinstance(stated, list) else [stated]
