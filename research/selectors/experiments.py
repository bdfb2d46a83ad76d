"""Reading experiments."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet

from agent_factory_site.common.errors import Invalid, NotFound
from research.domain.definition_input import THOUSANDTHS, parse_owner
from research.domain.exclusion import largest_gap
from research.domain.metric_input import EVENTS
from research.models import ExclusionGroup, Experiment, Holdout, Metric, Override, Phase, Variant

from .definitions import no_such_experiment

STATES: Final = tuple(Experiment.State.values)


def find_experiment(name: UUID | str) -> Experiment:
    """The experiment of an id or a key, alone; raises :class:`NotFound`."""
    return _named(Experiment.objects.select_related("exclusion_group", "owner"), name)


def get_experiment(name: UUID | str) -> Experiment:
    """The experiment of an id or a key with arms, metrics and phases; raises :class:`NotFound`."""
    return _named(with_parts(Experiment.objects.all()), name)


def _named(rows: QuerySet[Experiment], name: UUID | str) -> Experiment:
    by = Q(pk=name) if isinstance(name, UUID) else Q(key=name)
    if isinstance(name, str) and len(name) == 36:
        with suppress(ValueError):
            by |= Q(pk=UUID(name))
    row = rows.filter(by).first()
    if row is None:
        raise no_such_experiment()
    return row


def with_parts(rows: QuerySet[Experiment]) -> QuerySet[Experiment]:
    """The rows with all that an answer shows, in four statements."""
    # Their own order begins with the experiment, and would join it once more.
    parts = (
        Prefetch("variants", Variant.objects.order_by("position")),
        Prefetch("metrics", Metric.objects.order_by("position")),
        Prefetch("phases", Phase.objects.order_by("number")),
    )
    return rows.select_related("exclusion_group", "owner").prefetch_related(*parts)


def list_experiments(
    *,
    state: list[str] | None = None,
    q: str = "",
    unit: str = "",
    owner: str = "",
    exclusion_group: str = "",
) -> QuerySet[Experiment]:
    """Experiments in the given states whose key or name holds ``q``; ``owner`` is written ``type/id``."""
    rows = with_parts(Experiment.objects.all())
    if state:
        rows = rows.filter(state__in=state)
    if q:
        rows = rows.filter(Q(key__icontains=q) | Q(name__icontains=q))
    if unit:
        rows = rows.filter(unit=unit)
    if owner:
        parsed = parse_owner(owner, [])
        if parsed is None:
            raise Invalid.field_error("?owner", "bad_owner", "Is written as type/id, such as team/growth.")
        rows = rows.filter(owner__type=parsed[0], owner__key=parsed[1])
    if exclusion_group:
        rows = rows.filter(exclusion_group__key=exclusion_group)
    return rows


def list_overrides(experiment: Experiment) -> QuerySet[Override]:
    """The overrides of an experiment, with units and variants."""
    rows: QuerySet[Override] = experiment.overrides.select_related("entity", "variant")
    return rows


def list_exclusion_groups() -> QuerySet[ExclusionGroup]:
    """All exclusion groups, with the experiments in them."""
    rows: QuerySet[ExclusionGroup] = ExclusionGroup.objects.prefetch_related("experiments")
    return rows


def get_exclusion_group(key: str) -> ExclusionGroup:
    """The exclusion group of a key; raises :class:`NotFound`."""
    row: ExclusionGroup | None = list_exclusion_groups().filter(key=key).first()
    if row is None:
        raise NotFound("not_found", "There is no such exclusion group.")
    return row


def free_share(group: ExclusionGroup) -> float:
    """The largest share of a group that is free in one piece."""
    taken = [
        (each.exclusion_from, each.exclusion_to)
        for each in group.experiments.all()
        if each.state in (Experiment.State.RUNNING, Experiment.State.PAUSED)
        and each.exclusion_from is not None
        and each.exclusion_to is not None
    ]
    return largest_gap(taken) / THOUSANDTHS


def get_holdout() -> Holdout | None:
    """The holdout, where there is one."""
    row: Holdout | None = Holdout.objects.first()
    return row


def current_phase(experiment: Experiment) -> Phase | None:
    """The phase that is open, or the last one."""
    return max(experiment.phases.all(), key=lambda phase: phase.number, default=None)


def body_of(experiment: Experiment) -> dict[str, Any]:
    """The definition as it is written in a request: what it states in full, without state and times."""
    owner = experiment.owner
    share = experiment.exclusion_share
    return {
        "key": experiment.key,
        "name": experiment.name,
        "hypothesis": experiment.hypothesis,
        "owner": None if owner is None else f"{owner.type}/{owner.key}",
        "unit": experiment.unit,
        "salt": experiment.salt or None,
        "variants": [variant_body(variant) for variant in experiment.variants.all()],
        "coverage": experiment.coverage,
        "targeting": experiment.targeting,
        "exclusion_group": experiment.exclusion_group.key if experiment.exclusion_group else None,
        "exclusion_share": None if share is None else share / THOUSANDTHS,
        "metrics": [metric_body(metric) for metric in experiment.metrics.all()],
        "analysis": dict(experiment.analysis),
    }


def variant_body(variant: Variant) -> dict[str, Any]:
    """A variant as it is written in a request."""
    return {"key": variant.key, "weight": variant.weight, "payload": variant.payload}


def metric_body(metric: Metric) -> Mapping[str, Any]:
    """A metric as it is written in a request, without what its kind does not have."""
    return {
        "key": metric.key,
        "kind": metric.kind,
        "role": metric.role,
        "direction": metric.direction,
        "numerator": metric.numerator or None,
        "denominator": metric.denominator or None,
        "q": metric.q,
        "mde": metric.mde,
        "margin": metric.margin,
        "scale": metric.scale,
        "aggregate": None if metric.aggregate == EVENTS else metric.aggregate,
        "missing": metric.missing,
        "winsorize": metric.winsorize,
    }
