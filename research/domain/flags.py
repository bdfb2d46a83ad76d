"""Which variant of a feature flag is served: a pure function of a definition and a context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from .assignment import Decision, Reason
from .hashing import Range, choose, seed_state, unit_interval_from
from .targeting import Attributes, Targeting, compile_targeting, targets


class FlagReason(StrEnum):
    """Why a value is served, in the words of the OpenFeature remote evaluation protocol."""

    STATIC = "STATIC"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"
    UNKNOWN = "UNKNOWN"


class TargetingKeyMissing(Exception):
    """A share of units decides, and the context names no unit."""


class _Nothing:
    """No value: the program's own default holds."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()


@dataclass(frozen=True, slots=True)
class FlagRule:
    """Serves ``variants[0]``, or splits units over ``variants`` by ``ranges`` where there are any."""

    targeting: Targeting
    variants: tuple[str, ...]
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class FlagDefinition:
    """All that decides what a flag serves. ``values`` are as they are sent; ``state`` is the seed's."""

    key: str
    kind: str
    values: Mapping[str, Any]
    default: str
    enabled: bool
    unit: str
    state: int
    rules: tuple[FlagRule, ...] = ()
    experiment: str | None = None
    field: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """What is answered about one flag; an empty ``variant`` and no value leave it to the program's default."""

    reason: FlagReason
    variant: str = ""
    value: Any = NOTHING
    metadata: Mapping[str, bool | str | int | float] | None = None


Assigned = Callable[[str, str], Served]
"""What an experiment of that key serves to a unit."""


def served_values(kind: str, variants: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are sent: where one number of a flag has a fraction, all are sent with one.

    Clients ask for integers or floats, and take neither for the other.
    """
    if kind == "number" and any(isinstance(value, float) for value in variants.values()):
        return {key: float(value) for key, value in variants.items()}
    return dict(variants)


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of a flag's type."""
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, (dict, list))


def split_ranges(weights: Sequence[float]) -> tuple[Range, ...]:
    """The range of each variant of a split, one after the other; what is left of 1 goes to nobody."""
    ranges = []
    start = 0.0
    for weight in weights:
        ranges.append((start, start + weight))
        start += weight
    return tuple(ranges)


def compile_flag(
    *,
    key: str,
    kind: str,
    variants: Mapping[str, Any],
    default: str,
    enabled: bool,
    unit: str,
    salt: str,
    rules: Sequence[Mapping[str, Any]],
    experiment: str | None,
    field: str,
) -> FlagDefinition:
    """A flag as it is stored, ready for :func:`serve`."""
    return FlagDefinition(
        key=key,
        kind=kind,
        values=served_values(kind, variants),
        default=default,
        enabled=enabled,
        unit=unit,
        state=seed_state(salt or key),
        rules=tuple(_rule(rule) for rule in rules),
        experiment=experiment,
        field=field,
    )


def _rule(rule: Mapping[str, Any]) -> FlagRule:
    targeting = compile_targeting(rule["targeting"])
    if "split" not in rule:
        return FlagRule(targeting, (rule["variant"],))
    split = rule["split"]
    return FlagRule(
        targeting,
        tuple(part["variant"] for part in split),
        split_ranges([part["weight"] for part in split]),
    )


def serve(flag: FlagDefinition, unit: str | None, attributes: Attributes, assigned: Assigned) -> Served:
    """What ``flag`` serves; ``assigned`` is asked only where its experiment decides.

    Raises :class:`TargetingKeyMissing` where a share of units decides and ``unit`` is None.
    """
    if not flag.enabled:
        return Served(FlagReason.DISABLED, flag.default)
    left_out = False
    for rule in flag.rules:
        if rule.targeting and not targets(rule.targeting, attributes):
            continue
        if not rule.ranges:
            reason = FlagReason.TARGETING_MATCH if rule.targeting else FlagReason.STATIC
            return _variant(flag, reason, rule.variants[0])
        if unit is None:
            raise TargetingKeyMissing
        number = choose(unit_interval_from(flag.state, unit), rule.ranges)
        if number is not None:
            return _variant(flag, FlagReason.SPLIT, rule.variants[number])
        left_out = True
    if flag.experiment is not None:
        if unit is None:
            raise TargetingKeyMissing
        return _of_experiment(flag, assigned(flag.experiment, unit))
    # Whom a split leaves out has the default by its hash, as others have their variants.
    return _variant(flag, FlagReason.SPLIT if left_out else FlagReason.STATIC, flag.default)


def _variant(flag: FlagDefinition, reason: FlagReason, variant: str) -> Served:
    return Served(reason, variant, flag.values[variant])


def _of_experiment(flag: FlagDefinition, found: Served) -> Served:
    if found.value is NOTHING:
        return Served(found.reason, flag.default, flag.values[flag.default], found.metadata)
    value = found.value
    if flag.field:
        value = value.get(flag.field) if isinstance(value, dict) else None
    if not fits(flag.kind, value):
        note = {**(found.metadata or {}), "fault": "payload_type"}
        return Served(FlagReason.UNKNOWN, flag.default, flag.values[flag.default], note)
    if flag.kind == "number" and isinstance(flag.values[flag.default], float):
        value = float(value)
    return Served(found.reason, found.variant, value, found.metadata)


_REASONS: Final = {
    Reason.ASSIGNED: FlagReason.SPLIT,
    Reason.STICKY: FlagReason.SPLIT,
    Reason.ARM_STOPPED: FlagReason.SPLIT,
    Reason.OVERRIDE: FlagReason.TARGETING_MATCH,
    Reason.NOT_RUNNING: FlagReason.DISABLED,
    Reason.NOT_TARGETED: FlagReason.STATIC,
    Reason.EXCLUDED: FlagReason.SPLIT,
    Reason.HOLDOUT: FlagReason.SPLIT,
    Reason.COVERAGE: FlagReason.SPLIT,
}


def served_arm(experiment: str, decision: Decision) -> Served:
    """What an experiment serves as a flag: the payload of the arm, or nothing; the reason stands in the metadata."""
    metadata: dict[str, bool | str | int | float] = {
        "experiment": experiment,
        "assignment": decision.reason.value,
        "in_experiment": decision.in_experiment,
    }
    if decision.phase is not None:
        metadata["phase"] = decision.phase
    reason = _REASONS[decision.reason]
    if decision.arm is None:
        return Served(reason, metadata=metadata)
    return Served(reason, decision.arm.key, decision.arm.payload, metadata)
