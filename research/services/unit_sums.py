"""What results do to the values of units and the sums of arms, by addition alone.

Runs in a transaction that holds the units' assignments locked, so that nobody else changes their values:
what a unit was in the sums before is taken out, what it is now is put in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple

from django.db import connection

from agent_factory_site.common.db.bulk import Addition, insert_ignore_returning
from agent_factory_site.common.db.slots import free_slot
from research.db.unit_rows import drop_unit_rows, put_unit_rows
from research.domain.arm_sums import COUNTS, NOTHING, Shifts, Sums, contribution, difference, exact_total
from research.domain.arm_totals import QUANTILE, ArmKey, shifts_of
from research.domain.sketch import bucket_of
from research.domain.unit_values import Measured, MetricRule, UnitPoint, UnitValues, first_of, values_of
from research.models import ArmSums, MetricShift, QuantileBucket, ResultEvent, UnitMetric
from research.selectors.result_rules import stored_shifts
from research.selectors.unit_streams import VALUE_COLUMNS, Unit

CHUNK: Final = 5000
SLOT_SPACE: Final = 0x61665F72
"""The name space of the slots of arm sums."""
_ARM_KEYS: Final = ("metric_id", "phase_id", "variant_id", "slot")
_ARM_TYPES: Final = ("bigint", "bigint", "bigint", "smallint")
_BUCKET_KEYS: Final = ("metric_id", "phase_id", "variant_id", "bucket", "slot")
_BUCKET_TYPES: Final = ("bigint", "bigint", "bigint", "int", "smallint")
_SUM_TYPES: Final = ("bigint",) * COUNTS + ("float8",) * (len(Sums._fields) - COUNTS)
VARIABLES: Final = ("x", "d", "c")


class Result(NamedTuple):
    """A result that was not recorded before: of which unit, from which source, and what it says."""

    unit: Unit
    source: str
    measured: Measured


class Revised(NamedTuple):
    """A result that says something else than before: of which unit, from which source, and both values.

    None stands for one that was taken back.
    """

    unit: Unit
    source: str
    before: float | None
    after: float | None


@dataclass(slots=True)
class Changes:
    """Before and after of each unit in each arm, and what is counted for quantiles."""

    arms: dict[ArmKey, list[tuple[UnitPoint | None, UnitPoint | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    buckets: dict[tuple[ArmKey, int], int] = field(default_factory=lambda: defaultdict(int))


def take_results(
    results: Sequence[Result],
    rules: Sequence[MetricRule],
    sources: Mapping[str, int],
    changes: Changes,
    states: dict[int, dict[str, UnitValues]] | None = None,
) -> list[tuple[Any, ...]]:
    """The new values of units, as rows to be written, and in ``changes`` what that does to the sums of their arms.

    ``sources`` are the numbers of all sources that metrics of these results take. Units that are left out of
    the analysis have values and are in no sums. One statement whatever the number of results, none where the
    caller has read the values, which are ``states`` then.
    """
    by_unit: dict[int, list[Result]] = defaultdict(list)
    for result in results:
        by_unit[result.unit.entity].append(result)
    touched = {result.source for result in results}
    rules = rules_of(touched, rules)
    entities = sorted(by_unit)
    if states is None:
        wanted = sources_of(touched, rules)
        states = unit_values({sources[name]: name for name in wanted if name in sources}, entities)
    written: dict[tuple[int, int], tuple[Any, ...]] = {}
    for entity in entities:
        mine = by_unit[entity]
        unit = mine[0].unit
        state = states.setdefault(entity, {})
        news = {result.source for result in mine}
        concerned = [] if unit.override else [rule for rule in rules if news.intersection(rule.sources)]
        before = [rule.point([state.get(name) for name in rule.sources]) for rule in concerned]
        for result in mine:
            known = state.get(result.source)
            if known is None:
                state[result.source] = first_of(result.measured)
            else:
                known.add(result.measured)
        for rule, old in zip(concerned, before, strict=True):
            new = rule.point([state.get(name) for name in rule.sources])
            arm = ArmKey(rule.id, unit.phase, unit.variant)
            changes.arms[arm].append((old, new))
            if rule.kind == QUANTILE:
                for result in mine:
                    if result.source == rule.key:
                        changes.buckets[arm, bucket_of(result.measured.value)] += 1
        for name in news:
            key = sources[name], entity
            written[key] = (*key, unit.phase, unit.variant, *value_row(state[name]))
    return [written[key] for key in sorted(written)]


def rules_of(touched: Collection[str], rules: Sequence[MetricRule]) -> list[MetricRule]:
    """The metrics that take results of the ``touched`` sources."""
    return [rule for rule in rules if any(source in touched for source in rule.sources)]


def sources_of(touched: Collection[str], rules: Sequence[MetricRule]) -> set[str]:
    """The sources of which values are needed where these are ``touched``."""
    return {*touched, *(source for rule in rules_of(touched, rules) for source in rule.sources)}


def retake_results(
    revised: Sequence[Revised], rules: Sequence[MetricRule], sources: Mapping[str, int], changes: Changes
) -> None:
    """Work out the values of units anew from their results, which now say something else; as ``take_results``.

    Takes as many statements as there are sources, and reads every result of the units concerned.
    """
    by_unit: dict[int, list[Revised]] = defaultdict(list)
    for each in revised:
        by_unit[each.unit.entity].append(each)
    touched = {each.source for each in revised}
    rules = rules_of(touched, rules)
    wanted = sources_of(touched, rules)
    entities = sorted(by_unit)
    states = unit_values({sources[name]: name for name in wanted if name in sources}, entities)
    fresh = {
        name: results_of(sources[name], sorted({each.unit.entity for each in revised if each.source == name}))
        for name in sorted(touched)
    }
    rows: list[tuple[Any, ...]] = []
    empty: list[tuple[int, int]] = []
    for entity in entities:
        mine = by_unit[entity]
        unit, state = mine[0].unit, states.get(entity, {})
        news = {each.source for each in mine}
        concerned = [] if unit.override else [rule for rule in rules if news.intersection(rule.sources)]
        before = [rule.point([state.get(name) for name in rule.sources]) for rule in concerned]
        for name in news:
            now = values_of(fresh[name][entity])
            if now is None:
                # All that the unit had was taken back.
                state.pop(name, None)
                empty.append((sources[name], entity))
            else:
                state[name] = now
                rows.append((sources[name], entity, unit.phase, unit.variant, *value_row(now)))
        for rule, old in zip(concerned, before, strict=True):
            new = rule.point([state.get(name) for name in rule.sources])
            arm = ArmKey(rule.id, unit.phase, unit.variant)
            changes.arms[arm].append((old, new))
            if rule.kind == QUANTILE:
                for each in mine:
                    if each.source == rule.key:
                        if each.before is not None:
                            changes.buckets[arm, bucket_of(each.before)] -= 1
                        if each.after is not None:
                            changes.buckets[arm, bucket_of(each.after)] += 1
    put_unit_rows(sorted(rows, key=itemgetter(0, 1)))
    drop_unit_rows(empty)


def results_of(source: int, entities: Sequence[int]) -> dict[int, list[Measured]]:
    """Every result of ``entities`` from one source, by unit, but for those that were taken back."""
    found: dict[int, list[Measured]] = defaultdict(list)
    for start in range(0, len(entities), CHUNK):
        rows = ResultEvent.objects.filter(source=source, entity__in=entities[start : start + CHUNK])
        said = rows.values_list("entity_id", "value", "occurred_at", "event_id", "covariate")
        for entity, value, occurred_at, event_id, covariate in said:
            if value is not None:
                found[entity].append(Measured(value, occurred_at, event_id, covariate))
    return found


def take_out(
    unit: Unit, rules: Sequence[MetricRule], sources: Mapping[str, int], values: Iterable[tuple[str, float]]
) -> list[Addition]:
    """What takes one unit out of the sums of its arm; ``values`` are its results, with their sources."""
    state = unit_values({number: name for name, number in sources.items()}, [unit.entity]).get(
        unit.entity, {}
    )
    changes = Changes()
    for rule in rules:
        if (old := rule.point([state.get(name) for name in rule.sources])) is not None:
            changes.arms[ArmKey(rule.id, unit.phase, unit.variant)].append((old, None))
    for source, value in values:
        for rule in rules:
            if rule.kind == QUANTILE and rule.key == source:
                changes.buckets[ArmKey(rule.id, unit.phase, unit.variant), bucket_of(value)] -= 1
    return additions(changes, {rule.id: rule for rule in rules})


def unit_values(sources: Mapping[int, str], entities: Collection[int]) -> dict[int, dict[str, UnitValues]]:
    """The values of ``entities`` from ``sources`` (names by number), by unit and name."""
    found: dict[int, dict[str, UnitValues]] = {}
    wanted = list(entities)
    for start in range(0, len(wanted), CHUNK):
        rows = UnitMetric.objects.filter(
            source__in=list(sources), entity__in=wanted[start : start + CHUNK]
        ).values_list("entity_id", "source_id", *VALUE_COLUMNS)
        for entity, source, *values in rows:
            found.setdefault(entity, {})[sources[source]] = UnitValues(*values)
    return found


def additions(
    changes: Changes,
    rules: Mapping[int, MetricRule],
    slot: int | None = None,
    stored: dict[tuple[int, int, str], float] | None = None,
) -> list[Addition]:
    """What to add to the sums of arms and to the counts of quantiles, in the order in which rows are locked.

    ``slot`` and the ``stored`` shifts are those that the caller has asked for in this transaction.
    """
    arms = {key: pairs for key, pairs in changes.arms.items() if any(old != new for old, new in pairs)}
    if not arms and not changes.buckets:
        return []
    shifts = _shifts(arms, rules, stored)
    slot = free_slot(SLOT_SPACE) if slot is None else slot
    sums = {}
    for key in sorted(arms):
        shift = shifts.get((key.metric, key.phase), Shifts())
        sums[key] = exact_total(
            difference(contribution(new, shift), contribution(old, shift))
            for old, new in arms[key]
            if old != new
        )
    return sums_additions(sums, changes.buckets, slot)


def sums_additions(
    sums: Mapping[ArmKey, Sums], buckets: Mapping[tuple[ArmKey, int], int], slot: int
) -> list[Addition]:
    """Sums and counts as rows to add, in the order in which every writer locks them."""
    arms = [(*key, slot, *sums[key]) for key in sorted(sums) if sums[key] != NOTHING]
    counted = [(*key, bucket, slot, count) for (key, bucket), count in sorted(buckets.items()) if count]
    return [
        Addition(ArmSums._meta.db_table, _ARM_KEYS, Sums._fields, (*_ARM_TYPES, *_SUM_TYPES), arms),
        Addition(
            QuantileBucket._meta.db_table, _BUCKET_KEYS, ("events",), (*_BUCKET_TYPES, "bigint"), counted
        ),
    ]


def _shifts(
    arms: Mapping[ArmKey, Sequence[tuple[UnitPoint | None, UnitPoint | None]]],
    rules: Mapping[int, MetricRule],
    stored: dict[tuple[int, int, str], float] | None,
) -> dict[tuple[int, int], Shifts]:
    """Shifts of the metrics and phases of ``arms``; what has none yet is fixed at the first value there is."""
    firsts: dict[tuple[int, int, str], float] = {}
    for key in sorted(arms):
        if rules[key.metric].kind == QUANTILE:
            continue
        for point in chain.from_iterable(arms[key]):
            for variable, value in zip(VARIABLES, point or (), strict=False):
                if value is not None:
                    firsts.setdefault((key.metric, key.phase, variable), value)
    if not firsts:
        return {}
    metrics, phases = {metric for metric, _, _ in firsts}, {phase for _, phase, _ in firsts}
    if stored is None:
        stored = stored_shifts(metrics, phases)
    missing = [key for key in sorted(firsts) if key not in stored]
    if missing:
        insert_ignore_returning(
            connection,
            MetricShift._meta.db_table,
            ("metric_id", "phase_id", "variable", "shift"),
            ("bigint", "bigint", "text", "float8"),
            [(*key, firsts[key]) for key in missing],
            "variable",
        )
        # Somebody else may have been first.
        stored = stored_shifts(metrics, phases)
    return shifts_of(stored)


def value_row(values: UnitValues) -> tuple[Any, ...]:
    """The columns of ``UnitMetric`` from ``count`` on."""
    return tuple(getattr(values, name) for name in VALUE_COLUMNS)
