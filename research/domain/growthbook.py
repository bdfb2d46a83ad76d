"""Experiments and flags as GrowthBook's SDKs read them, so that they decide as we do.

https://docs.growthbook.io/lib/build-your-own describes the format. What cannot be said in it raises
:class:`Inexpressible`, and is left out rather than said wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .assignment import Arm, Namespace
from .flags import fits, served_values, split_ranges
from .hashing import Range, bucket_ranges
from .versions import parse_version

HASH_VERSION: Final = 2
NAMESPACE_HASH_VERSION: Final = 1
_ORDER: Final = {"lt": "$lt", "lte": "$lte", "gt": "$gt", "gte": "$gte"}
_VERSIONS: Final = {
    "=": "$veq", "!=": "$vne", "<": "$vlt", "<=": "$vlte", ">": "$vgt", ">=": "$vgte"
}  # fmt: skip
_OPERATOR: Final = re.compile(r"(>=|<=|!=|>|<|=|\^|~)?\s*(.*)\Z", re.DOTALL)
_FLAGGED: Final = re.compile(r"\(\?[a-zA-Z-]|\\[pPzAQECx]|\[\[:")


class Inexpressible(Exception):
    """What GrowthBook's format has no words for."""


@dataclass(frozen=True, slots=True)
class RunningExperiment:
    """A running experiment with its open phase, as it is stored."""

    key: str
    name: str
    unit: str
    phase: int
    seed: str
    weights: Sequence[float]
    coverage: float
    targeting: Sequence[Mapping[str, Any]]
    arms: Sequence[Arm]
    namespace: Namespace | None = None
    overrides: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holdout:
    """The share of all units that no experiment takes in."""

    share: float
    salt: str


@dataclass(frozen=True, slots=True)
class EnabledFlag:
    """A flag that is on, as it is stored; ``experiment`` is a key."""

    key: str
    kind: str
    variants: Mapping[str, Any]
    default: str
    unit: str
    salt: str
    rules: Sequence[Mapping[str, Any]]
    experiment: str | None = None
    field: str = ""


def experiment_feature(experiment: RunningExperiment, holdout: Holdout | None) -> dict[str, Any]:
    """The feature of an experiment: its payloads, and null for whoever takes no part."""
    rules = _experiment_rules(experiment, holdout, lambda payload: payload)
    return {"defaultValue": None, "rules": rules}


def flag_feature(
    flag: EnabledFlag, experiments: Mapping[str, RunningExperiment], holdout: Holdout | None
) -> dict[str, Any]:
    """The feature of a flag. Its experiment's rules come after its own, where it is among ``experiments``."""
    values = served_values(flag.kind, flag.variants)
    default = values[flag.default]
    rules: list[dict[str, Any]] = []
    for place, rule in enumerate(flag.rules):
        condition = condition_of(rule["targeting"])
        made: dict[str, Any] = {"id": f"{flag.key}-{place}"}
        if condition:
            made["condition"] = condition
        if "split" not in rule:
            rules.append({**made, "force": values[rule["variant"]]})
            continue
        ranges = split_ranges([part["weight"] for part in rule["split"]])
        for part, span in zip(rule["split"], ranges, strict=True):
            share = _share(flag.unit, flag.salt or flag.key, span)
            rules.append({**made, **share, "force": values[part["variant"]]})
    if flag.experiment is not None and flag.experiment in experiments:

        def value_of(payload: Any) -> Any:
            value = payload
            if flag.field:
                value = payload.get(flag.field) if isinstance(payload, dict) else None
            if not fits(flag.kind, value):
                return default
            return float(value) if flag.kind == "number" and isinstance(default, float) else value

        rules += _experiment_rules(experiments[flag.experiment], holdout, value_of)
    return {"defaultValue": default, "rules": rules}


def _experiment_rules(
    experiment: RunningExperiment, holdout: Holdout | None, value_of: Callable[[Any], Any]
) -> list[dict[str, Any]]:
    """First whom somebody chose an arm for, then everyone by hash, then new units of stopped arms."""
    _check_attribute(experiment.unit)
    rules: list[dict[str, Any]] = []
    values = [value_of(arm.payload) for arm in experiment.arms]
    for place, arm in enumerate(experiment.arms):
        units = sorted(unit for unit, chosen in experiment.overrides.items() if chosen == place)
        if units:
            condition = {experiment.unit: {"$in": units}}
            rules.append({"id": f"{experiment.key}-override-{arm.key}", "condition": condition}
                         | {"force": values[place]})  # fmt: skip
    stopped = [place for place, arm in enumerate(experiment.arms) if arm.stopped]
    who: dict[str, Any] = {}
    if condition := condition_of(experiment.targeting):
        who["condition"] = condition
    if holdout is not None or (stopped and experiment.namespace is not None):
        who["filters"] = _filters(experiment, holdout)
    elif experiment.namespace is not None:
        namespace = experiment.namespace
        who["namespace"] = [namespace.group, namespace.start / 1000, namespace.end / 1000]
    rule: dict[str, Any] = {
        "id": experiment.key,
        "key": experiment.key,
        "name": experiment.name,
        "phase": str(experiment.phase),
        "variations": values,
        "weights": list(experiment.weights),
        "coverage": experiment.coverage,
        "meta": [{"key": arm.key} for arm in experiment.arms],
        "hashAttribute": experiment.unit,
        "hashVersion": HASH_VERSION,
        "seed": experiment.seed,
        **who,
    }
    if not stopped:
        return [*rules, rule]
    ranges = bucket_ranges(experiment.weights, experiment.coverage)
    rule["ranges"] = [
        [start, start if place in stopped else end] for place, (start, end) in enumerate(ranges)
    ]
    rules.append(rule)
    for place in stopped:
        share = _share(experiment.unit, experiment.seed, ranges[place])
        name = f"{experiment.key}-stopped-{experiment.arms[place].key}"
        rules.append({"id": name, **share, **who, "force": values[0]})
    return rules


