"""Creating and changing experiments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.selectors.people import acting_person
from agent_factory_site.common.services.entities import resolve_entities
from research.domain.definition_change import Merged, fixed_errors, opens_phase
from research.domain.definition_input import DefinitionInput, parse_definition
from research.models import ExclusionGroup, Experiment, FeatureFlag, Metric, Variant
from research.selectors.experiments import body_of, find_experiment, get_experiment

from .phases import open_phase, widen_phase

Check = Callable[[Experiment], None]


def create_experiment(*, definition: Mapping[str, Any]) -> Experiment:
    """A draft of ``definition``, the body of a request; an exclusion group that is new is created with it.

    Raises :class:`Invalid` with every bad field, :class:`Conflict` for a key that is taken.
    """
    errors: list[FieldError] = []
    wanted = parse_definition(definition, errors)
    if wanted is None:
        raise Invalid.fields(*errors)
    owner = _entity(wanted.owner)

    def store() -> UUID:
        with transaction.atomic():
            if Experiment.objects.filter(key=wanted.key).exists():
                raise _taken(wanted.key)
            if FeatureFlag.objects.filter(key=wanted.key).exists():
                # Both are asked for by key, as flags.
                raise Conflict("duplicate_key", f"There is a flag {wanted.key} already.")
            row = Experiment(
                key=wanted.key,
                owner_id=owner,
                requested_by_id=acting_person(),
                requested_as=str(current_actor()),
            )
            _put(row, wanted)
            row.save(force_insert=True)
            Variant.objects.bulk_create(
                Variant(experiment=row, position=place, **asdict(variant))
                for place, variant in enumerate(wanted.variants)
            )
            Metric.objects.bulk_create(
                Metric(experiment=row, position=place, **asdict(metric))
                for place, metric in enumerate(wanted.metrics)
            )
            return row.pk

    try:
        return get_experiment(retry_conflicts(store))
    except IntegrityError:
        # Another request took the key since it was looked for.
        if Experiment.objects.filter(key=wanted.key).exists():
            raise _taken(wanted.key) from None
        raise


def _taken(key: str) -> Conflict:
    return Conflict("duplicate_key", f"There is an experiment {key} already.")


def _entity(name: tuple[str, str] | None) -> int | None:
    return None if name is None else resolve_entities([name])[name]


def _put(row: Experiment, wanted: DefinitionInput) -> None:
    """Set the row's own columns; its owner is set by its number."""
    row.name = wanted.name
    row.hypothesis = wanted.hypothesis
    row.unit = wanted.unit
    row.salt = wanted.salt
    row.coverage = wanted.coverage
    row.targeting = wanted.targeting
    row.analysis = wanted.analysis
    row.exclusion_share = wanted.exclusion_share
    if wanted.exclusion_group is None:
        row.exclusion_group = None
    elif row.exclusion_group is None or row.exclusion_group.key != wanted.exclusion_group:
        row.exclusion_group = ExclusionGroup.objects.get_or_create(key=wanted.exclusion_group)[0]


def change_experiment(
    *,
    experiment: UUID | str,
    changes: Mapping[str, Any],
    remove_variants: Collection[str] = (),
    remove_metrics: Collection[str] = (),
    check: Check | None = None,
) -> Experiment:
    """Change what ``changes`` names and nothing else; variants and metrics are named by their keys.

    While the experiment runs, coverage only grows, and other weights, targeting or payloads open a new phase. In a
    draft everything but the key changes, and an approval is void. ``check`` is called with the locked row
    and may raise to refuse. Raises :class:`Invalid` with every bad field, :class:`Conflict` for what is fixed
    by now.
    """

    def store() -> UUID:
        with transaction.atomic():
            row = lock_experiment(experiment)
            if check is not None:
                check(row)
            if row.state == Experiment.State.ARCHIVED:
                raise invalid_state(row, "change")
            _change(row, changes, remove_variants, remove_metrics)
            return row.pk

    try:
        return get_experiment(retry_conflicts(store))
    except ProtectedError:
        raise Conflict("in_use", "An override names a variant that is to go: remove it first.") from None


