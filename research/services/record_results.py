"""Recording results: each event once, into the value of its unit and the sums of its arm.

Of a batch the units are locked first, then event ids are claimed, then sums are added to, each in sorted
order, so that two batches never wait in a circle.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import Write, insert_ignore_returning, write_all
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.outbox import outbox_inserts
from agent_factory_site.common.selectors.entities import find_entities
from research.db.unit_rows import FEW, few_unit_rows, put_unit_rows
from research.domain.result_input import (
    ResultInput,
    ResultItem,
    check_result,
    content_digest,
    event_key,
    kind_error,
    metric_error,
)
from research.domain.unit_values import Measured, MetricRule
from research.events import ResultsRecorded
from research.models import Assignment, ResultEvent
from research.selectors.definitions import (
    Definitions,
    definition_revision,
    definitions,
    get_definition,
)
from research.selectors.result_rules import Periods, result_rules
from research.selectors.unit_streams import UNIT_COLUMNS, Unit

from .one_unit import OneUnit, lock_unit
from .replace_results import Former, Newer, replace_results
from .result_names import Names, resolve_names
from .sum_locks import hold_sums_still
from .unit_sums import CHUNK, Changes, Result, additions, retake_results, sources_of, take_results

MAX_FUTURE: Final = timedelta(hours=24)
CONFLICT: Final = FieldError(
    "/event_id", "event_conflict", "This experiment has another result under this event_id."
)
NOT_EXPOSED: Final = FieldError(
    "/unit_id", "not_exposed", "The unit had not been exposed to this experiment when this happened."
)
OUTSIDE: Final = FieldError(
    "/occurred_at", "outside_phase", "The experiment was not running when this happened."
)
_COLUMNS: Final = (
    "key", "content", "event_id", "experiment_id", "source_id", "entity_id", "value", "covariate",
    "judge_id", "occurred_at", "recorded_at", "audit", "revision",
)  # fmt: skip
_TYPES: Final = (
    "uuid", "uuid", "text", "uuid", "bigint", "bigint", "float8", "float8",
    "bigint", "timestamptz", "timestamptz", "uuid", "int",
)  # fmt: skip


@dataclass(slots=True)
class RecordedResults:
    """What became of a batch: positions that were new, that were known already, and what is wrong with others."""

    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    index: int
    result: ResultInput
    key: UUID
    content: UUID
    repeats: list[int] = field(default_factory=list)

    @property
    def places(self) -> tuple[int, ...]:
        return self.index, *self.repeats


def record_results(
    *,
    experiment: UUID | str,
    results: Sequence[ResultItem],
    known: Definitions | None = None,
    later: list[Write] | None = None,
) -> RecordedResults:
    """Record a batch of results of one experiment, named by id or key.

    An item that is a list of errors (it did not decode) is passed through as rejected. A repeated event (same
    event id and content) changes nothing, nor does a lower revision than the one known; a higher one takes its
    place, and one without a value takes the result back. Other content under the same id and revision is
    rejected as ``event_conflict``. Good items are recorded whatever becomes of the others. Raises
    :class:`NotFound`.

    ``known`` are the definitions where the caller has just read them. What is written last is added to
    ``later`` for a caller who writes it in the same transaction.
    """
    known = definitions() if known is None else known
    definition = get_definition(experiment, known)
    rules = result_rules(definition.id, known.token).metrics
    outcome = RecordedResults()
    pending = _identify(definition.id, results, rules, outcome)
    if pending:
        numbers = find_entities({(definition.unit, item.result.unit_id) for item in pending})
        entities = {unit: number for (_, unit), number in numbers.items()}
        sources = {item.result.metric for item in pending if item.result.unit_id in entities}
        names = resolve_names(
            definition.id,
            sources=sources,
            beside=sources_of(sources, rules),
            judges={
                (item.result.metric, item.result.judge, item.result.judge_version or "")
                for item in pending
                if item.result.judge and item.result.unit_id in entities
            },
        )
        retry_conflicts(lambda: _store(definition.id, pending, rules, entities, names, outcome, later))
    outcome.accepted.sort()
    outcome.duplicates.sort()
    return outcome


def _identify(
    experiment: UUID, results: Sequence[ResultItem], rules: Sequence[MetricRule], outcome: RecordedResults
) -> list[_Pending]:
    """The distinct results that are right by themselves; repeats are tied to the first of their kind."""
    kinds: dict[str, set[str]] = {}
    for rule in rules:
        for source in rule.sources:
            kinds.setdefault(source, set()).add(rule.kind)
    ratios = {rule.key for rule in rules if len(rule.sources) > 1}
    latest = timezone.now() + MAX_FUTURE
    found: dict[int, _Pending] = {}
    for index, item in enumerate(results):
        if isinstance(item, list):
            outcome.rejected[index] = item
            continue
        errors = check_result(item)
        if item.occurred_at > latest:
            errors.append(FieldError("/occurred_at", "in_the_future", f"Not after {latest.isoformat()}."))
        fault = None
        if not errors:
            fault = metric_error(item.metric, kinds, ratios) or kind_error(
                kinds.get(item.metric, ()), item.value
            )
        if fault is not None:
            errors.append(fault)
        if errors:
            outcome.rejected[index] = errors
            continue
        key, content = event_key(experiment, item.event_id), content_digest(item)
        first = found.get(key.int)
        if first is None:
            found[key.int] = _Pending(index, item, key, content)
        elif item.revision > first.result.revision:
            found[key.int] = _Pending(index, item, key, content, [first.index, *first.repeats])
        elif item.revision < first.result.revision or first.content == content:
            first.repeats.append(index)
        else:
            outcome.rejected[index] = [CONFLICT]
    return list(found.values())


def _store(
    experiment: UUID,
    pending: Sequence[_Pending],
    rules: Sequence[MetricRule],
    entities: Mapping[str, int],
    names: Names,
    outcome: RecordedResults,
    later: list[Write] | None,
) -> None:
    now, audit = timezone.now(), uuid7()
    refused: dict[UUID, FieldError] = {}
    # Who calls this in a transaction does not go on where it fails.
    with transaction.atomic(savepoint=False):
        one, units, token = _lock(experiment, pending, rules, entities, names)
        periods = result_rules(experiment, token).periods
        rows: list[tuple[_Pending, Unit]] = []
        for item in sorted(pending, key=lambda item: item.key.int):
            unit = units.get(entities.get(item.result.unit_id, 0))
            if error := _misplaced(unit, item.result.occurred_at, periods):
                refused[item.key] = error
            elif unit is not None:
                rows.append((item, unit))
        claimed = insert_ignore_returning(
            connection,
            ResultEvent._meta.db_table,
            _COLUMNS,
            _TYPES,
            [_row(experiment, item, unit, names, now, audit) for item, unit in rows],
            "key",
        )
        repeated = [item for item, _ in rows if item.key not in claimed]
        known = _known([*(item.key for item in repeated), *refused])
        taken = [(item, unit) for item, unit in rows if item.key in claimed]
        newer = [
            Newer(
                known[item.key],
                unit,
                item.result.metric,
                dict(zip(_COLUMNS, _row(experiment, item, unit, names, now, audit), strict=True)),
            )
            for item, unit in rows
            if item.key not in claimed
            and known[item.key].precedes(item.result, unit.entity, names.sources[item.result.metric])
        ]
        if taken or newer:
            sums = Changes()
            new = [
                Result(unit, item.result.metric, _measured(item.result, item.result.value))
                for item, unit in taken
                if item.result.value is not None
            ]
            states = None if one is None or one.unit is None else {one.unit.entity: one.values}
            values = take_results(new, rules, names.sources, sums, states)
            writes: list[Write] = []
            if values and not newer and len(values) <= FEW:
                writes.append(few_unit_rows(values))
            else:
                put_unit_rows(values)
            if newer:
                retake_results(replace_results(newer), rules, names.sources, sums)
            changed = [item.key for item, _ in taken] + [each.former.key for each in newer]
            told = audit_insert(
                action="record",
                target_type="research.ResultEvent",
                target_id=str(changed[0]) if len(changed) == 1 else "",
                changes={"experiment": str(experiment), "results": len(changed)}
                | ({"replaced": len(newer)} if newer else {}),
                event_id=audit,
            )
            event = ResultsRecorded(experiment=str(experiment), batch=str(audit), results=len(changed))
            by_id = {rule.id: rule for rule in rules}
            around = (None, None) if one is None else (one.slot, one.shifts)
            writes += [told, *outbox_inserts(event), *additions(sums, by_id, *around)]
            if later is not None:
                later += writes
            else:
                # Rows shared with other writers are locked from here to the commit.
                write_all(connection, writes)
    stored = claimed | {each.former.key for each in newer}
    for item in pending:
        if item.key in stored:
            outcome.accepted.append(item.index)
            outcome.duplicates.extend(item.repeats)
        elif item.key in known and known[item.key].covers(item.result, item.content):
            outcome.duplicates.extend(item.places)
        else:
            error = CONFLICT if item.key in known else refused[item.key]
            outcome.rejected.update({place: [error] for place in item.places})


def _lock(
    experiment: UUID,
    pending: Sequence[_Pending],
    rules: Sequence[MetricRule],
    entities: Mapping[str, int],
    names: Names,
) -> tuple[OneUnit | None, dict[int, Unit], Hashable]:
    """The units of results, locked, and the token of the definitions now; what else is known of an only unit."""
    numbers = sorted(set(entities.values()))
    if len(numbers) == 1:
        touched = {item.result.metric for item in pending if item.result.unit_id in entities}
        one = lock_unit(
            experiment=experiment, entity=numbers[0], touched=touched, rules=rules, sources=names.sources
        )
        if one is not None:
            return one, {} if one.unit is None else {numbers[0]: one.unit}, one.token
    hold_sums_still(experiment)
    token = definition_revision()
    return None, _locked_units(experiment, numbers), token


def _locked_units(experiment: UUID, entities: Sequence[int]) -> dict[int, Unit]:
    found = {}
    for start in range(0, len(entities), CHUNK):
        rows = (
            Assignment.objects.filter(experiment=experiment, entity__in=entities[start : start + CHUNK])
            .order_by("entity_id")
            .select_for_update(no_key=True)
        )
        for row in rows.values_list(*UNIT_COLUMNS):
            found[row[0]] = Unit(*row)
    return found


def _misplaced(unit: Unit | None, occurred_at: datetime, periods: Periods) -> FieldError | None:
    if not periods:
        return OUTSIDE
    # Many clients state no more than the second, and report within the one in which they were exposed.
    if unit is None or occurred_at < unit.first_exposed_at.replace(microsecond=0):
        return NOT_EXPOSED
    for start, end in periods:
        if start.replace(microsecond=0) <= occurred_at and (end is None or occurred_at < end):
            return None
    return OUTSIDE


def _row(
    experiment: UUID, item: _Pending, unit: Unit, names: Names, now: datetime, audit: UUID
) -> tuple[object, ...]:
    result = item.result
    judge = names.judges.get((result.metric, result.judge or "", result.judge_version or ""))
    return (
        item.key,
        item.content,
        result.event_id,
        experiment,
        names.sources[result.metric],
        unit.entity,
        None if result.value is None else float(result.value),
        None if result.covariate is None else float(result.covariate),
        judge,
        result.occurred_at,
        now,
        audit,
        result.revision,
    )


def _measured(result: ResultInput, value: float) -> Measured:
    covariate = None if result.covariate is None else float(result.covariate)
    return Measured(float(value), result.occurred_at, result.event_id, covariate)


def _known(keys: Sequence[UUID]) -> dict[UUID, Former]:
    found: dict[UUID, Former] = {}
    for start in range(0, len(keys), CHUNK):
        rows = ResultEvent.objects.filter(key__in=keys[start : start + CHUNK])
        found.update((row[0], Former(*row)) for row in rows.values_list(*Former._fields))
    return found