def _share(unit: str, seed: str, span: Range) -> dict[str, Any]:
    _check_attribute(unit)
    return {"hashAttribute": unit, "hashVersion": HASH_VERSION, "seed": seed, "range": list(span)}


def _filters(experiment: RunningExperiment, holdout: Holdout | None) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = []
    if experiment.namespace is not None:
        namespace = experiment.namespace
        filters.append(
            {
                "attribute": experiment.unit,
                "seed": f"__{namespace.group}",
                "hashVersion": NAMESPACE_HASH_VERSION,
                "ranges": [[namespace.start / 1000, namespace.end / 1000]],
            }
        )
    if holdout is not None:
        filters.append(
            {
                "attribute": experiment.unit,
                "seed": holdout.salt,
                "hashVersion": HASH_VERSION,
                "ranges": [[holdout.share, 1]],
            }
        )
    return filters


def condition_of(rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Targeting rules as a condition; an empty one for none. Raises :class:`Inexpressible`."""
    made = [_condition(_check_attribute(rule["attribute"]), rule["op"], rule["value"]) for rule in rules]
    if len(made) < 2:
        return made[0] if made else {}
    return {"$and": made}


def _check_attribute(name: str) -> str:
    if "." in name or name.startswith("$"):
        raise Inexpressible(f"An attribute named {name!r} would be read as a path or an operator.")
    return name


def _condition(attribute: str, op: str, value: Any) -> dict[str, Any]:
    if op == "semver":
        return _version_condition(attribute, value)
    return {attribute: _test(op, value)}


def _test(op: str, value: Any) -> dict[str, Any]:
    if op == "exists":
        return {"$exists": value}
    if op in ("eq", "in"):
        return {"$in": _spellings([value] if op == "eq" else value)}
    if op in ("ne", "not_in"):
        return {"$nin": _spellings([value] if op == "ne" else value)}
    if op == "matches":
        if _FLAGGED.search(value):
            raise Inexpressible(f"The pattern {value!r} is written in a way that only RE2 reads.")
        return {"$regex": value}
    return {_ORDER[op]: value}


def _spellings(values: Sequence[Any]) -> list[Any]:
    """Values, and the other types that we take for them: SDKs compare types as well."""
    found: list[Any] = []
    for value in values:
        found.append(value)
        if isinstance(value, bool):
            found += ["true", "True", "TRUE"] if value else ["false", "False", "FALSE"]
        elif isinstance(value, (int, float)):
            found.append(str(int(value)) if float(value).is_integer() else repr(value))
        elif value in ("true", "false"):
            found.append(value == "true")
        elif re.fullmatch(r"0|-?[1-9]\d{0,14}", value):
            found.append(int(value))
    return found


def _version_condition(attribute: str, text: str) -> dict[str, Any]:
    """A range of versions: alternatives, in each of which every comparison has to hold."""
    alternatives = []
    for alternative in text.split("||"):
        words = re.sub(r"(>=|<=|!=|>|<|=|\^|~)\s+", r"\1", alternative).replace(",", " ").split()
        made: list[dict[str, Any]] = [
            {attribute: {operator: version}} for word in words for operator, version in _comparisons(word)
        ]
        # A version that is missing differs from every other in their reading, and from none in ours.
        made += [{attribute: {"$exists": True}}] if any("!=" in word for word in words) else []
        alternatives.append(made[0] if len(made) == 1 else {"$and": made})
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def _comparisons(word: str) -> list[tuple[str, str]]:
    matched = _OPERATOR.match(word)
    assert matched is not None
    operator, text = matched[1] or "=", matched[2]
    key = parse_version(text)
    assert key is not None
    plain = text.lstrip("vV").partition("+")[0]
    core, dash, before = plain.partition("-")
    low = f"{key[0]}.{key[1]}.{key[2]}{dash}{before}"
    if operator not in ("^", "~"):
        return [(_VERSIONS[operator], low)]
    parts = core.count(".") + 1
    if operator == "~":
        high = (key[0], key[1] + 1, 0) if parts > 1 else (key[0] + 1, 0, 0)
    elif key[0] or parts == 1:
        high = (key[0] + 1, 0, 0)
    else:
        high = (0, key[1] + 1, 0) if key[1] or parts == 2 else (0, 0, key[2] + 1)
    # Before its first pre-release: those of the upper end are left out as well.
    return [("$vgte", low), ("$vlt", f"{high[0]}.{high[1]}.{high[2]}-0")]
