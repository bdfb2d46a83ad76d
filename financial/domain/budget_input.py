"""What may stand in a budget and in a request for more of it; every fault is named by its field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final, get_args

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import NANO, MoneyError, parse_amount
from agent_factory_site.common.periods import floor_period, parse_zone

from .budget_rules import PeriodRule, parse_period
from .cost_input import CostType
from .ranges import EARLIEST, LATEST

FLEET_TYPE: Final = "*"
EVERY: Final = "*"
MOST: Final = 10**9 * NANO
"""The largest limit, cap and override: a thousand million units of the currency."""
COST_TYPES: Final = get_args(CostType)
FILTERS: Final = ("cost_type", "provider", "model", "tags")
ENFORCEMENTS: Final = ("hard", "soft")
ROLLOVERS: Final = ("none", "all", "capped")
DEFAULT_THRESHOLDS: Final = (0.8, 1.0)
MAX_NAME: Final = 200
MAX_REASON: Final = 500
MAX_THRESHOLDS: Final = 20
MAX_THRESHOLD: Final = 10
MAX_FILTER_VALUES: Final = 100
MAX_TAGS: Final = 20
_LONGEST: Final = {"cost_type": 16, "provider": 100, "model": 255}
_LONGEST_TAG: Final = (100, 255)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a budget counts: its periods, and the first and the last local day of them."""

    rule: PeriodRule
    starts_on: date | None
    ends_on: date | None


def day_begins(day: date, zone: tzinfo) -> datetime:
    """The first instant of a local day."""
    return floor_period(datetime.combine(day, time(), zone), "day", zone).start


def text_errors(pointer: str, text: object, most: int) -> list[FieldError]:
    """What is wrong with a text that has to say something."""
    if not isinstance(text, str | None):
        return [FieldError(pointer, "not_a_string", "Must be a string.")]
    if text is None or not text.strip():
        return [FieldError(pointer, "required", "Is needed.")]
    if len(text) > most:
        return [FieldError(pointer, "too_long", f"Has more than {most} characters.")]
    if "\0" in text:
        return [FieldError(pointer, "invalid", "Holds a NUL character.")]
    return []


def entity_errors(entity_type: object, entity_id: object) -> list[FieldError]:
    """What is wrong with the names of whom a budget is for; the fleet's id may be left out."""
    errors = text_errors("/entity_type", entity_type, 100)
    if entity_type != FLEET_TYPE:
        return errors + text_errors("/entity_id", entity_id, 255)
    if entity_id not in (None, "", EVERY):
        errors.append(FieldError("/entity_id", "bad_value", 'The whole fleet has no id but "*".'))
    return errors


def parse_limit(value: object, errors: list[FieldError], pointer: str = "/limit", least: int = 0) -> int:
    """Nano-units of a decimal string from ``least`` to :data:`MOST`; faults are added to ``errors``."""
    try:
        amount = parse_amount(value)
    except MoneyError as error:
        errors.append(FieldError(pointer, error.code, f"{error.detail[0].upper()}{error.detail[1:]}."))
        return 0
    if amount < least:
        detail = "Must be above 0." if least else "Must not be negative."
        errors.append(FieldError(pointer, "too_small", detail))
    elif amount > MOST:
        errors.append(FieldError(pointer, "too_large", "At most 1000000000."))
    return amount


