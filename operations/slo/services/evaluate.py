"""Evaluating the burn conditions of all SLOs and their groups, and telling what changed.

Counts are read for all series at once. Most series burn nothing: those whose every rule is false by a wide margin, in
floating point, are left at that; the others are judged exactly. What changed is written under the lock of its SLO,
where it is still as it was read, so that of two evaluations at once one tells it; one that is killed has told what
it committed, and the next finds the rest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final
from uuid import UUID

import numpy as np
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.db.bulk import Insert, write_all
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.ids import uuid7_batch
from agent_factory_site.common.outbox import publish_all
from operations.slo.domain.burn_alerts import Burn, BurnRule, evaluate
from operations.slo.domain.counts import COUNT_FIELDS, Counts
from operations.slo.domain.sentences import condition_text
from operations.slo.domain.windows import look_back
from operations.slo.events import BurnConditionChanged
from operations.slo.models import Slo, SloCondition, SloConditionChange, SloSeries
from operations.slo.selectors.definitions import Definition, definition_of
from operations.slo.selectors.slo_series import EVERYTHING
from operations.slo.selectors.status import ACTIVE, burn_of
from operations.slo.selectors.window_counts import Numbers, WindowCounts, window_counts

TASK: Final = "operations.evaluate_slos"
AT_ONCE: Final = 200
"""Changes written in one transaction."""
_MARGIN: Final = 1 - 1e-9
_COLUMN: Final = {name: place for place, name in enumerate(COUNT_FIELDS)}
_CONDITION: Final = (
    "slo_id", "series_id", "rule", "state", "since", "evaluated_at", "long_burn", "short_burn"
)  # fmt: skip
_CHANGE: Final = ("id", "slo_id", "series_id", "rule", "severity", "before", "state", "at")
_OK: Final = SloCondition.State.OK.value
Key = tuple[int, str]
"""A series and the key of a rule."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation went through: SLOs, series, conditions that changed, seconds."""

    slos: int
    series: int
    changed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Series:
    number: int
    slo: Slo
    labels: dict[str, str]
    whole: bool


@dataclass(frozen=True, slots=True)
class _Change:
    series: _Series
    rule: str
    severity: str
    factor: float | None
    before: str
    state: str
    note: str
    long: Fraction | None
    short: Fraction | None
    text: str


def evaluate_slos(*, at: datetime | None = None) -> Evaluated:
    """Bring the burn conditions of every SLO in use up to ``at`` (now), and publish what changed."""
    began = time.monotonic()
    moment = at or timezone.now()
    series = _series()
    stored = _stored()
    changes: list[_Change] = []
    seen: set[Key] = set()
    groups: dict[tuple[BurnRule, ...], list[_Series]] = {}
    definitions = {one.slo.pk: definition_of(one.slo) for one in series if one.whole}
    for one in series:
        if one.slo.pk not in definitions:
            definitions[one.slo.pk] = definition_of(one.slo)
        groups.setdefault(definitions[one.slo.pk].rules, []).append(one)
    for rules, some in groups.items():
        seen.update((one.number, rule.key) for one in some for rule in rules)
        if rules:
            changes += _changes(rules, some, definitions, stored, moment)
    changes += _ended(stored, seen)
    written = _write(changes, moment)
    slos = len({one.slo.pk for one in series})
    return Evaluated(slos, len(series), written, time.monotonic() - began)


def _series() -> list[_Series]:
    slos = {slo.pk: slo for slo in Slo.objects.filter(archived_at__isnull=True)}
    rows = SloSeries.objects.filter(
        objective__ended_at__isnull=True, objective__slo__archived_at__isnull=True
    )
    found = rows.order_by("pk").values_list("pk", "objective__slo_id", "labels", "labels_hash")
    return [
        _Series(number, slos[slo], labels, key == EVERYTHING)
        for number, slo, labels, key in found
        if slo in slos
    ]


def _stored() -> dict[Key, str]:
    rows = SloCondition.objects.values_list("series_id", "rule", "state")
    return {(number, rule): state for number, rule, state in rows}


def _changes(
    rules: Sequence[BurnRule],
    series: Sequence[_Series],
    definitions: Mapping[UUID, Definition],
    stored: Mapping[Key, str],
    at: datetime,
) -> list[_Change]:
    lengths = sorted({length for rule in rules for length in (rule.long, rule.short)})
    read = window_counts([one.number for one in series], [look_back(at, length) for length in lengths])
    calm = _calm(rules, series, definitions, read, {length: place for place, length in enumerate(lengths)})
    found: list[_Change] = []
    for one, quiet in zip(series, calm.tolist()):
        if quiet and not one.whole and all(stored.get((one.number, rule.key), _OK) == _OK for rule in rules):
            # A group that never burned has no rows: "ok" is what goes without saying.
            continue
        if quiet and all(stored.get((one.number, rule.key)) == _OK for rule in rules):
            continue
        found += _judged(rules, one, definitions[one.slo.pk], stored, read, lengths)
    return found


