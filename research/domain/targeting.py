"""Targeting rules: which units an experiment is for.

A rule compares one attribute with a value, and decides how: where the value is a number, the attribute is
read as a number, also where it came as text. An attribute that is missing, or cannot be read that way, meets
``ne`` and ``not_in`` and no other operator. Of a list of values one has to be equal (none for ``ne`` and
``not_in``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final

import re2

from agent_factory_site.common.errors import FieldError

from .values import is_number, text_error
from .versions import compile_range

OPERATORS: Final = ("eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "matches", "exists", "semver")
MAX_RULES: Final = 50
MAX_VALUES: Final = 1000
MAX_TEXT: Final = 1000
MAX_ATTRIBUTE: Final = 100
PATTERN_MEMORY: Final = 1 << 20
"""Bytes a compiled pattern may take."""
_LARGEST: Final = math.nextafter(math.inf, 0.0)

Attributes = Mapping[str, Any]
Test = Callable[[Any], bool]
Targeting = tuple[tuple[str, Test], ...]
"""Attributes and what has to hold for them."""

_ORDER: Final = {"lt": lt, "lte": le, "gt": gt, "gte": ge}


def parse_targeting(
    value: object, errors: list[FieldError], pointer: str = "/targeting"
) -> list[dict[str, Any]]:
    """The rules as they are stored; what is wrong with them is added to ``errors``."""
    if not isinstance(value, list):
        errors.append(FieldError(pointer, "not_a_list", "Must be a list of rules."))
        return []
    if len(value) > MAX_RULES:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_RULES} rules."))
        return []
    rules = []
    for place, rule in enumerate(value):
        found = _parse_rule(rule, errors, f"{pointer}/{place}")
        if found is not None:
            rules.append(found)
    return rules


def _parse_rule(rule: object, errors: list[FieldError], pointer: str) -> dict[str, Any] | None:
    if not isinstance(rule, Mapping):
        errors.append(FieldError(pointer, "not_an_object", "Must be an object with attribute, op and value."))
        return None
    before = len(errors)
    for name in rule:
        if name not in ("attribute", "op", "value"):
            errors.append(FieldError(f"{pointer}/{_token(name)}", "unknown_field", "There is no such field."))
    attribute, op = rule.get("attribute"), rule.get("op")
    if fault := text_error(f"{pointer}/attribute", attribute, MAX_ATTRIBUTE):
        errors.append(fault)
    if not isinstance(op, str) or op not in OPERATORS:
        errors.append(
            FieldError(f"{pointer}/op", "unknown_operator", f"Is not one of {', '.join(OPERATORS)}.")
        )
        return None
    value = rule.get("value", True) if op == "exists" else rule.get("value")
    if "value" not in rule and op != "exists":
        errors.append(FieldError(f"{pointer}/value", "required", "Is needed."))
    else:
        errors += _value_errors(op, value, f"{pointer}/value")
    return None if len(errors) > before else {"attribute": attribute, "op": op, "value": value}


def _value_errors(op: str, value: object, pointer: str) -> list[FieldError]:
    if op in ("in", "not_in"):
        if not isinstance(value, list) or not value:
            return [FieldError(pointer, "not_a_list", "Must be a list of texts, numbers or truth values.")]
        if len(value) > MAX_VALUES:
            return [FieldError(pointer, "too_many", f"At most {MAX_VALUES} values.")]
        return [
            fault for place, item in enumerate(value) for fault in _scalar_errors(item, f"{pointer}/{place}")
        ]
    if op == "exists":
        return (
            [] if isinstance(value, bool) else [FieldError(pointer, "not_a_truth", "Must be true or false.")]
        )
    if op in ("matches", "semver"):
        if fault := text_error(pointer, value, MAX_TEXT):
            return [fault]
        assert isinstance(value, str)
        if op == "semver":
            if compile_range(value) is None:
                return [
                    FieldError(pointer, "bad_version", "Must be a version or a range such as >=1.2.0 <2.")
                ]
            return []
        if (reason := _compile_pattern(value)[1]) is not None:
            return [FieldError(pointer, "bad_pattern", f"Is not a regular expression of RE2: {reason}.")]
        return []
    if op in _ORDER and isinstance(value, bool):
        return [FieldError(pointer, "not_ordered", "Must be a number or a text.")]
    return _scalar_errors(value, pointer)


def _scalar_errors(value: object, pointer: str) -> list[FieldError]:
    if isinstance(value, bool):
        return []
    if isinstance(value, str):
        # An empty text is a value like any other.
        fault = text_error(pointer, value, MAX_TEXT) if value else None
        return [fault] if fault else []
    if is_number(value):
        return []
    return [FieldError(pointer, "bad_value", "Must be a text, a number, true or false.")]


def _token(step: object) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _compile_pattern(pattern: str) -> tuple[Any, str | None]:
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options), None
    except re2.error as error:
        said = error.args[0] if error.args else b""
        return None, said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def compile_targeting(rules: Sequence[Mapping[str, Any]]) -> Targeting:
    """Rules as :func:`parse_targeting` returned them, ready for :func:`targets`."""
    return tuple((rule["attribute"], _test(rule["op"], rule["value"])) for rule in rules)


def targets(targeting: Targeting, attributes: Attributes) -> bool:
    """Whether every rule holds."""
    return all(test(attributes.get(attribute)) for attribute, test in targeting)


def as_text(value: Any) -> str | None:
    """An attribute read as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def as_number(value: Any) -> int | float | None:
    """An attribute read as a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        # Beyond a double there is nothing to compare with.
        return value if abs(value) <= _LARGEST else None
    if not isinstance(value, str) or "_" in value:
        return None
    if value.isascii() and value.isdecimal() and len(value) < 19:
        return int(value)
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def as_truth(value: Any) -> bool | None:
    """An attribute read as true or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return None


