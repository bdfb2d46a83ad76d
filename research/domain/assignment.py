"""Who gets which arm: a pure function of a definition and a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from .hashing import Range, choose, namespace_interval, unit_interval_from
from .targeting import Attributes, Targeting, targets

CLOSED: Final = frozenset({"stopped", "archived"})


class Reason(StrEnum):
    """Why a unit is served what it is served."""

    ASSIGNED = "assigned"
    STICKY = "sticky"
    OVERRIDE = "override"
    ARM_STOPPED = "arm_stopped"
    NOT_RUNNING = "not_running"
    NOT_TARGETED = "not_targeted"
    EXCLUDED = "excluded"
    HOLDOUT = "holdout"
    COVERAGE = "coverage"


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant: ``id`` is its row's, ``payload`` what is served."""

    id: int
    key: str
    payload: Any
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Namespace:
    """The part ``[start, end)`` of an exclusion group, in thousandths."""

    group: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HoldoutRule:
    """The share of all units that no experiment takes in; ``state`` is its salt's, see ``seed_state``."""

    share: float
    state: int


@dataclass(frozen=True, slots=True)
class Definition:
    """All that decides who gets what in one experiment, ready for use.

    ``arms[0]`` is the baseline. ``phase`` is the id of the open phase, None before the start, ``state`` the hash
    state of its seed, ``since`` its beginning, ``ranges`` those of the arms. ``phases`` maps ids of all phases to
    their numbers, ``overrides`` units to arms; ``segments`` are the attributes that are kept of a unit.
    """

    id: UUID
    key: str
    unit: str
    status: str
    arms: tuple[Arm, ...]
    phase: int | None
    phases: Mapping[int, int]
    state: int
    ranges: tuple[Range, ...]
    targeting: Targeting = ()
    namespace: Namespace | None = None
    overrides: Mapping[str, int] = field(default_factory=dict)
    since: datetime | None = None
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sticky:
    """The stored assignment of a unit: ids of its variant and of the phase of its first exposure."""

    variant: int
    phase: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What a unit is served.

    ``arm`` is what it gets: None for nothing, the baseline where its own arm is stopped. ``assigned`` is the arm
    it is analysed in, with its exposure still to be written where ``is_new``. ``phase`` is a phase's number.
    """

    reason: Reason
    arm: Arm | None = None
    assigned: Arm | None = None
    phase: int | None = None
    in_experiment: bool = False
    is_new: bool = False


_NOT_RUNNING: Final = Decision(Reason.NOT_RUNNING)
_NOT_TARGETED: Final = Decision(Reason.NOT_TARGETED)
_EXCLUDED: Final = Decision(Reason.EXCLUDED)
_HOLDOUT: Final = Decision(Reason.HOLDOUT)
_COVERAGE: Final = Decision(Reason.COVERAGE)


def decide(
    definition: Definition,
    unit: str,
    attributes: Attributes,
    sticky: Sticky | None = None,
    holdout: HoldoutRule | None = None,
) -> Decision:
    """The arm of ``unit``: what was chosen for it by hand, else what it has, else what its hash says.

    Targeting, exclusion, holdout and coverage are asked in this order, and only for units not yet exposed.
    """
    chosen = definition.overrides.get(unit)
    if chosen is not None and definition.status not in CLOSED:
        arm = definition.arms[chosen]
        number = None if definition.phase is None else definition.phases[definition.phase]
        is_new = sticky is None and definition.status == "running"
        return Decision(Reason.OVERRIDE, arm, arm, number, True, is_new)
    if definition.status != "running" or definition.phase is None:
        return _NOT_RUNNING
    if sticky is not None:
        return _as_before(definition, sticky)
    if definition.targeting and not targets(definition.targeting, attributes):
        return _NOT_TARGETED
    namespace = definition.namespace
    if namespace is not None:
        place = namespace_interval(namespace.group, unit)
        if not namespace.start / 1000 <= place < namespace.end / 1000:
            return _EXCLUDED
    if holdout is not None and unit_interval_from(holdout.state, unit) < holdout.share:
        return _HOLDOUT
    number = choose(unit_interval_from(definition.state, unit), definition.ranges)
    if number is None:
        return _COVERAGE
    arm = definition.arms[number]
    phase = definition.phases[definition.phase]
    if arm.stopped:
        return Decision(Reason.ARM_STOPPED, definition.arms[0], None, phase)
    return Decision(Reason.ASSIGNED, arm, arm, phase, True, True)


def _as_before(definition: Definition, sticky: Sticky) -> Decision:
    arm = next(arm for arm in definition.arms if arm.id == sticky.variant)
    phase = definition.phases.get(sticky.phase)
    if arm.stopped:
        return Decision(Reason.ARM_STOPPED, definition.arms[0], arm, phase, True)
    return Decision(Reason.STICKY, arm, arm, phase, True)
