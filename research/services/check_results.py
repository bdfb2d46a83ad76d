"""Proving that sums of arms, values of units and results agree; and working them out anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db.models import Sum

from agent_factory_site.common.db.snapshot import snapshot
from research.domain.arm_sums import COUNTS, NOTHING, TOLERANCE, Sums
from research.domain.arm_totals import ArmKey, ArmTotals, Total, shifts_of
from research.domain.unit_values import MetricRule, UnitValues, values_of
from research.models import ArmSums, Phase, QuantileBucket, Variant
from research.selectors.definitions import get_definition
from research.selectors.result_rules import metric_rules, stored_shifts
from research.selectors.unit_streams import StoredValues, UnitRecords, unit_records

from .rebuild_results import add_record, rebuild_results

Progress = Callable[[int], None]
CHUNK: Final = 1000
LISTED: Final = 100
_EXACT: Final = (
    "count", "largest", "last", "last_at", "last_event", "covariate", "covariate_at", "covariate_event",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that is not what it should be."""

    where: str
    column: str
    stored: Any
    expected: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.column} is {self.stored}, should be {self.expected}"


@dataclass(slots=True)
class CheckedResults:
    """What a check has found; the first ``LISTED`` differences are named."""

    experiment: str
    units: int = 0
    results: int = 0
    arms: int = 0
    differences: int = 0
    listed: list[Difference] = field(default_factory=list)
    repaired: bool = False

    def differs(self, where: str, column: str, stored: object, expected: object) -> None:
        self.differences += 1
        if len(self.listed) < LISTED:
            self.listed.append(Difference(where, column, stored, expected))


def check_results(
    *, experiment: UUID | str, repair: bool = False, progress: Progress | None = None
) -> CheckedResults:
    """Compare the values of units with the results, and the sums of arms with the values of units.

    Counts, latest values, largest values and covariates have to be equal; sums of floats may differ by
    ``TOLERANCE`` of the sum of absolute values behind them. Reads one snapshot and holds nobody off. With
    ``repair`` what differs is worked out anew from the results. Raises :class:`NotFound`.
    """
    definition = get_definition(experiment)
    with snapshot():
        found = _compare(definition.id, definition.key, progress)
    if repair and found.differences:
        rebuild_results(experiment=definition.id)
        found.repaired = True
    return found


def _compare(experiment: UUID, key: str, progress: Progress | None) -> CheckedResults:
    found = CheckedResults(key)
    rules = metric_rules(experiment)
    totals = ArmTotals(shifts_of(stored_shifts([rule.id for rule in rules])))
    for record in unit_records(experiment):
        found.units += 1
        found.results += sum(map(len, record.events.values()))
        _compare_unit(found, record)
        if record.unit is not None and not record.unit.override:
            add_record(totals, rules, record)
        if progress is not None and not found.units % CHUNK:
            progress(found.units)
    _compare_arms(found, rules, totals)
    return found


def _compare_unit(found: CheckedResults, record: UnitRecords) -> None:
    for source in sorted({*record.events, *record.stored}):
        where = f"unit {record.entity}, {source}"
        events, stored = record.events.get(source, []), record.stored.get(source)
        expected = values_of(events)
        if record.unit is None:
            found.differs(where, "assignment", None, "one")
        elif expected is None or stored is None:
            known = 0 if stored is None else stored.values.count
            found.differs(where, "count", known, len(events))
        else:
            for column in _unequal(stored, expected, [each.value for each in events], record):
                found.differs(where, *column)


def _unequal(
    stored: StoredValues, expected: UnitValues, values: Sequence[float], record: UnitRecords
) -> list[tuple[str, Any, Any]]:
    unit = record.unit
    assert unit is not None
    pairs = [(name, getattr(stored.values, name), getattr(expected, name)) for name in _EXACT]
    pairs += [("phase", stored.phase, unit.phase), ("variant", stored.variant, unit.variant)]
    unequal = [pair for pair in pairs if pair[1] != pair[2]]
    total = math.fsum(values)
    if not abs(stored.values.total - total) <= TOLERANCE * math.fsum(map(abs, values)):
        unequal.append(("total", stored.values.total, total))
    return unequal


def _compare_arms(found: CheckedResults, rules: Sequence[MetricRule], totals: ArmTotals) -> None:
    expected = totals.settled()
    metrics = [rule.id for rule in rules]
    rows = (
        ArmSums.objects.filter(metric__in=metrics)
        .values_list("metric_id", "phase_id", "variant_id")
        .annotate(**{f"sum_{name}": Sum(name) for name in Sums._fields})
    )
    stored = {ArmKey(metric, phase, variant): Sums._make(values) for metric, phase, variant, *values in rows}
    names = _arm_names(rules)
    nothing = Total()
    for arm in sorted({*expected, *stored}):
        found.arms += 1
        total, sums = expected.get(arm, nothing), stored.get(arm, NOTHING)
        for place, name in enumerate(Sums._fields):
            allowed = 0 if place < COUNTS else TOLERANCE * total.sizes[place]
            if not abs(sums[place] - total.sums[place]) <= allowed:
                found.differs(names(arm), name, sums[place], total.sums[place])
    counted = QuantileBucket.objects.filter(metric__in=metrics).values(
        "metric_id", "phase_id", "variant_id", "bucket"
    )
    buckets = {
        (ArmKey(row["metric_id"], row["phase_id"], row["variant_id"]), row["bucket"]): row["sum_events"]
        for row in counted.annotate(sum_events=Sum("events"))
    }
    for place_ in sorted({*buckets, *totals.buckets}):
        events, wanted = buckets.get(place_, 0), totals.buckets.get(place_, 0)
        if events != wanted:
            found.differs(names(place_[0]), f"results in range {place_[1]}", events, wanted)


def _arm_names(rules: Sequence[MetricRule]) -> Callable[[ArmKey], str]:
    metrics = {rule.id: rule.key for rule in rules}
    experiments = Phase.objects.filter(experiment__metrics__in=list(metrics)).distinct()
    phases = dict(experiments.values_list("pk", "number"))
    variants = dict(
        Variant.objects.filter(experiment__metrics__in=list(metrics)).distinct().values_list("pk", "key")
    )

    def name(arm: ArmKey) -> str:
        phase, variant = phases.get(arm.phase, arm.phase), variants.get(arm.variant, arm.variant)
        return f"metric {metrics[arm.metric]}, phase {phase}, arm {variant}"

    return name
