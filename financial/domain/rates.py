"""The written form of a rate card: decimals per million units, as strings.

``{"input_tokens": {"per_million": "1.25", "tiers": [{"above": 200000, "per_million": "2.5"}]}}``: the
keys are usage parts, ``tiers`` may be absent, ``above`` is a number of input tokens. A price per
1,000 requests or per image is written per million of them as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from .pricing import MAX_QUANTITY, RATE_SCALE, USAGE_PARTS, Rate, RateCard

_PLACES: Final = RATE_SCALE - 6
_DECIMAL: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,18}))?", re.ASCII)
_MAX_TIERS: Final = 20


@dataclass(frozen=True, slots=True)
class RateError:
    """One fault in written rates: where (keys and indexes from the top), a stable code and a sentence."""

    path: tuple[str | int, ...]
    code: str
    detail: str


class InvalidRates(ValueError):
    """Written rates that cannot be read, with every fault found."""

    def __init__(self, errors: Sequence[RateError]) -> None:
        super().__init__("; ".join(f"{'/'.join(map(str, e.path))}: {e.detail}" for e in errors))
        self.errors = tuple(errors)


def rate_from_decimal(per_million: Decimal) -> int:
    """The integer rate per unit of a price per million; :class:`ValueError` when it does not fit exactly."""
    sign, digits, exponent = per_million.as_tuple()
    if not isinstance(exponent, int) or sign and any(digits):
        raise ValueError(f"{per_million} is not a price")
    number = int("".join(map(str, digits)))
    places = exponent + _PLACES
    if places >= 0:
        return number * int(10**places)
    rate, rest = divmod(number, int(10**-places))
    if rest:
        raise ValueError(f"{per_million} has more than {_PLACES} decimals")
    return rate


def format_rate(rate: int) -> str:
    """The price per million of an integer rate, as a plain decimal without trailing zeros."""
    whole, fraction = divmod(rate, 10**_PLACES)
    return f"{whole}.{fraction:0{_PLACES}d}".rstrip("0").rstrip(".")


def format_rates(card: RateCard) -> dict[str, Any]:
    """The written form of ``card``, in the order of the usage parts; :func:`parse_rates` reads it back."""
    written: dict[str, Any] = {}
    for part in USAGE_PARTS:
        if rate := card.parts.get(part):
            written[part] = {"per_million": format_rate(rate.base)}
            if rate.tiers:
                written[part]["tiers"] = [
                    {"above": above, "per_million": format_rate(tier)} for above, tier in rate.tiers
                ]
    return written


def parse_rates(written: object) -> RateCard:
    """The card of its written form; :class:`InvalidRates` names every fault."""
    if not isinstance(written, Mapping) or not written:
        raise InvalidRates([RateError((), "required", "must be an object with a rate for some usage part")])
    errors: list[RateError] = []
    parts: dict[str, Rate] = {}
    for part, value in written.items():
        if part not in USAGE_PARTS:
            errors.append(RateError((str(part),), "unknown_field", f"is not one of {', '.join(USAGE_PARTS)}"))
        elif (rate := _parse_part((part,), value, errors)) is not None:
            parts[part] = rate
    if errors:
        raise InvalidRates(errors)
    return RateCard(parts)


def _parse_part(path: tuple[str | int, ...], value: object, errors: list[RateError]) -> Rate | None:
    before = len(errors)
    fields = _object(path, value, ("per_million", "tiers"), errors)
    if fields is None:
        return None
    base = _parse_price((*path, "per_million"), fields.get("per_million"), errors)
    written = fields.get("tiers", [])
    tiers: list[tuple[int, int]] = []
    if not isinstance(written, list) or len(written) > _MAX_TIERS:
        errors.append(
            RateError((*path, "tiers"), "not_an_array", f"must be an array of at most {_MAX_TIERS}")
        )
        return None
    for index, tier in enumerate(written):
        here = (*path, "tiers", index)
        inner = _object(here, tier, ("above", "per_million"), errors)
        if inner is None:
            continue
        above = inner.get("above")
        if type(above) is not int or not 0 <= above <= MAX_QUANTITY:
            errors.append(RateError((*here, "above"), "not_an_integer", "must be a number of tokens"))
            continue
        if tiers and above <= tiers[-1][0]:
            errors.append(RateError((*here, "above"), "not_ascending", "must be above the tier before it"))
        rate = _parse_price((*here, "per_million"), inner.get("per_million"), errors)
        tiers.append((above, rate or 0))
    if base is None or len(errors) > before:
        return None
    return Rate(base, tuple(tiers))


def _object(
    path: tuple[str | int, ...], value: object, allowed: tuple[str, ...], errors: list[RateError]
) -> Mapping[str, object] | None:
    if not isinstance(value, Mapping):
        errors.append(RateError(path, "not_an_object", f"must be an object of {' and '.join(allowed)}"))
        return None
    unknown = [str(key) for key in value if key not in allowed]
    errors.extend(RateError((*path, key), "unknown_field", "is not a field of a rate") for key in unknown)
    return None if unknown else value


def _parse_price(path: tuple[str | int, ...], value: object, errors: list[RateError]) -> int | None:
    match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        errors.append(
            RateError(
                path,
                "not_a_price",
                'must be a price in a string such as "2.50", not negative, at most 18 decimals',
            )
        )
        return None
    return int(match[1] + (match[2] or "").ljust(_PLACES, "0"))