def parse_thresholds(value: object, errors: list[FieldError]) -> list[Decimal]:
    """Shares of the limit, ascending: numbers above 0 with at most four decimals."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        errors.append(FieldError("/thresholds", "not_a_list", "Must be a list of numbers."))
        return []
    if len(value) > MAX_THRESHOLDS:
        errors.append(FieldError("/thresholds", "too_many", f"At most {MAX_THRESHOLDS} thresholds."))
        return []
    found: list[Decimal] = []
    for place, item in enumerate(value):
        pointer = f"/thresholds/{place}"
        share = _share(item)
        if share is None:
            errors.append(FieldError(pointer, "not_a_number", "Must be a number such as 0.8."))
        elif not 0 < share <= MAX_THRESHOLD:
            errors.append(
                FieldError(pointer, "out_of_range", f"Must be above 0 and at most {MAX_THRESHOLD}.")
            )
        elif share != share.quantize(Decimal("0.0001")):
            errors.append(FieldError(pointer, "too_precise", "At most 4 decimals."))
        elif found and share <= found[-1]:
            errors.append(FieldError(pointer, "not_ascending", "Must be above the one before it."))
        else:
            found.append(share)
    return found


def _share(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        share = Decimal(str(value))
    except InvalidOperation:
        return None
    return share if share.is_finite() and abs(share) < 10**6 else None


def parse_rollover(rollover: object, cap: object, errors: list[FieldError]) -> int | None:
    """The cap in nano-units of a ``capped`` rollover, which alone has one."""
    if rollover not in ROLLOVERS:
        errors.append(FieldError("/rollover", "unknown_rollover", f"Is not one of {', '.join(ROLLOVERS)}."))
    elif rollover == "capped":
        if cap is None:
            errors.append(FieldError("/rollover_cap", "required", "Says how much rolls over at most."))
        else:
            return parse_limit(cap, errors, "/rollover_cap")
    elif cap is not None:
        errors.append(FieldError("/rollover_cap", "unexpected", "Goes with the rollover capped alone."))
    return None


def enforcement_errors(enforcement: object) -> list[FieldError]:
    """What is wrong with an enforcement."""
    if enforcement in ENFORCEMENTS:
        return []
    return [FieldError("/enforcement", "unknown_enforcement", f"Is not one of {', '.join(ENFORCEMENTS)}.")]


def currency_errors(currency: object) -> list[FieldError]:
    """What is wrong with a currency."""
    if currency in CURRENCIES:
        return []
    return [FieldError("/currency", "unknown_currency", "Is not an ISO 4217 currency code.")]


def day_errors(pointer: str, day: date | None) -> list[FieldError]:
    """What is wrong with the first or the last day of a budget: no cost lies outside of these years."""
    if day is None or EARLIEST.date() <= day < LATEST.date():
        return []
    return [FieldError(pointer, "out_of_range", f"From {EARLIEST.date()} to before {LATEST.date()}.")]


def parse_schedule(
    period: object,
    zone: object,
    rollover: object,
    starts_on: date | None,
    ends_on: date | None,
    errors: list[FieldError],
) -> Schedule | None:
    """The periods and dates of a budget; None where they cannot be told."""
    try:
        parsed = parse_zone(zone) if isinstance(zone, str) else None
    except ValueError:
        parsed = None
    if parsed is None:
        errors.append(FieldError("/timezone", "unknown_timezone", "Is not an IANA time zone."))
    errors += day_errors("/starts_on", starts_on) + day_errors("/ends_on", ends_on)
    if starts_on is not None and ends_on is not None and ends_on < starts_on:
        errors.append(FieldError("/ends_on", "before_start", "Must not be before starts_on."))
    try:
        rule = parse_period(period if isinstance(period, str) else "", parsed or parse_zone("UTC"))
    except ValueError as error:
        errors.append(FieldError("/period", "unknown_period", f"{str(error)[0].upper()}{str(error)[1:]}."))
        return None
    if rollover != "none" and rollover in ROLLOVERS and (rule.is_rolling or rule.unit == "total"):
        detail = "Nothing rolls over where one period is not followed by another."
        errors.append(FieldError("/rollover", "no_rollover", detail))
    return Schedule(rule, starts_on, ends_on) if parsed else None


def parse_filters(value: object, errors: list[FieldError]) -> dict[str, Any]:
    """Filters without those that let everything through; lists are sorted, and name each value once."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        errors.append(FieldError("/filters", "not_an_object", "Must be an object."))
        return {}
    found: dict[str, Any] = {}
    for name, wanted in value.items():
        pointer = f"/filters/{_token(str(name))}"
        if name not in FILTERS:
            errors.append(FieldError(pointer, "unknown_field", f"Is not one of {', '.join(FILTERS)}."))
        elif name == "tags":
            found[name] = _tags(wanted, errors)
        else:
            found[name] = _names(name, wanted, errors)
    return {name: wanted for name, wanted in found.items() if wanted}


def _names(name: str, wanted: object, errors: list[FieldError]) -> list[str]:
    pointer = f"/filters/{name}"
    if isinstance(wanted, str) or not isinstance(wanted, Sequence):
        errors.append(FieldError(pointer, "not_a_list", "Must be a list of strings."))
        return []
    if len(wanted) > MAX_FILTER_VALUES:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_FILTER_VALUES} values."))
        return []
    found: set[str] = set()
    for place, item in enumerate(wanted):
        faults = text_errors(f"{pointer}/{place}", item, _LONGEST[name])
        if not faults and name == "cost_type" and item not in COST_TYPES:
            detail = f"Is not one of {', '.join(COST_TYPES)}."
            faults = [FieldError(f"{pointer}/{place}", "unknown_cost_type", detail)]
        errors += faults
        if not faults:
            found.add(str(item))
    return sorted(found)


def _tags(wanted: object, errors: list[FieldError]) -> dict[str, str]:
    if not isinstance(wanted, Mapping):
        errors.append(FieldError("/filters/tags", "not_an_object", "Must be an object of strings."))
        return {}
    if len(wanted) > MAX_TAGS:
        errors.append(FieldError("/filters/tags", "too_many", f"At most {MAX_TAGS} tags."))
        return {}
    found: dict[str, str] = {}
    for key, item in sorted(wanted.items(), key=lambda pair: str(pair[0])):
        pointer = f"/filters/tags/{_token(str(key))}"
        faults = text_errors(pointer, key, _LONGEST_TAG[0])
        if not isinstance(item, str):
            faults.append(FieldError(pointer, "not_a_string", "Must be a string."))
        elif len(item) > _LONGEST_TAG[1]:
            faults.append(FieldError(pointer, "too_long", f"Has more than {_LONGEST_TAG[1]} characters."))
        elif "\0" in item:
            faults.append(FieldError(pointer, "invalid", "Holds a NUL character."))
        errors += faults
        if not faults:
            found[key] = item
    return found


def until_errors(until: datetime, now: datetime) -> list[FieldError]:
    """What is wrong with the end of an override."""
    if until.tzinfo is None:
        return [FieldError("/until", "naive_time", "Needs a time zone.")]
    if until <= now:
        return [FieldError("/until", "in_the_past", "Must be later than now.")]
    return []


def _token(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
