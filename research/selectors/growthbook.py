"""What GrowthBook's SDKs are fed with."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import msgspec
from django.db import transaction

from research.domain.assignment import Arm, Namespace
from research.domain.growthbook import (
    EnabledFlag,
    Holdout,
    Inexpressible,
    RunningExperiment,
    experiment_feature,
    flag_feature,
)
from research.models import Experiment, FeatureFlag, Override, Phase, Variant
from research.models import Holdout as HoldoutRow

from .definitions import definition_revision

_NEVER: Final = object()
_memory: tuple[Hashable, bytes] = (_NEVER, b"")


def growthbook_features() -> bytes:
    """The JSON of all running experiments and enabled flags; made anew where a definition has changed.

    ``omitted`` names what cannot be said in GrowthBook's format, and why: SDKs serve the program's default for
    it.
    """
    token = definition_revision()
    if _memory[0] == token:
        return _memory[1]
    content = msgspec.json.encode(_document())

    def remember() -> None:
        global _memory
        _memory = (token, content)

    # What this transaction has written itself may still be rolled back.
    transaction.on_commit(remember)
    return content


def _document() -> dict[str, Any]:
    experiments = running_experiments()
    row = HoldoutRow.objects.first()
    holdout = Holdout(row.share, row.salt) if row is not None and row.share > 0 else None
    features: dict[str, Any] = {}
    omitted: list[dict[str, str]] = []
    for key, experiment in experiments.items():
        try:
            features[key] = experiment_feature(experiment, holdout)
        except Inexpressible as reason:
            omitted.append({"key": key, "reason": str(reason)})
    for flag in enabled_flags():
        try:
            features[flag.key] = flag_feature(flag, experiments, holdout)
        except Inexpressible as reason:
            omitted.append({"key": flag.key, "reason": str(reason)})
    return {"status": 200, "features": features, "omitted": omitted}


def running_experiments() -> dict[str, RunningExperiment]:
    """Running experiments with their open phases, by key; four statements."""
    rows = list(
        Experiment.objects.filter(state=Experiment.State.RUNNING)
        .select_related("exclusion_group")
        .order_by("key")
    )
    wanted = [row.pk for row in rows]
    phases = {
        phase.experiment_id: phase for phase in Phase.objects.filter(experiment__in=wanted, ended_at=None)
    }
    variants: dict[Any, list[Variant]] = {pk: [] for pk in wanted}
    for variant in Variant.objects.filter(experiment__in=wanted).order_by("experiment", "position"):
        variants[variant.experiment_id].append(variant)
    overrides: dict[Any, dict[str, int]] = {pk: {} for pk in wanted}
    chosen = Override.objects.filter(experiment__in=wanted)
    for experiment, unit, place in chosen.values_list("experiment_id", "entity__key", "variant__position"):
        overrides[experiment][unit] = place
    return {
        row.key: _running(row, phases[row.pk], variants[row.pk], overrides[row.pk])
        for row in rows
        if row.pk in phases
    }


def _running(
    row: Experiment, phase: Phase, variants: list[Variant], overrides: dict[str, int]
) -> RunningExperiment:
    namespace = None
    if row.exclusion_group is not None and row.exclusion_from is not None and row.exclusion_to is not None:
        namespace = Namespace(row.exclusion_group.key, row.exclusion_from, row.exclusion_to)
    places = {variant.position: number for number, variant in enumerate(variants)}
    return RunningExperiment(
        key=row.key,
        name=row.name,
        unit=row.unit,
        phase=phase.number,
        seed=phase.seed,
        weights=phase.weights,
        coverage=phase.coverage,
        targeting=phase.targeting,
        arms=[
            Arm(variant.pk, variant.key, variant.payload, variant.stopped_at is not None)
            for variant in variants
        ],
        namespace=namespace,
        overrides={unit: places[place] for unit, place in overrides.items()},
    )


def enabled_flags() -> list[EnabledFlag]:
    """Flags that are on."""
    rows = FeatureFlag.objects.filter(enabled=True, archived_at=None).select_related("experiment")
    return [
        EnabledFlag(
            key=row.key,
            kind=row.kind,
            variants=row.variants,
            default=row.default_variant,
            unit=row.unit,
            salt=row.salt,
            rules=row.rules,
            experiment=row.experiment.key if row.experiment is not None else None,
            field=row.experiment_field,
        )
        for row in rows
    ]
