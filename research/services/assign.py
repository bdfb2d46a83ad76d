"""Assigning units, and writing down who was exposed to what.

A unit's row is written once, with its first exposure. Of concurrent writers one inserts it; the others read
it and answer by it, whatever they had decided themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import Insert, Write, insert_ignore_returning, write_all
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError, Invalid
from agent_factory_site.common.selectors.entities import find_entities
from agent_factory_site.common.services.entities import resolve_entities
from research.domain.assignment import Decision, Definition, HoldoutRule, Reason, Sticky, decide
from research.domain.values import attribute_errors, unit_error
from research.models import Assignment
from research.selectors.assignments import revision_and_sticky, sticky_rows, stored_units
from research.selectors.definitions import Definitions, definitions, no_such_experiment, remembered

from .double_exposure import mark_double_exposures
from .exposure_counts import exposed
from .segment_values import packed_units

MAX_UNITS: Final = 10_000
CLOCKS_APART: Final = timedelta(minutes=5)
"""How far in the future an exposure may be said to have been."""
OTHER_VARIANT: Final = ("other_variant", "The unit is in another arm.")
_COLUMNS: Final[tuple[str, ...]] = (
    "experiment_id",
    "entity_id",
    "variant_id",
    "phase_id",
    "first_exposed_at",
    "override",
)
_TYPES: Final[tuple[str, ...]] = ("uuid", "bigint", "bigint", "bigint", "timestamptz", "boolean")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit to assign: ``attributes`` are what targeting rules ask for and segments are told apart by."""

    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assigned:
    """What one unit is served."""

    definition: Definition
    unit: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Exposure:
    """A unit that was really served ``variant`` (a key), as whoever evaluated without exposing found out.

    Without a ``variant`` the arm is decided from ``attributes``; without ``occurred_at`` it was now.
    """

    unit: str
    variant: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An exposure that was not written: its position, a code and a sentence."""

    index: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Exposures:
    """What a report of exposures came to."""

    accepted: int
    duplicates: int
    rejected: tuple[Refused, ...]


def assign_units(
    *, experiment: UUID | str, units: Sequence[Unit], expose: bool = True, at: datetime | None = None
) -> list[Assigned]:
    """What each of ``units`` is served by the experiment of an id or a key, in their order.

    With ``expose`` units that are new to the experiment are written down as exposed: now, or ``at`` a time in the
    present phase. A batch takes the same few statements whatever its size. Raises :class:`NotFound`, and
    :class:`Invalid` for units that are none.
    """
    _check(units)
    known = definitions()
    definition = known.find(experiment)
    if definition is None:
        raise no_such_experiment()
    sticky = stored_units(definition.id, definition.unit, {unit.id for unit in units}).sticky
    decisions = _decide(definition, units, sticky, known.holdout)
    if expose:
        fresh: dict[str, Decision] = {}
        said: dict[str, Mapping[str, Any]] = {}
        for unit, decision in zip(units, decisions):
            if decision.is_new:
                fresh.setdefault(unit.id, decision)
                said.setdefault(unit.id, unit.attributes)
        taken = _expose(definition, fresh, _moment(definition, at), {}, said) if fresh else {}
        if taken:
            again = _decide(definition, units, {**sticky, **taken}, known.holdout)
            decisions = [new if unit.id in taken else old for unit, old, new in zip(units, decisions, again)]
    return [Assigned(definition, unit.id, decision) for unit, decision in zip(units, decisions)]


def assign_unit(
    *,
    experiment: UUID | str,
    unit: str,
    attributes: Mapping[str, Any],
    expose: bool = True,
    at: datetime | None = None,
    later: list[Write] | None = None,
) -> Assigned:
    """:func:`assign_units` of one unit: one statement where this process has met the unit before.

    What is written last of a new exposure is added to ``later`` for a caller who writes it in the same
    transaction.
    """
    fault = unit_error(unit)
    if fault is not None:
        raise Invalid.fields(fault)
    known = remembered()
    definition = known.find(experiment)
    if definition is not None:
        number = find_entities([(definition.unit, unit)]).get((definition.unit, unit))
        if number is not None:
            token, sticky = revision_and_sticky(definition.id, number)
            if token == known.token:
                decision = decide(definition, unit, attributes, sticky, known.holdout)
                if expose and decision.is_new:
                    _check([Unit(unit, attributes)])
                    fresh = {unit: decision}
                    moment = _moment(definition, at)
                    taken = _expose(definition, fresh, moment, {}, {unit: attributes}, later)
                    if taken:
                        decision = decide(definition, unit, attributes, taken[unit], known.holdout)
                return Assigned(definition, unit, decision)
    return assign_units(experiment=experiment, units=[Unit(unit, attributes)], expose=expose, at=at)[0]


def report_exposures(
    *,
    experiment: UUID | str,
    exposures: Sequence[Exposure],
    known: Definitions | None = None,
    sticky: Mapping[str, Sticky] | None = None,
) -> Exposures:
    """Write down exposures that happened elsewhere; those of units that have one are duplicates.

    A variant that is not the unit's is rejected and marks the unit as seen in two (:mod:`.double_exposure`); a
    unit that takes no part is rejected. Where the variant is named, targeting is taken as met by whoever
    evaluated it. ``known`` and ``sticky`` are the definitions and the assignments of the units where the
    caller has just read them. Raises :class:`NotFound`, and :class:`Invalid` for units that are none.
    """
    _check([Unit(each.unit, each.attributes) for each in exposures])
    known = definitions() if known is None else known
    definition = known.find(experiment)
    if definition is None:
        raise no_such_experiment()
    now = timezone.now()
    untargeted = replace(definition, targeting=())
    if sticky is None:
        sticky = stored_units(definition.id, definition.unit, {each.unit for each in exposures}).sticky
    fresh: dict[str, Decision] = {}
    moments: dict[str, datetime] = {}
    said: dict[str, Mapping[str, Any]] = {}
    rejected: list[Refused] = []
    stated: dict[str, str] = {}
    elsewhere: dict[str, str] = {}
    duplicates = 0
    for index, each in enumerate(exposures):
        rules = definition if each.variant is None else untargeted
        decision = decide(rules, each.unit, each.attributes, sticky.get(each.unit), known.holdout)
        refused = _refusal(definition, each, decision, now)
        if refused is not None:
            rejected.append(Refused(index, *refused))
            if refused == OTHER_VARIANT and each.variant is not None:
                elsewhere[each.unit] = each.variant
        elif not decision.is_new or each.unit in fresh:
            duplicates += 1
        else:
            fresh[each.unit], said[each.unit] = decision, each.attributes
            if each.variant is not None:
                stated[each.unit] = each.variant
            if each.occurred_at is not None:
                moments[each.unit] = each.occurred_at
    taken = _expose(definition, fresh, now, moments, said) if fresh else {}
    for unit in taken.keys() & stated.keys():
        # Somebody else was first, by an older or newer definition: what was served there may be another arm.
        elsewhere.setdefault(unit, stated[unit])
    if elsewhere:
        mark_double_exposures(definition=definition, seen=elsewhere)
    return Exposures(len(fresh) - len(taken), duplicates + len(taken), tuple(rejected))


def _refusal(
    definition: Definition, exposure: Exposure, decision: Decision, now: datetime
) -> tuple[str, str] | None:
    if decision.assigned is None:
        return decision.reason.value, "The unit takes no part in the experiment."
    at = exposure.occurred_at
    if at is not None and at > now + CLOCKS_APART:
        return "in_the_future", "It has not happened yet."
    # Units of a stopped arm are served the baseline, as they should be.
    served = {decision.assigned.key, decision.arm.key if decision.arm else None}
    if exposure.variant is not None and exposure.variant not in served:
        return OTHER_VARIANT
    if at is not None and definition.since is not None and at < definition.since and decision.is_new:
        return "outside_phase", "It was before the present phase began."
    return None


def _check(units: Sequence[Unit]) -> None:
    if len(units) > MAX_UNITS:
        raise Invalid.field_error("/units", "too_many", f"At most {MAX_UNITS} units at once.")
    errors: list[FieldError] = []
    for index, unit in enumerate(units):
        if fault := unit_error(unit.id, f"/units/{index}/unit_id"):
            errors.append(fault)
        if unit.attributes:
            errors += attribute_errors(unit.attributes, f"/units/{index}/attributes")
    if errors:
        raise Invalid.fields(*errors)


def _decide(
    definition: Definition,
    units: Sequence[Unit],
    sticky: Mapping[str, Sticky],
    holdout: HoldoutRule | None,
) -> list[Decision]:
    return [decide(definition, unit.id, unit.attributes, sticky.get(unit.id), holdout) for unit in units]


def _moment(definition: Definition, at: datetime | None) -> datetime:
    """When a unit that is assigned now was exposed: ``at``, as far as that is in the present phase."""
    now = timezone.now()
    if at is None or at > now:
        return now
    return at if definition.since is None else max(at, definition.since)


def _expose(
    definition: Definition,
    fresh: Mapping[str, Decision],
    now: datetime,
    moments: Mapping[str, datetime],
    said: Mapping[str, Mapping[str, Any]],
    later: list[Write] | None = None,
) -> dict[str, Sticky]:
    """Write the rows of ``fresh`` units, with what is ``said`` of their attributes; those that others wrote first,
    as they wrote them.
    """

    def store() -> dict[str, Sticky]:
        # Who calls this in a transaction does not go on where it fails.
        with transaction.atomic(savepoint=False):
            return _write(definition, fresh, now, moments, said, later)

    return retry_conflicts(store)


def _write(
    definition: Definition,
    fresh: Mapping[str, Decision],
    now: datetime,
    moments: Mapping[str, datetime],
    said: Mapping[str, Mapping[str, Any]],
    later: list[Write] | None,
) -> dict[str, Sticky]:
    numbers = resolve_entities([(definition.unit, unit) for unit in fresh])
    units = {number: unit for (_, unit), number in numbers.items()}
    columns, types, segments = _COLUMNS, _TYPES, None
    if definition.segments:
        columns, types, segments = (*columns, "segments"), (*types, "bigint"), packed_units(definition, said)
    rows = []
    # In one order, so that two batches of the same units never wait for each other in a circle.
    for number in sorted(units):
        unit = units[number]
        decision = fresh[unit]
        assert decision.assigned is not None
        at = moments.get(unit, now)
        chosen = decision.reason == Reason.OVERRIDE
        kept = () if segments is None else (segments[unit],)
        rows.append((definition.id, number, decision.assigned.id, definition.phase, at, chosen, *kept))
    inserted = insert_ignore_returning(
        connection, Assignment._meta.db_table, columns, types, rows, "entity_id"
    )
    if inserted:
        written = [row for row in rows if row[1] in inserted]
        writes: list[Write] = [_audit(definition, written)]
        writes += exposed(definition.id, definition.phase, written)
        if later is not None:
            later += writes
        else:
            write_all(connection, writes)
    lost = [number for number in units if number not in inserted]
    return {units[number]: row for number, row in sticky_rows(definition.id, lost).items()} if lost else {}


def _audit(definition: Definition, written: Collection[tuple[Any, ...]]) -> Insert:
    return audit_insert(
        action="expose",
        target_type="research.Experiment",
        target_id=str(definition.id),
        changes={"units": len(written)},
    )
