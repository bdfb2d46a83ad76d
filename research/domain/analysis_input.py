"""What may stand in the settings of an analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .segments import parse_segments
from .values import is_number

ENGINES: Final = ("sequential", "fixed", "group_sequential", "bayesian")
CORRECTIONS: Final = ("none", "holm", "bh")
SPENDINGS: Final = ("obrien_fleming", "pocock")
STRATA: Final = ("day", "covariate")
DEFAULTS: Final[Mapping[str, Any]] = {
    "engine": "sequential",
    "alpha": 0.05,
    "power": 0.8,
    "correction": "none",
    "cuped": False,
    "planned_looks": 5,
    "tuning_n": 5000,
    "spending": "obrien_fleming",
    "prior": None,
    "winsorize": None,
    "stratify": None,
    "segments": [],
    "min_runtime_days": 0,
}
_CHOICES: Final = {
    "engine": ENGINES,
    "correction": CORRECTIONS,
    "spending": SPENDINGS,
    "stratify": STRATA,
}
_WHOLE: Final = {"planned_looks": (1, 100), "tuning_n": (1, 10**9), "min_runtime_days": (0, 3650)}
_BETWEEN: Final = {"alpha": (0.0, 0.5), "power": (0.0, 1.0), "winsorize": (0.0, 1.0)}


def parse_analysis(value: object, errors: list[FieldError]) -> dict[str, Any]:
    """The settings with every default filled in; ``prior`` is a normal one of the relative lift, or None."""
    found = {**DEFAULTS, "segments": []}
    if not isinstance(value, Mapping):
        errors.append(FieldError("/analysis", "not_an_object", "Must be an object."))
        return found
    for name, item in value.items():
        pointer = f"/analysis/{str(name).replace('~', '~0').replace('/', '~1')}"
        if name not in DEFAULTS:
            errors.append(FieldError(pointer, "unknown_field", "There is no such field."))
        elif item is None and DEFAULTS[name] is None:
            continue
        elif name == "segments":
            found[name] = parse_segments(item, pointer, errors)
        elif (fault := _fault(name, item)) is not None:
            errors.append(FieldError(pointer, *fault))
        else:
            found[name] = item
    return found


def _fault(name: str, value: object) -> tuple[str, str] | None:
    if name in _CHOICES:
        choices = _CHOICES[name]
        return None if value in choices else (f"unknown_{name}", f"Is not one of {', '.join(choices)}.")
    if name == "cuped":
        return None if isinstance(value, bool) else ("not_a_truth", "Must be true or false.")
    if name in _WHOLE:
        low, high = _WHOLE[name]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return "out_of_range", f"Must be a whole number from {low} to {high}."
    if name in _BETWEEN:
        above, below = _BETWEEN[name]
        if is_number(value) and above < value < below:
            return None
        return "out_of_range", f"Must be a number above {above:g} and below {below:g}."
    return _prior_fault(value)


def _prior_fault(value: object) -> tuple[str, str] | None:
    if not isinstance(value, Mapping) or set(value) != {"mean", "sd"}:
        return "bad_prior", "Must be an object with mean and sd."
    mean, sd = value["mean"], value["sd"]
    if not is_number(mean) or not is_number(sd) or sd <= 0:
        return "bad_prior", "Both are numbers, and sd is above 0."
    return None