def _calm(
    rules: Sequence[BurnRule],
    series: Sequence[_Series],
    definitions: Mapping[UUID, Definition],
    read: WindowCounts,
    places: Mapping[object, int],
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each series whether every rule is certainly false."""
    numbers: Numbers = read.numbers

    def column(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return numbers[:, :, _COLUMN[name]].astype(np.float64)

    slices = np.array([definitions[one.slo.pk].budgeting == "timeslices" for one in series])[:, None]
    bad = np.where(
        slices,
        column("bad_slices") - column("excluded_bad_slices"),
        column("total") - column("good") - column("excluded_total") + column("excluded_good"),
    )
    total = np.where(
        slices,
        column("good_slices") - column("excluded_good_slices")
        + column("bad_slices") - column("excluded_bad_slices"),
        column("total") - column("excluded_total"),
    )  # fmt: skip
    allowed = np.array([float(1 - definitions[one.slo.pk].target) for one in series])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(total > 0, bad / total / allowed, np.inf)
    calm = np.ones(len(series), dtype=bool)
    for rule in rules:
        limit = float(rule.factor) * _MARGIN
        calm &= (rates[:, places[rule.long]] <= limit) | (rates[:, places[rule.short]] <= limit)
    return calm


def _judged(
    rules: Sequence[BurnRule],
    one: _Series,
    definition: Definition,
    stored: Mapping[Key, str],
    read: WindowCounts,
    lengths: Sequence[object],
) -> list[_Change]:
    row = read.rows[one.number]
    burns: dict[object, Burn] = {
        length: burn_of(Counts(*read.numbers[row, place].tolist()), definition)
        for place, length in enumerate(lengths)
    }
    states = {rule.key: stored.get((one.number, rule.key), "") for rule in rules}
    active = [key for key, state in states.items() if state in ACTIVE]
    conditions = evaluate(rules, burns, min_traffic=definition.min_traffic, active=active)  # type: ignore[arg-type]
    return [
        _Change(
            series=one,
            rule=found.rule.key,
            severity=found.rule.severity,
            factor=float(found.rule.factor),
            before=states[found.rule.key],
            state=found.state,
            note=found.note,
            long=found.long,
            short=found.short,
            text=condition_text(found),
        )
        for found in conditions
        if found.state != states[found.rule.key]
        and (one.whole or states[found.rule.key] or found.state != _OK)
    ]


def _ended(stored: Mapping[Key, str], seen: set[Key]) -> list[_Change]:
    """Conditions of rules, objectives and SLOs that are no more."""
    left = {key: state for key, state in stored.items() if state != _OK and key not in seen}
    if not left:
        return []
    rows = SloSeries.objects.filter(pk__in={number for number, _ in left}).select_related("objective__slo")
    series = {row.pk: row for row in rows}
    return [
        _Change(
            series=_Series(number, series[number].objective.slo, series[number].labels, False),
            rule=rule,
            severity="",
            factor=None,
            before=state,
            state=_OK,
            note="ended",
            long=None,
            short=None,
            text="This rule is evaluated no more.",
        )
        for (number, rule), state in left.items()
    ]


def _write(changes: Sequence[_Change], at: datetime) -> int:
    """Write the changes that are still news, and publish them; how many."""
    ordered = sorted(changes, key=lambda one: (one.series.slo.pk, one.series.number))
    batches: list[list[_Change]] = []
    for one in ordered:
        if not batches or len(batches[-1]) >= AT_ONCE:
            batches.append([])
        batches[-1].append(one)
    return sum(retry_conflicts(lambda batch=batch: _write_batch(batch, at)) for batch in batches)  # type: ignore[misc]


def _write_batch(batch: Sequence[_Change], at: datetime) -> int:
    with transaction.atomic():
        slos = sorted({one.series.slo.pk for one in batch})
        list(Slo.objects.filter(pk__in=slos).order_by("pk").select_for_update(no_key=True).values_list("pk"))
        rows = {
            (row.series_id, row.rule): row
            for row in SloCondition.objects.filter(series__in={one.series.number for one in batch})
        }
        told = [one for one in batch if _is_news(rows.get((one.series.number, one.rule)), one, at)]
        write_all(
            connection,
            [
                Insert(
                    SloCondition._meta.db_table,
                    _CONDITION,
                    [
                        (
                            one.series.slo.pk, one.series.number, one.rule, one.state, at, at,
                            *(_as_float(rate) for rate in (one.long, one.short)),
                        )
                        for one in told
                    ],
                    replacing=("series_id", "rule"),
                ),
                Insert(
                    SloConditionChange._meta.db_table,
                    _CHANGE,
                    [
                        (
                            number, one.series.slo.pk, one.series.number, one.rule, one.severity, one.before,
                            one.state, at,
                        )
                        for number, one in zip(uuid7_batch(len(told)), told, strict=True)
                    ],
                ),
            ],
        )  # fmt: skip
        publish_all(_event(one, at) for one in told)
    return len(told)


def _is_news(row: SloCondition | None, one: _Change, at: datetime) -> bool:
    """Whether no other evaluation was faster."""
    return (row.state if row else "") == one.before and not (row and row.evaluated_at > at)


def _as_float(rate: Fraction | None) -> float | None:
    return None if rate is None else float(rate)


def _event(one: _Change, at: datetime) -> BurnConditionChanged:
    return BurnConditionChanged(
        slo=str(one.series.slo.pk),
        key=one.series.slo.key,
        labels=one.series.labels,
        rule=one.rule,
        severity=one.severity,
        factor=one.factor,
        before=one.before,
        state=one.state,
        note=one.note,
        long_burn=_as_float(one.long),
        short_burn=_as_float(one.short),
        at=at,
        text=one.text,
    )