def _test(op: str, value: Any) -> Test:
    if op == "exists":
        return _existing if value else _missing
    if op in ("eq", "in"):
        return _among([value] if op == "eq" else value)
    if op in ("ne", "not_in"):
        inside = _among([value] if op == "ne" else value)
        return lambda attribute: not inside(attribute)
    if op == "matches":
        return _matching(value)
    if op == "semver":
        return _versioned(value)
    return _ordered(op, value)


def _existing(attribute: Any) -> bool:
    return attribute is not None


def _missing(attribute: Any) -> bool:
    return attribute is None


def _among(values: Sequence[Any]) -> Test:
    texts = frozenset(value for value in values if isinstance(value, str))
    truths = frozenset(value for value in values if isinstance(value, bool))
    numbers = frozenset(value for value in values if is_number(value))

    def equal(attribute: Any) -> bool:
        if attribute is None:
            return False
        if attribute.__class__ is str and attribute in texts:
            return True
        if isinstance(attribute, list):
            return any(equal(item) for item in attribute)
        return (
            bool(texts)
            and as_text(attribute) in texts
            or bool(numbers)
            and as_number(attribute) in numbers
            or bool(truths)
            and as_truth(attribute) in truths
        )

    return equal


def _ordered(op: str, value: Any) -> Test:
    compare = _ORDER[op]
    read: Callable[[Any], Any] = as_text if isinstance(value, str) else as_number

    def ordered(attribute: Any) -> bool:
        found = read(attribute)
        return found is not None and bool(compare(found, value))

    return ordered


def _matching(pattern: str) -> Test:
    search = _compile_pattern(pattern)[0].search

    def matches(attribute: Any) -> bool:
        text = as_text(attribute)
        return text is not None and search(text) is not None

    return matches


def _versioned(wanted: str) -> Test:
    holds = compile_range(wanted)
    assert holds is not None

    def versioned(attribute: Any) -> bool:
        text = as_text(attribute)
        return text is not None and holds(text)

    return versioned