def lock_experiment(name: UUID | str) -> Experiment:
    """The experiment of an id or a key, locked until the transaction ends."""
    found = find_experiment(name)
    locked: Experiment = Experiment.objects.select_for_update().get(pk=found.pk)
    return locked


def invalid_state(row: Experiment, verb: str) -> Conflict:
    """The refusal of what the state does not allow."""
    return Conflict(
        "invalid_state", f"The experiment is {row.state}: it cannot {verb}.", extensions={"state": row.state}
    )


def _change(
    row: Experiment,
    changes: Mapping[str, Any],
    remove_variants: Collection[str],
    remove_metrics: Collection[str],
) -> None:
    stored = body_of(row)
    merged = Merged(stored, changes)
    merged.without("variants", remove_variants)
    merged.without("metrics", remove_metrics)
    old, new = _parsed(stored), _parsed(merged.body, merged)
    if new.key != old.key:
        raise Invalid.field_error("/key", "immutable", "The key of an experiment never changes.")
    draft = row.state == Experiment.State.DRAFT
    if not draft:
        if errors := fixed_errors(old, new, row.state):
            raise Conflict("fixed", "; ".join(f"{each.pointer}: {each.detail}" for each in errors), errors)
        if new.coverage < old.coverage:
            raise Invalid.field_error("/coverage", "only_grows", f"Is {old.coverage:g}, and only grows.")
    if new == old:
        return
    _put(row, new)
    if new.owner != old.owner:
        row.owner_id = _entity(new.owner)
    if draft:
        row.requested_by_id, row.requested_as = acting_person(), str(current_actor())
        row.approved_by_id = row.approved_at = None
    row.version += 1
    _put_variants(row, new)
    _put_metrics(row, new)
    row.save()
    if row.state in (Experiment.State.RUNNING, Experiment.State.PAUSED):
        if opens_phase(old, new):
            open_phase(row, timezone.now())
        elif new.coverage != old.coverage:
            widen_phase(row)


def _parsed(body: Mapping[str, Any], merged: Merged | None = None) -> DefinitionInput:
    errors: list[FieldError] = []
    parsed = parse_definition(body, errors)
    if parsed is None:
        raise Invalid.fields(*(errors if merged is None else map(merged.located, errors)))
    return parsed


def _put_variants(row: Experiment, wanted: DefinitionInput) -> None:
    stored = {variant.key: variant for variant in row.variants.all()}
    for key in stored.keys() - {variant.key for variant in wanted.variants}:
        stored[key].delete()
    following = max((variant.position for variant in stored.values()), default=-1) + 1
    for each in wanted.variants:
        variant = stored.get(each.key)
        if variant is None:
            Variant.objects.create(experiment=row, position=following, **asdict(each))
            following += 1
        elif (variant.weight, variant.payload) != (each.weight, each.payload):
            variant.weight, variant.payload = each.weight, each.payload
            variant.save(update_fields=["weight", "payload"])


def _put_metrics(row: Experiment, wanted: DefinitionInput) -> None:
    stored = {metric.key: metric for metric in row.metrics.all()}
    for key in stored.keys() - {metric.key for metric in wanted.metrics}:
        stored[key].delete()
    following = max((metric.position for metric in stored.values()), default=-1) + 1
    # The primary one last: there is never more than one.
    for each in sorted(wanted.metrics, key=lambda metric: metric.role == "primary"):
        values = asdict(each)
        metric = stored.get(each.key)
        if metric is None:
            Metric.objects.create(experiment=row, position=following, **values)
            following += 1
            continue
        changed = [name for name, value in values.items() if getattr(metric, name) != value]
        if changed:
            for name in changed:
                setattr(metric, name, values[name])
            metric.save(update_fields=changed)
