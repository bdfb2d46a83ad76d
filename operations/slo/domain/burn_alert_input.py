"""What may stand in the burn rules of an objective; every fault is named by its field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast

from agent_factory_site.common.errors import FieldError

from .burn_alerts import RECIPES, BurnRule, rule_key, rules_for, unreachable
from .values import check_fields, one_of, parse_decimal, parse_key, parse_length
from .windows import Window, format_duration, nominal_length

MAX_RULES: Final = 10
MAX_FACTOR: Final = 100_000
SEVERITIES: Final = ("page", "ticket")


def fitted_rules(burn_alerts: str | tuple[BurnRule, ...], window: Window) -> tuple[BurnRule, ...]:
    """The rules of an objective; a named set is fitted to its window."""
    if isinstance(burn_alerts, str):
        return rules_for(burn_alerts, nominal_length(window))
    return burn_alerts


def parse_burn_alerts(
    value: object, window: Window | None, pointer: str, errors: list[FieldError]
) -> str | tuple[BurnRule, ...] | None:
    """``default``, ``extended``, or a list of ``{"long", "short"?, "factor", "severity"?, "key"?}``.

    The short window is a twelfth of the long one unless said. An empty list means no rules.
    """
    if isinstance(value, str) and value in RECIPES:
        return value
    if not isinstance(value, list):
        detail = 'Is "default", "extended" or a list of rules.'
        errors.append(FieldError(pointer, "bad_value", detail))
        return None
    if len(value) > MAX_RULES:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_RULES} rules."))
        return None
    before = len(errors)
    rules: list[BurnRule] = []
    for place, item in enumerate(value):
        rule = _rule(item, window, f"{pointer}/{place}", errors)
        if rule is not None and rule.key in {other.key for other in rules}:
            errors.append(
                FieldError(f"{pointer}/{place}", "duplicate", f"Another rule is called {rule.key}.")
            )
        elif rule is not None:
            rules.append(rule)
    return None if len(errors) > before else tuple(rules)


def _rule(item: object, window: Window | None, pointer: str, errors: list[FieldError]) -> BurnRule | None:
    before = len(errors)
    if not isinstance(item, Mapping):
        errors.append(FieldError(pointer, "not_an_object", "Is an object with long, short and factor."))
        return None
    check_fields(item, ("key", "long", "short", "factor", "severity"), pointer, errors)
    long = parse_length(item.get("long"), f"{pointer}/long", errors)
    if long is not None and window is not None and long >= nominal_length(window):
        detail = f"Is shorter than the window, which is {format_duration(nominal_length(window))}."
        errors.append(FieldError(f"{pointer}/long", "out_of_range", detail))
    if item.get("short") is not None:
        short = parse_length(item["short"], f"{pointer}/short", errors)
    else:
        short = (
            None
            if long is None
            else max(timedelta(minutes=1), timedelta(minutes=long // timedelta(hours=1) * 5))
        )
    if long is not None and short is not None and short >= long:
        errors.append(FieldError(f"{pointer}/short", "out_of_range", "Is shorter than the long window."))
    factor = parse_decimal(item.get("factor"), f"{pointer}/factor", errors, 6)
    if factor is not None and not 0 < factor <= MAX_FACTOR:
        detail = f"Is above 0 and up to {MAX_FACTOR}."
        errors.append(FieldError(f"{pointer}/factor", "out_of_range", detail))
    severity = one_of(item.get("severity", "page"), SEVERITIES, f"{pointer}/severity", errors)
    key = "" if item.get("key") is None else parse_key(item["key"], f"{pointer}/key", errors)
    if len(errors) > before or long is None or short is None or factor is None:
        return None
    return BurnRule(key or rule_key(long, short), long, short, Fraction(factor), cast(Any, severity))


def rules_as_json(burn_alerts: str | tuple[BurnRule, ...]) -> str | list[dict[str, Any]]:
    """What :func:`parse_burn_alerts` reads back as the same."""
    if isinstance(burn_alerts, str):
        return burn_alerts
    return [
        {
            "key": rule.key,
            "long": format_duration(rule.long),
            "short": format_duration(rule.short),
            "factor": float(rule.factor),
            "severity": rule.severity,
        }
        for rule in burn_alerts
    ]


def rule_warnings(rules: tuple[BurnRule, ...], target: Decimal) -> list[FieldError]:
    """Rules that can never fire at this target, each with its reason."""
    found = [(place, unreachable(rule, Fraction(target))) for place, rule in enumerate(rules)]
    return [FieldError(f"/burn_alerts/{place}", "unreachable", detail) for place, detail in found if detail]
