"""Working out the values of units and the sums of arms anew, from the results."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.bulk import Insert, write_all
from agent_factory_site.common.db.retry import retry_conflicts
from research.db.unit_rows import put_unit_rows
from research.domain.arm_totals import QUANTILE, ArmTotals, Centres, shifts_of
from research.domain.unit_values import MetricRule, values_of
from research.models import ArmSums, MetricShift, QuantileBucket, ResultSource, UnitMetric
from research.selectors.result_rules import metric_rules
from research.selectors.unit_streams import UnitRecords, unit_records

from .sum_locks import hold_sums_still
from .unit_sums import sums_additions, value_row

CHUNK: Final = 1000


def rebuild_results(*, experiment: UUID) -> None:
    """Work out the values of units from the results, and the sums of arms around the present means.

    Recording results of this experiment waits meanwhile; results themselves are never changed.
    """
    _alone(experiment, from_results=True)


def recentre_sums(*, experiment: UUID) -> None:
    """Work out the sums of arms from the values of units, around the present means; recording waits meanwhile."""
    _alone(experiment, from_results=False)


def add_record(totals: ArmTotals, rules: Sequence[MetricRule], record: UnitRecords) -> None:
    """Take one unit into the sums of its arm."""
    unit = record.unit
    if unit is None or unit.override:
        return
    for rule in rules:
        values = [record.stored.get(name) for name in rule.sources]
        point = rule.point([None if each is None else each.values for each in values])
        if point is not None:
            totals.add_unit(rule, unit.phase, unit.variant, point)
        if rule.kind == QUANTILE:
            results = record.events.get(rule.key, ())
            totals.add_results(rule, unit.phase, unit.variant, (each.value for each in results))


def _alone(experiment: UUID, *, from_results: bool) -> None:
    def work() -> None:
        with transaction.atomic():
            hold_sums_still(experiment, alone=True)
            values = _rewrite_values(experiment) if from_results else 0
            units = _rewrite_sums(experiment)
            record_audit(
                action="rebuild",
                target_type="research.Experiment",
                target_id=str(experiment),
                changes={"units": units, "values": values},
            )

    retry_conflicts(work)


def _rewrite_values(experiment: UUID) -> int:
    """How many rows were not what the results come to."""
    numbers = dict(ResultSource.objects.filter(experiment=experiment).values_list("key", "pk"))
    rows: list[tuple[Any, ...]] = []
    gone: list[tuple[int, int]] = []
    # Read to the end before anything is written under the cursor.
    for record in unit_records(experiment):
        unit = record.unit
        for source, events in record.events.items():
            state, known = values_of(events), record.stored.get(source)
            if unit is None or state is None:
                continue
            if known is None or (*known[:2], known.values) != (unit.phase, unit.variant, state):
                rows.append((numbers[source], record.entity, unit.phase, unit.variant, *value_row(state)))
        gone += [(numbers[source], record.entity) for source in record.stored.keys() - record.events.keys()]
    for start in range(0, len(rows), CHUNK):
        put_unit_rows(sorted(rows[start : start + CHUNK], key=itemgetter(0, 1)))
    for number, entity in gone:
        UnitMetric.objects.filter(source=number, entity=entity).delete()
    return len(rows) + len(gone)


def _rewrite_sums(experiment: UUID) -> int:
    """How many units the new sums are over."""
    rules = metric_rules(experiment)
    metrics = [rule.id for rule in rules]
    centres = Centres()
    units = 0
    for record in unit_records(experiment, events=False):
        unit = record.unit
        if unit is None or unit.override or not record.stored:
            continue
        units += 1
        for rule in rules:
            values = [record.stored.get(name) for name in rule.sources]
            point = rule.point([None if each is None else each.values for each in values])
            if point is not None:
                centres.add(rule, unit.phase, point)
    shifts = centres.found()
    totals = ArmTotals(shifts_of(shifts))
    for record in unit_records(experiment, events=any(rule.kind == QUANTILE for rule in rules)):
        add_record(totals, rules, record)
    for model in (ArmSums, QuantileBucket, MetricShift):
        model._default_manager.filter(metric__in=metrics).delete()
    sums = {key: total.sums for key, total in totals.settled().items()}
    columns = ("metric_id", "phase_id", "variable", "shift")
    inserted = Insert(
        MetricShift._meta.db_table, columns, [(*key, shift) for key, shift in sorted(shifts.items())]
    )
    write_all(connection, [inserted, *sums_additions(sums, totals.buckets, 0)])
    return units
