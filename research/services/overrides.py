"""Overrides: a variant chosen by hand for a unit that tries it out."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import transaction

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, Invalid, NotFound
from agent_factory_site.common.selectors.entities import find_entities
from agent_factory_site.common.services.entities import resolve_entities
from research.domain.values import unit_error
from research.models import Assignment, Experiment, Override, Variant

from .experiments import invalid_state, lock_experiment
from .exposure_counts import subtract_exposure
from .leave_out import subtract_results
from .sum_locks import hold_sums_still

MAX_OVERRIDES: Final = 1000
"""Every process keeps them all in memory."""


def put_override(*, experiment: UUID | str, unit: str, variant: str) -> Override:
    """Serve ``variant`` to ``unit`` from now on, in a draft and while paused as well.

    A unit that is exposed already is left out of the analysis for good. Raises :class:`Invalid` for a unit or a
    variant that is none, :class:`Conflict` for an experiment that has ended.
    """
    if fault := unit_error(unit):
        raise Invalid.fields(fault)

    def store() -> Override:
        with transaction.atomic():
            row = lock_experiment(experiment)
            if row.state in (Experiment.State.STOPPED, Experiment.State.ARCHIVED):
                raise invalid_state(row, "take overrides")
            arm: Variant | None = row.variants.filter(key=variant).first()
            if arm is None:
                raise Invalid.field_error("/variant", "unknown_variant", "There is no such variant.")
            number = resolve_entities([(row.unit, unit)])[row.unit, unit]
            kept: Override | None = row.overrides.filter(entity=number).first()
            if kept is None:
                if row.overrides.count() >= MAX_OVERRIDES:
                    raise Conflict("too_many", f"An experiment has at most {MAX_OVERRIDES} overrides.")
                kept = Override.objects.create(experiment=row, entity_id=number, variant=arm)
            elif kept.variant_id != arm.pk:
                kept.variant = arm
                kept.save(update_fields=["variant"])
            _leave_out(row, number)
            return kept

    return retry_conflicts(store)


def _leave_out(row: Experiment, entity: int) -> None:
    # Before the assignment's row is locked, as who records results does.
    hold_sums_still(row.pk)
    counted = Assignment.objects.filter(experiment=row, entity=entity, override=False)
    if counted.update(override=True):
        subtract_exposure(Assignment.objects.get(experiment=row, entity=entity))
        subtract_results(experiment=row.pk, entity=entity)


def remove_override(*, experiment: UUID | str, unit: str) -> None:
    """Serve the unit as any other again; raises :class:`NotFound` where there is none."""

    def store() -> None:
        with transaction.atomic():
            row = lock_experiment(experiment)
            number = find_entities([(row.unit, unit)]).get((row.unit, unit))
            if number is None or not row.overrides.filter(entity=number).delete()[0]:
                raise NotFound("not_found", "There is no such override.")

    retry_conflicts(store)
