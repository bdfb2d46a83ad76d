"""Exclusion groups, and the range of one that a running experiment has to itself."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from research.domain.definition_input import MAX_NAME, parse_key
from research.domain.exclusion import free_range, largest_gap
from research.domain.values import text_error
from research.models import ExclusionGroup, Experiment


def create_exclusion_group(*, key: str, name: str = "") -> ExclusionGroup:
    """An exclusion group; raises :class:`Invalid`, and :class:`Conflict` for a key that is taken."""
    errors: list[FieldError] = []
    parse_key(key, "/key", errors)
    if name and (fault := text_error("/name", name, MAX_NAME)):
        errors.append(fault)
    if errors:
        raise Invalid.fields(*errors)
    try:
        with transaction.atomic():
            row: ExclusionGroup = ExclusionGroup.objects.create(key=key, name=name)
            return row
    except IntegrityError:
        raise Conflict("duplicate_key", f"There is an exclusion group {key} already.") from None


def allocate_range(experiment: Experiment) -> None:
    """Give the experiment its range of its group, apart from those of all that run; in the caller's transaction.

    Raises :class:`Conflict` where no gap is large enough.
    """
    if experiment.exclusion_group_id is None:
        return
    # Whoever starts another experiment of the group waits here.
    ExclusionGroup.objects.select_for_update().get(pk=experiment.exclusion_group_id)
    others = Experiment.objects.filter(
        exclusion_group=experiment.exclusion_group_id,
        state__in=[Experiment.State.RUNNING, Experiment.State.PAUSED],
        exclusion_from__isnull=False,
    ).exclude(pk=experiment.pk)
    taken = [(start, end) for start, end in others.values_list("exclusion_from", "exclusion_to")]
    found = free_range(taken, experiment.exclusion_share)
    if found is None:
        room = largest_gap(taken)
        raise Conflict(
            "no_room",
            f"The exclusion group has no room for this share: at most {room / 1000:g} is free in one piece.",
            extensions={"free": room / 1000},
        )
    experiment.exclusion_from, experiment.exclusion_to = found
    experiment.save(update_fields=["exclusion_from", "exclusion_to"])
