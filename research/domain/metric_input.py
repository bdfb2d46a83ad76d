"""What may stand in the metrics of an experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .values import is_number

METRIC_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z")
KINDS: Final = ("proportion", "mean", "count", "ratio", "quantile")
ROLES: Final = ("primary", "secondary", "guardrail")
DIRECTIONS: Final = ("increase", "decrease")
SCALES: Final = ("absolute", "relative")
AGGREGATES: Final = ("sum", "mean", "max", "last")
MISSING: Final = ("zero", "ignore")
EVENTS: Final = "events"
MAX_METRICS: Final = 100
FIELDS: Final = (
    "key", "kind", "role", "direction", "numerator", "denominator", "q", "mde", "margin", "scale",
    "aggregate", "missing", "winsorize",
)  # fmt: skip
_AGGREGATE: Final = {"proportion": "max", "count": "sum", "ratio": "sum", "mean": "mean", "quantile": EVENTS}
_ZERO: Final = frozenset({"proportion", "count", "ratio"})


@dataclass(frozen=True, slots=True)
class MetricInput:
    """One metric with every default filled in."""

    key: str
    kind: str
    role: str
    direction: str
    numerator: str
    denominator: str
    q: float | None
    mde: float | None
    margin: float | None
    scale: str
    aggregate: str
    missing: str
    winsorize: float | None


def parse_metrics(value: object, errors: list[FieldError]) -> list[MetricInput]:
    """Metrics of which exactly one is primary."""
    if value is None:
        errors.append(
            FieldError("/metrics", "required", "At least one is needed, and one has to be primary.")
        )
        return []
    if not isinstance(value, list):
        errors.append(FieldError("/metrics", "not_a_list", "Must be a list of metrics."))
        return []
    if len(value) > MAX_METRICS:
        errors.append(FieldError("/metrics", "too_many", f"At most {MAX_METRICS} metrics."))
        return []
    metrics: list[MetricInput] = []
    seen: set[str] = set()
    before = len(errors)
    for place, item in enumerate(value):
        pointer = f"/metrics/{place}"
        if not isinstance(item, Mapping):
            errors.append(FieldError(pointer, "not_an_object", "Must be an object with key, kind and role."))
            continue
        metric = _parse_metric(item, pointer, errors)
        if metric.key and metric.key in seen:
            errors.append(FieldError(f"{pointer}/key", "duplicate", "Another metric has this key."))
        seen.add(metric.key)
        metrics.append(metric)
    primary = sum(metric.role == "primary" for metric in metrics)
    if len(errors) == before and primary != 1:
        errors.append(FieldError("/metrics", "one_primary", f"Exactly one metric is primary, not {primary}."))
    return metrics


def _parse_metric(item: Mapping[str, Any], pointer: str, errors: list[FieldError]) -> MetricInput:
    for name in item:
        if name not in FIELDS:
            step = str(name).replace("~", "~0").replace("/", "~1")
            errors.append(FieldError(f"{pointer}/{step}", "unknown_field", "There is no such field."))
    kind = _choice(item, "kind", KINDS, None, pointer, errors)
    ratio, quantile = kind == "ratio", kind == "quantile"
    parts = {}
    for name in ("numerator", "denominator"):
        if ratio:
            parts[name] = _source(item.get(name), f"{pointer}/{name}", errors)
        elif item.get(name) is not None:
            errors.append(FieldError(f"{pointer}/{name}", "unexpected", "Goes with the kind ratio alone."))
    q = _number(item, "q", pointer, errors, least=0.0, most=1.0)
    if quantile and item.get("q") is None:
        errors.append(FieldError(f"{pointer}/q", "required", "Says which quantile, such as 0.95."))
    elif not quantile and item.get("q") is not None:
        errors.append(FieldError(f"{pointer}/q", "unexpected", "Goes with the kind quantile alone."))
    aggregate = _AGGREGATE.get(kind, "sum")
    if item.get("aggregate") is not None:
        if quantile:
            detail = "A quantile takes every event by itself."
            errors.append(FieldError(f"{pointer}/aggregate", "unexpected", detail))
        else:
            aggregate = _choice(item, "aggregate", AGGREGATES, None, pointer, errors)
    return MetricInput(
        key=_source(item.get("key"), f"{pointer}/key", errors),
        kind=kind,
        role=_choice(item, "role", ROLES, "secondary", pointer, errors),
        direction=_choice(item, "direction", DIRECTIONS, "increase", pointer, errors),
        numerator=parts.get("numerator", ""),
        denominator=parts.get("denominator", ""),
        q=q if quantile else None,
        mde=_number(item, "mde", pointer, errors, least=0.0),
        margin=_number(item, "margin", pointer, errors, least=0.0, or_equal=True),
        scale=_choice(item, "scale", SCALES, "absolute", pointer, errors),
        aggregate=aggregate,
        missing=_choice(item, "missing", MISSING, "zero" if kind in _ZERO else "ignore", pointer, errors),
        winsorize=_number(item, "winsorize", pointer, errors, least=0.0, most=1.0),
    )


def _choice(
    item: Mapping[str, Any],
    name: str,
    choices: tuple[str, ...],
    default: str | None,
    pointer: str,
    errors: list[FieldError],
) -> str:
    value = item.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, str) and value in choices:
        return value
    detail = "Is needed." if value is None else f"Is not one of {', '.join(choices)}."
    errors.append(FieldError(f"{pointer}/{name}", "required" if value is None else f"unknown_{name}", detail))
    return ""


def _source(value: object, pointer: str, errors: list[FieldError]) -> str:
    if value is None:
        errors.append(FieldError(pointer, "required", "Is needed."))
    elif not isinstance(value, str):
        errors.append(FieldError(pointer, "not_a_string", "Must be a string."))
    elif not METRIC_KEY.match(value):
        detail = "Is 1 to 100 of letters, digits and _ . : -, and begins with a letter or digit."
        errors.append(FieldError(pointer, "bad_key", detail))
    else:
        return value
    return ""


def _number(
    item: Mapping[str, Any],
    name: str,
    pointer: str,
    errors: list[FieldError],
    *,
    least: float,
    most: float | None = None,
    or_equal: bool = False,
) -> float | None:
    """A number strictly between ``least`` and ``most``, or None where there is none."""
    value = item.get(name)
    if value is None:
        return None
    if not is_number(value):
        errors.append(FieldError(f"{pointer}/{name}", "not_a_number", "Must be a number."))
        return None
    if value < least or (value == least and not or_equal) or (most is not None and value >= most):
        detail = f"Must be {'at least' if or_equal else 'above'} {least:g}"
        detail += "." if most is None else f" and below {most:g}."
        errors.append(FieldError(f"{pointer}/{name}", "out_of_range", detail))
        return None
    return float(value)
