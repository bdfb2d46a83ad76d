"""What may stand in a feature flag; every fault is named by its field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .definition_input import DEFAULT_UNIT, MAX_NAME, MAX_SALT, MAX_TEXT, UNIT, WEIGHTS_OFF, payload_error
from .flags import fits
from .targeting import parse_targeting
from .values import is_number, text_error

KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
KINDS: Final = ("boolean", "string", "number", "object")
KIND_WORDS: Final = {
    "boolean": "true or false",
    "string": "a string",
    "number": "a number",
    "object": "an object or a list",
}
MAX_VARIANTS: Final = 50
MAX_RULES: Final = 50
ON_OFF: Final = {"on": True, "off": False}
"""The variants of a boolean flag that names none."""


@dataclass(frozen=True, slots=True)
class FlagInput:
    """A flag that is whole and right."""

    key: str
    name: str
    description: str
    kind: str
    variants: dict[str, Any]
    default_variant: str
    enabled: bool
    unit: str
    salt: str
    rules: list[dict[str, Any]]
    experiment: str | None
    experiment_field: str


def parse_flag(body: Mapping[str, Any], errors: list[FieldError]) -> FlagInput | None:
    """The flag that a body states; None and what is wrong with it in ``errors``."""
    before = len(errors)
    key = _key(body.get("key"), "/key", errors)
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        code = "required" if kind is None else "unknown_type"
        errors.append(FieldError("/type", code, f"Is one of {', '.join(KINDS)}."))
        kind = ""
    name = _text(body, "name", MAX_NAME, errors)
    description = _text(body, "description", MAX_TEXT, errors)
    salt = _text(body, "salt", MAX_SALT, errors)
    unit = body.get("unit", DEFAULT_UNIT)
    if not isinstance(unit, str) or not UNIT.match(unit):
        errors.append(FieldError("/unit", "bad_unit", "Is the type of an entity, such as user or run."))
    enabled = body.get("enabled", False)
    if not isinstance(enabled, bool):
        errors.append(FieldError("/enabled", "not_a_truth", "Must be true or false."))
    named = body.get("variants")
    # Without a type that is known nothing can be missing.
    assumed = named is None and kind in ("boolean", "")
    variants = _variants(dict(ON_OFF) if assumed else named, kind, errors)
    chosen = body.get("default_variant", "off" if assumed else None)
    default = _choice(chosen, variants, "/default_variant", errors)
    rules = _rules(body.get("rules", []), variants, errors)
    experiment = body.get("experiment")
    if experiment is not None and (fault := text_error("/experiment", experiment, 100)):
        errors.append(fault)
    field = _text(body, "experiment_field", 100, errors)
    if field and experiment is None:
        errors.append(FieldError("/experiment_field", "unexpected", "Goes with an experiment alone."))
    if not field and experiment is not None and kind not in ("object", ""):
        detail = f"Names the field of the payload that is {KIND_WORDS[kind]}."
        errors.append(FieldError("/experiment_field", "required", detail))
    if len(errors) > before:
        return None
    return FlagInput(
        key=key,
        name=name,
        description=description,
        kind=kind,
        variants=variants,
        default_variant=default,
        enabled=bool(enabled),
        unit=str(unit),
        salt=salt,
        rules=rules,
        experiment=experiment,
        experiment_field=field,
    )


def _key(value: object, pointer: str, errors: list[FieldError]) -> str:
    if value is None or value == "":
        errors.append(FieldError(pointer, "required", "Is needed."))
    elif not isinstance(value, str):
        errors.append(FieldError(pointer, "not_a_string", "Must be a string."))
    elif not KEY.match(value):
        detail = "Is 1 to 100 letters, digits, '.', '_' and '-', and begins with a letter or digit."
        errors.append(FieldError(pointer, "bad_key", detail))
    else:
        return value
    return ""


def _text(body: Mapping[str, Any], name: str, most: int, errors: list[FieldError]) -> str:
    value = body.get(name)
    if value is None or value == "":
        return ""
    if fault := text_error(f"/{name}", value, most):
        errors.append(fault)
        return ""
    return str(value)


def _variants(value: object, kind: str, errors: list[FieldError]) -> dict[str, Any]:
    if value is None:
        errors.append(FieldError("/variants", "required", "Names at least one variant and its value."))
        return {}
    if not isinstance(value, Mapping):
        errors.append(FieldError("/variants", "not_an_object", "Must be an object of keys and values."))
        return {}
    if not 1 <= len(value) <= MAX_VARIANTS:
        errors.append(FieldError("/variants", "bad_count", f"A flag has 1 to {MAX_VARIANTS} variants."))
        return {}
    for key, inner in value.items():
        pointer = f"/variants/{_token(key)}"
        _key(key, pointer, errors)
        if fault := payload_error(inner, pointer):
            errors.append(fault)
        elif kind and not fits(kind, inner):
            errors.append(FieldError(pointer, "wrong_type", f"Must be {KIND_WORDS[kind]}."))
    return dict(value)


def _choice(value: object, variants: Mapping[str, Any], pointer: str, errors: list[FieldError]) -> str:
    if value is None:
        errors.append(FieldError(pointer, "required", "Is needed."))
    elif not isinstance(value, str):
        errors.append(FieldError(pointer, "not_a_string", "Must be a string."))
    elif variants and value not in variants:
        errors.append(FieldError(pointer, "unknown_variant", f"Is not one of {', '.join(variants)}."))
    else:
        return value
    return ""


def _rules(value: object, variants: Mapping[str, Any], errors: list[FieldError]) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        errors.append(FieldError("/rules", "not_a_list", "Must be a list of rules."))
        return []
    if len(value) > MAX_RULES:
        errors.append(FieldError("/rules", "too_many", f"At most {MAX_RULES} rules."))
        return []
    return [_rule(rule, f"/rules/{place}", variants, errors) for place, rule in enumerate(value)]


def _rule(
    rule: object, pointer: str, variants: Mapping[str, Any], errors: list[FieldError]
) -> dict[str, Any]:
    if not isinstance(rule, Mapping):
        detail = "Must be an object with targeting, and variant or split."
        errors.append(FieldError(pointer, "not_an_object", detail))
        return {}
    for name in rule:
        if name not in ("targeting", "variant", "split"):
            errors.append(FieldError(f"{pointer}/{_token(name)}", "unknown_field", "There is no such field."))
    stored: dict[str, Any] = {
        "targeting": parse_targeting(rule.get("targeting", []), errors, f"{pointer}/targeting")
    }
    if "split" not in rule:
        stored["variant"] = _choice(rule.get("variant"), variants, f"{pointer}/variant", errors)
        return stored
    if "variant" in rule:
        errors.append(FieldError(f"{pointer}/variant", "unexpected", "Goes without a split."))
    stored["split"] = _split(rule["split"], f"{pointer}/split", variants, errors)
    return stored


def _split(
    value: object, pointer: str, variants: Mapping[str, Any], errors: list[FieldError]
) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        errors.append(FieldError(pointer, "not_a_list", "Must be a list of variants with weights."))
        return []
    if len(value) > MAX_VARIANTS:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_VARIANTS} parts."))
        return []
    before = len(errors)
    parts: list[dict[str, Any]] = []
    for place, part in enumerate(value):
        here = f"{pointer}/{place}"
        if not isinstance(part, Mapping):
            errors.append(FieldError(here, "not_an_object", "Must be an object with variant and weight."))
            continue
        for name in part:
            if name not in ("variant", "weight"):
                errors.append(
                    FieldError(f"{here}/{_token(name)}", "unknown_field", "There is no such field.")
                )
        variant = _choice(part.get("variant"), variants, f"{here}/variant", errors)
        weight = part.get("weight")
        if not is_number(weight) or not 0 <= weight <= 1:
            errors.append(FieldError(f"{here}/weight", "out_of_range", "Must be a number from 0 to 1."))
            weight = 0.0
        parts.append({"variant": variant, "weight": float(weight)})
    total = sum(part["weight"] for part in parts)
    if len(errors) == before and total > 1 + WEIGHTS_OFF:
        errors.append(FieldError(pointer, "bad_weights", f"The weights sum to {total:g}, more than 1."))
    return parts


def _token(step: object) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
