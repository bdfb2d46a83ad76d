"""The burn conditions that the demo's past minutes would have brought about, written as evaluations would have.

The rules are looked at with every minute; events are not published for what is long over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from operations.slo.domain.burn_alerts import Burn, Condition, evaluate
from operations.slo.domain.counts import COUNT_FIELDS, Counts
from operations.slo.models import EPOCH, Slo, SloCondition, SloConditionChange, SloMinute, SloSeries
from operations.slo.selectors.definitions import Definition, definition_of
from operations.slo.selectors.status import burn_of

Sums = npt.NDArray[np.int64]
_MINUTE = timedelta(minutes=1)


def tell_past_alerts(slo: Slo, end: int) -> None:
    """Write the changes of the conditions of ``slo``, and of its groups, up to the minute ``end``; once."""
    if SloCondition.objects.filter(slo=slo).exists():
        return
    definition = definition_of(slo)
    for series in SloSeries.objects.filter(objective__slo=slo, objective__ended_at__isnull=True):
        if definition.rules and series.first_minute is not None:
            _tell(slo, series, definition, series.first_minute, end)


def _tell(slo: Slo, series: SloSeries, definition: Definition, first: int, end: int) -> None:
    sums = _sums(series.pk, first, end)
    states: dict[str, str] = {}
    changes: list[SloConditionChange] = []
    latest: dict[str, tuple[Condition, datetime]] = {}
    for minute in _worth_a_look(definition, sums):
        burns = _burns(definition, sums, minute)
        active = [rule for rule, state in states.items() if state in ("firing", "held")]
        at = EPOCH + (first + minute) * _MINUTE + _MINUTE / 2
        for found in evaluate(definition.rules, burns, min_traffic=definition.min_traffic, active=active):
            before = states.get(found.rule.key, "")
            if found.state == before or (series.labels and not before and found.state == "ok"):
                # A group that never burned has no rows.
                continue
            states[found.rule.key] = found.state
            latest[found.rule.key] = found, at
            changes.append(
                SloConditionChange(
                    slo=slo, series=series, rule=found.rule.key, severity=found.rule.severity, before=before,
                    state=found.state, at=at,
                )
            )  # fmt: skip
    SloConditionChange.objects.bulk_create(changes)
    SloCondition.objects.bulk_create(
        SloCondition(
            slo=slo, series=series, rule=rule, state=found.state, since=at, evaluated_at=at,
            long_burn=None if found.long is None else float(found.long),
            short_burn=None if found.short is None else float(found.short),
        )
        for rule, (found, at) in latest.items()
    )  # fmt: skip


def _sums(series: int, first: int, end: int) -> Sums:
    """What was counted before each minute from ``first`` to ``end``."""
    minutes = np.zeros((end - first, len(COUNT_FIELDS)), dtype=np.int64)
    rows = SloMinute.objects.filter(series=series, bucket__gte=first, bucket__lt=end)
    for bucket, *counts in rows.values_list("bucket", *COUNT_FIELDS):
        minutes[bucket - first] = counts
    return np.concatenate([np.zeros((1, len(COUNT_FIELDS)), dtype=np.int64), np.cumsum(minutes, axis=0)])


def _window(sums: Sums, length: timedelta) -> Sums:
    """What the window of ``length`` that ends with each minute had."""
    reach = length // _MINUTE
    before = np.concatenate([np.zeros((min(reach, len(sums)), sums.shape[1]), dtype=np.int64), sums])
    found: Sums = sums[1:] - before[1 : len(sums)]
    return found


def _worth_a_look(definition: Definition, sums: Sums) -> Sequence[int]:
    """The first minute, and those with which a rule begins or ceases to hold, or its data do."""
    place = {name: column for column, name in enumerate(COUNT_FIELDS)}
    allowed = float(1 - definition.target)
    columns = []
    for rule in definition.rules:
        for length in (rule.long, rule.short):
            counted = _window(sums, length)
            bad, total = _bad_and_total(counted, place, definition)
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = np.where(total > 0, bad / total / allowed, np.nan)
            columns += [rate > float(rule.factor), np.isnan(rate), total < definition.min_traffic]
    marks = np.stack(columns)
    changed = np.any(marks[:, 1:] != marks[:, :-1], axis=0)
    return [0, *(np.nonzero(changed)[0] + 1).tolist()]


def _bad_and_total(
    counted: Sums, place: Mapping[str, int], definition: Definition
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    def column(name: str) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = counted[:, place[name]].astype(np.float64)
        return found

    if definition.budgeting == "timeslices":
        bad = column("bad_slices") - column("excluded_bad_slices")
        return bad, bad + column("good_slices") - column("excluded_good_slices")
    total = column("total") - column("excluded_total")
    return total - column("good") + column("excluded_good"), total


def _burns(definition: Definition, sums: Sums, minute: int) -> dict[timedelta, Burn]:
    lengths = {length for rule in definition.rules for length in (rule.long, rule.short)}
    found = {}
    for length in lengths:
        start = max(0, minute + 1 - length // _MINUTE)
        found[length] = burn_of(Counts(*(sums[minute + 1] - sums[start]).tolist()), definition)
    return found
