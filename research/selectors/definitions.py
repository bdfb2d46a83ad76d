"""Definitions of experiments, kept in memory for as long as none of them changes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from agent_factory_site.common.db.prepared import Asked, ask_all
from agent_factory_site.common.errors import NotFound
from research.domain.assignment import Arm, Definition, HoldoutRule, Namespace
from research.domain.hashing import bucket_ranges, seed_state
from research.domain.targeting import compile_targeting
from research.models import Experiment, Holdout, Override, Phase, Variant


class Definitions:
    """All experiments, archived ones without arms and phases, and the holdout, as of one revision."""

    def __init__(self, token: Hashable, found: Iterable[Definition], holdout: HoldoutRule | None) -> None:
        self.token = token
        self.holdout = holdout
        self.by_id: dict[UUID, Definition] = {one.id: one for one in found}
        self.by_key: dict[str, Definition] = {one.key: one for one in self.by_id.values()}

    def find(self, name: UUID | str) -> Definition | None:
        """The experiment of an id or a key."""
        if isinstance(name, UUID):
            return self.by_id.get(name)
        found = self.by_key.get(name)
        if found is None and len(name) == 36:
            try:
                return self.by_id.get(UUID(name))
            except ValueError:
                return None
        return found


_EMPTY: Final = Definitions(None, (), None)
_memory = _EMPTY


def remembered() -> Definitions:
    """What this process remembers, which may be out of date: compare its token with the stored one."""
    return _memory


def definition_revision() -> Hashable:
    """A token that differs whenever any definition was written in between; None while there never was one."""
    rows = ask_all(revision_asked())[0]
    return rows[0][0] if rows else None


def revision_asked() -> Asked:
    """:func:`definition_revision`, to be asked together with others: the first value of the first row, if any."""
    # Asked for every assignment: a plain statement takes a tenth of a queryset's time.
    return Asked("SELECT token FROM research_definitionrevision")


def definitions(token: Hashable = ...) -> Definitions:
    """The definitions as they stand: one statement where nothing changed, seven where something did.

    ``token`` is the stored one where the caller has just read it.
    """
    token = definition_revision() if token is ... else token
    if token is None:
        return _EMPTY
    if _memory.token == token:
        return _memory
    made = Definitions(token, _read(), _holdout())

    def remember() -> None:
        global _memory
        _memory = made

    # What this transaction has written itself may still be rolled back.
    transaction.on_commit(remember)
    return made


def get_definition(name: UUID | str, known: Definitions | None = None) -> Definition:
    """The experiment of an id or a key, in one statement where nothing changed; raises :class:`NotFound`.

    ``known`` are the definitions where the caller has just asked for them.
    """
    found = (known or definitions()).find(name)
    if found is None:
        raise no_such_experiment()
    return found


def no_such_experiment() -> NotFound:
    """The refusal of a name that is nobody's."""
    return NotFound("not_found", "There is no such experiment.")


def _holdout() -> HoldoutRule | None:
    row = Holdout.objects.first()
    return HoldoutRule(row.share, seed_state(row.salt)) if row is not None and row.share > 0 else None


def _read() -> list[Definition]:
    rows = list(Experiment.objects.select_related("exclusion_group"))
    alive = [row.pk for row in rows if row.state != Experiment.State.ARCHIVED]
    arms: dict[UUID, list[Variant]] = {row.pk: [] for row in rows}
    for variant in Variant.objects.filter(experiment__in=alive).order_by("experiment", "position"):
        arms[variant.experiment_id].append(variant)
    phases: dict[UUID, list[Phase]] = {row.pk: [] for row in rows}
    for phase in Phase.objects.filter(experiment__in=alive).order_by("experiment", "number"):
        phases[phase.experiment_id].append(phase)
    overrides: dict[UUID, dict[str, int]] = {row.pk: {} for row in rows}
    chosen = Override.objects.filter(experiment__in=alive)
    for experiment, unit, variant in chosen.values_list("experiment_id", "entity__key", "variant_id"):
        overrides[experiment][unit] = variant
    return [definition_of(row, arms[row.pk], phases[row.pk], overrides[row.pk]) for row in rows]


def definition_of(
    row: Experiment, variants: list[Variant], phases: list[Phase], overrides: dict[str, Any]
) -> Definition:
    """A row with its variants in order, its phases in order and its overrides (units to variant ids)."""
    arms = tuple(
        Arm(variant.pk, variant.key, variant.payload, variant.stopped_at is not None) for variant in variants
    )
    place = {arm.id: number for number, arm in enumerate(arms)}
    phase = phases[-1] if phases else None
    namespace = None
    if row.exclusion_group is not None and row.exclusion_from is not None and row.exclusion_to is not None:
        namespace = Namespace(row.exclusion_group.key, row.exclusion_from, row.exclusion_to)
    return Definition(
        id=row.pk,
        key=row.key,
        unit=row.unit,
        status=row.state,
        arms=arms,
        phase=None if phase is None else phase.pk,
        phases={each.pk: each.number for each in phases},
        state=seed_state(phase.seed if phase is not None else row.salt or row.key),
        ranges=bucket_ranges(phase.weights, phase.coverage) if phase is not None else (),
        targeting=compile_targeting(phase.targeting) if phase is not None else (),
        namespace=namespace,
        overrides={unit: place[variant] for unit, variant in overrides.items()},
        since=phase.started_at if phase is not None else None,
        segments=tuple(row.analysis.get("segments", ())),
    )
