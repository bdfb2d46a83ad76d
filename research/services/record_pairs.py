"""Recording replays: the same items answered by several arms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.ids import uuid7
from research.domain.pair_input import (
    PairedItem,
    PairedValue,
    PairSet,
    check_item,
    check_set,
    values_of_item,
)
from research.domain.result_input import metric_error
from research.models import Experiment, PairedResult
from research.selectors.experiments import get_experiment
from research.selectors.result_rules import rule_of

from .result_names import Names, resolve_names

CHUNK: Final = 5000
CONFLICT: Final = FieldError(
    "/arms", "value_conflict", "This set has another value for the same item, arm and repetition."
)
REPEATED: Final = FieldError("/item", "duplicate", "Another item of this request has this name.")


@dataclass(slots=True)
class RecordedPairs:
    """What became of a set: values that were new and known already, items that were not taken by position."""

    accepted: int = 0
    duplicates: int = 0
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)


def record_pairs(*, experiment: UUID | str, pairs: PairSet) -> RecordedPairs:
    """Store the items of a set, each wholly or not at all; sent again they change nothing.

    An item with a value that differs from the stored one is rejected as ``value_conflict``. A set has one metric
    and, of scores, one judge: to have items judged again, name another set. Raises :class:`Invalid` for a set
    that is wrong by itself, :class:`Conflict` for an archived experiment, :class:`NotFound`.
    """
    row = get_experiment(experiment)
    if row.state == Experiment.State.ARCHIVED:
        raise Conflict("invalid_state", "The experiment is archived.")
    rules = [rule_of(metric) for metric in row.metrics.all()]
    kinds: dict[str, set[str]] = {}
    for rule in rules:
        for source in rule.sources:
            kinds.setdefault(source, set()).add(rule.kind)
    errors = check_set(pairs)
    ratios = {rule.key for rule in rules if len(rule.sources) > 1}
    if not errors and (fault := metric_error(pairs.metric, kinds, ratios)) is not None:
        errors.append(fault)
    if errors:
        raise Invalid.fields(*errors)
    variants = {variant.key: variant.pk for variant in row.variants.all()}
    outcome = RecordedPairs()
    items: dict[str, tuple[int, PairedItem]] = {}
    for index, item in enumerate(pairs.items):
        faults = check_item(item, variants, kinds.get(pairs.metric, set()))
        if not faults and item.item in items:
            faults = [REPEATED]
        if faults:
            outcome.rejected[index] = faults
        else:
            items[item.item] = index, item
    if items:
        version = pairs.judge_version or ""
        judges = [(pairs.metric, pairs.judge, version)] if pairs.judge else []
        names = resolve_names(row.pk, sources={pairs.metric}, judges=judges)
        judge = names.judges[judges[0]] if judges else None
        retry_conflicts(lambda: _store(row, pairs, items, names, judge, variants, outcome))
    return outcome


def _store(
    row: Experiment,
    pairs: PairSet,
    items: dict[str, tuple[int, PairedItem]],
    names: Names,
    judge: int | None,
    variants: dict[str, int],
    outcome: RecordedPairs,
) -> None:
    keys = {pk: key for key, pk in variants.items()}
    source, now, audit = names.sources[pairs.metric], timezone.now(), uuid7()
    rejected: dict[int, list[FieldError]] = {}
    new: list[PairedValue] = []
    repeated = 0
    with transaction.atomic():
        # Whoever adds to this experiment's replays does so one after the other.
        Experiment.objects.select_for_update(no_key=True).get(pk=row.pk)
        wanted = PairedResult.objects.filter(source=source, batch=pairs.set)
        if wanted.exclude(judge=judge).exists() if judge is not None else wanted.exclude(judge=None).exists():
            detail = "This set was scored by another judge or version: name another set."
            raise Conflict("judge_conflict", detail)
        stored: dict[tuple[str, str, int], float] = {}
        named = sorted(items)
        for start in range(0, len(named), CHUNK):
            rows = wanted.filter(item__in=named[start : start + CHUNK])
            columns = ("item", "variant_id", "repetition", "value")
            for name, variant, repetition, value in rows.values_list(*columns):
                stored[name, keys[variant], repetition] = value
        for index, item in items.values():
            fresh = []
            same = 0
            for each in values_of_item(item):
                known = stored.get((each.item, each.variant, each.repetition))
                if known is None:
                    fresh.append(each)
                elif known == each.value:
                    same += 1
                else:
                    rejected[index] = [CONFLICT]
                    break
            else:
                new += fresh
                repeated += same
        PairedResult.objects.bulk_create(
            [
                PairedResult(
                    experiment=row,
                    batch=pairs.set,
                    source_id=source,
                    item=each.item,
                    variant_id=variants[each.variant],
                    repetition=each.repetition,
                    value=each.value,
                    judge_id=judge,
                    recorded_at=now,
                    audit=audit,
                )
                for each in new
            ],
            batch_size=1000,
        )
        if new:
            record_audit(
                action="record",
                target_type="research.PairedResult",
                changes={"experiment": str(row.pk), "set": pairs.set, "values": len(new)},
                event_id=audit,
            )
    outcome.accepted, outcome.duplicates = len(new), repeated
    outcome.rejected.update(rejected)
