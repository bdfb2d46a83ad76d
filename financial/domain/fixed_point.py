"""Decimals kept as integers of 1e-12: unit prices and exchange rates."""

from __future__ import annotations

import re
from typing import Final

from agent_factory_site.common.money import MoneyError

PLACES: Final = 12
ONE: Final = 10**PLACES
MAX_FIXED: Final = 2**63 - 1

_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,40})?\Z")


def parse_fixed(text: object) -> int:
    """A decimal string such as ``"0.00125"`` in 1e-12.

    Refuses JSON numbers, signs, exponents, NaN and infinities, more than 12 decimals (zeros at the end
    aside) and what passes 64 bits (about 9.2 million), with :class:`MoneyError`.
    """
    if not isinstance(text, str):
        raise MoneyError("not_a_string", 'A decimal is written as a string such as "0.00125".')
    if text.startswith("-") and _NUMBER.match(text[1:]):
        raise MoneyError("negative", "It may not be negative.")
    if not _NUMBER.match(text):
        raise MoneyError("not_a_decimal", "A decimal is digits with up to 12 decimals.")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > PLACES:
        raise MoneyError("too_precise", f"It has more than {PLACES} decimals.")
    value = int(whole) * ONE + int(fraction.ljust(PLACES, "0"))
    if value > MAX_FIXED:
        raise MoneyError("too_large", f"At most {MAX_FIXED // ONE}.")
    return value


def format_fixed(value: int) -> str:
    """The plain decimal of ``value`` in 1e-12, without zeros at its end: ``"0.00125"``, ``"12"``."""
    whole, fraction = divmod(value, ONE)
    return f"{whole}.{fraction:0{PLACES}d}".rstrip("0").rstrip(".")
