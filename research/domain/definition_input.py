"""What may stand in the definition of an experiment; every fault is named by its field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .analysis_input import parse_analysis
from .metric_input import MetricInput, parse_metrics
from .targeting import parse_targeting
from .values import is_number, json_error, text_error

KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}\Z")
UNIT: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}\Z")
MAX_NAME: Final = 200
MAX_TEXT: Final = 10_000
MAX_SALT: Final = 255
MAX_VARIANTS: Final = 50
MAX_PAYLOAD: Final = 64 * 1024
WEIGHTS_OFF: Final = 0.0001
"""How far the sum of the weights may be from 1."""
THOUSANDTHS: Final = 1000
DEFAULT_UNIT: Final = "user"

FIELDS: Final = (
    "key", "name", "hypothesis", "owner", "unit", "salt", "variants", "coverage", "targeting",
    "exclusion_group", "exclusion_share", "metrics", "analysis",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VariantInput:
    """One arm."""

    key: str
    weight: float
    payload: Any


@dataclass(frozen=True, slots=True)
class DefinitionInput:
    """A definition that is whole and right; ``owner`` is the type and key of an entity."""

    key: str
    name: str
    hypothesis: str
    owner: tuple[str, str] | None
    unit: str
    salt: str
    variants: tuple[VariantInput, ...]
    coverage: float
    targeting: list[dict[str, Any]]
    exclusion_group: str | None
    exclusion_share: int | None
    metrics: tuple[MetricInput, ...]
    analysis: dict[str, Any]


def parse_definition(body: Mapping[str, Any], errors: list[FieldError]) -> DefinitionInput | None:
    """The definition that a body states; None and what is wrong with it in ``errors``."""
    before = len(errors)
    for name in body:
        if name not in FIELDS:
            errors.append(FieldError(f"/{_token(name)}", "unknown_field", "There is no such field."))
    key = parse_key(body.get("key"), "/key", errors)
    name = _text(body, "name", key, MAX_NAME, errors)
    hypothesis = _text(body, "hypothesis", "", MAX_TEXT, errors)
    owner = parse_owner(body.get("owner"), errors)
    unit = body.get("unit", DEFAULT_UNIT)
    if not isinstance(unit, str) or not UNIT.match(unit):
        errors.append(FieldError("/unit", "bad_unit", "Is the type of an entity, such as user or run."))
    salt = _text(body, "salt", "", MAX_SALT, errors)
    variants = parse_variants(body.get("variants"), errors)
    coverage = parse_share(body.get("coverage", 1.0), "/coverage", errors)
    targeting = parse_targeting(body.get("targeting", []), errors)
    group = body.get("exclusion_group")
    if group is not None:
        group = parse_key(group, "/exclusion_group", errors)
    share = _exclusion_share(body, errors)
    metrics = parse_metrics(body.get("metrics"), errors)
    analysis = parse_analysis(body.get("analysis", {}), errors)
    if len(errors) > before:
        return None
    assert isinstance(unit, str)
    return DefinitionInput(
        key=key,
        name=name,
        hypothesis=hypothesis,
        owner=owner,
        unit=unit,
        salt=salt,
        variants=tuple(variants),
        coverage=coverage,
        targeting=targeting,
        exclusion_group=group,
        exclusion_share=share,
        metrics=tuple(metrics),
        analysis=analysis,
    )


def parse_key(value: object, pointer: str, errors: list[FieldError]) -> str:
    """A key of lower-case letters, digits, ``_`` and ``-``."""
    if value is None:
        errors.append(FieldError(pointer, "required", "Is needed."))
    elif not isinstance(value, str):
        errors.append(FieldError(pointer, "not_a_string", "Must be a string."))
    elif not KEY.match(value):
        detail = "Is 1 to 100 of a-z, 0-9, _ and -, and begins with a letter or digit."
        errors.append(FieldError(pointer, "bad_key", detail))
    else:
        return value
    return ""


def parse_share(value: object, pointer: str, errors: list[FieldError]) -> float:
    """A number from 0 to 1."""
    if not is_number(value):
        errors.append(FieldError(pointer, "not_a_number", "Must be a number from 0 to 1."))
    elif not 0 <= value <= 1:
        errors.append(FieldError(pointer, "out_of_range", "Must be from 0 to 1."))
    else:
        return float(value)
    return 0.0


def parse_owner(value: object, errors: list[FieldError]) -> tuple[str, str] | None:
    """An entity as ``type/key``."""
    if value is None:
        return None
    if fault := text_error("/owner", value, 356):
        errors.append(fault)
        return None
    assert isinstance(value, str)
    kind, _, key = value.partition("/")
    if not UNIT.match(kind) or not key.strip() or len(key) > 255:
        errors.append(FieldError("/owner", "bad_owner", "Is written as type/id, such as team/growth."))
        return None
    return kind, key


def parse_variants(value: object, errors: list[FieldError]) -> list[VariantInput]:
    """Two or more arms, the first the baseline, whose weights sum to 1."""
    if value is None:
        errors.append(
            FieldError("/variants", "required", "Two or more are needed; the first is the baseline.")
        )
        return []
    if not isinstance(value, list):
        errors.append(FieldError("/variants", "not_a_list", "Must be a list of variants."))
        return []
    if not 2 <= len(value) <= MAX_VARIANTS:
        detail = f"An experiment has 2 to {MAX_VARIANTS} variants; the first is the baseline."
        errors.append(FieldError("/variants", "bad_count", detail))
        return []
    before = len(errors)
    variants: list[VariantInput] = []
    seen: set[str] = set()
    for place, item in enumerate(value):
        pointer = f"/variants/{place}"
        if not isinstance(item, Mapping):
            errors.append(FieldError(pointer, "not_an_object", "Must be an object with key and weight."))
            continue
        for name in item:
            if name not in ("key", "weight", "payload"):
                errors.append(
                    FieldError(f"{pointer}/{_token(name)}", "unknown_field", "There is no such field.")
                )
        key = parse_key(item.get("key"), f"{pointer}/key", errors)
        if key in seen:
            errors.append(FieldError(f"{pointer}/key", "duplicate", "Another variant has this key."))
        seen.add(key or f"/{place}")
        if "weight" in item:
            weight = parse_share(item["weight"], f"{pointer}/weight", errors)
        else:
            errors.append(FieldError(f"{pointer}/weight", "required", "Is needed."))
            weight = 0.0
        payload = item.get("payload", {})
        if fault := payload_error(payload, f"{pointer}/payload"):
            errors.append(fault)
        variants.append(VariantInput(key, weight, payload))
    total = sum(variant.weight for variant in variants)
    if len(errors) == before and abs(total - 1) > WEIGHTS_OFF + 1e-12:
        errors.append(FieldError("/variants", "bad_weights", f"The weights sum to {total:g}, not to 1."))
    return variants


def payload_error(payload: object, pointer: str) -> FieldError | None:
    """What is wrong with a payload: any JSON but null, of at most 64 KiB."""
    if payload is None:
        return FieldError(pointer, "null", "null means no variant: leave it out for an empty object.")
    if fault := json_error(payload, pointer):
        return fault
    if len(json.dumps(payload, ensure_ascii=False).encode()) > MAX_PAYLOAD:
        return FieldError(pointer, "too_large", f"Has more than {MAX_PAYLOAD} bytes.")
    return None


def _text(body: Mapping[str, Any], name: str, default: str, most: int, errors: list[FieldError]) -> str:
    value = body.get(name)
    if value is None or value == "":
        return default
    if fault := text_error(f"/{name}", value, most):
        errors.append(fault)
        return default
    return str(value)


def _exclusion_share(body: Mapping[str, Any], errors: list[FieldError]) -> int | None:
    value = body.get("exclusion_share")
    if value is None:
        return None
    if body.get("exclusion_group") is None:
        errors.append(FieldError("/exclusion_share", "unexpected", "Goes with an exclusion_group alone."))
        return None
    if not is_number(value) or not 0 < value <= 1:
        errors.append(FieldError("/exclusion_share", "out_of_range", "Must be a number above 0 up to 1."))
        return None
    share = round(value * THOUSANDTHS)
    if share < 1 or abs(share - value * THOUSANDTHS) > 1e-9:
        errors.append(FieldError("/exclusion_share", "too_precise", "At most 3 decimals."))
        return None
    return share


def _token(step: object) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
