"""Money: integer nano-units (1e-9) of a currency in the database, ``Decimal`` in Python, a string in JSON."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

NANO: Final = 1_000_000_000
MAX_NANO: Final = 2**63 - 1
SCALE: Final = 9

# Wide enough that no product or sum of two stored values is ever rounded silently.
EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,29})(?:\.\d{1,40})?\Z")


class MoneyError(ValueError):
    """Not an amount this system can hold exactly; ``code`` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def parse_amount(text: object) -> int:
    """Nano-units of a JSON amount string such as ``"-0.0132"``.

    Refuses JSON numbers (they have been floats somewhere), exponents, NaN and infinities, more than
    9 decimals and values beyond 64 bits, with :class:`MoneyError`.
    """
    if not isinstance(text, str):
        raise MoneyError("not_a_string", 'an amount is a string such as "12.50"')
    if not _NUMBER.match(text):
        raise MoneyError("not_an_amount", "an amount is digits with an optional sign and up to 9 decimals")
    negative = text.startswith("-")
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(fraction) > SCALE:
        raise MoneyError("too_precise", "an amount has at most 9 decimals")
    nano = int(whole) * NANO + int((fraction + "0" * SCALE)[:SCALE])
    if nano > MAX_NANO:
        raise MoneyError("too_large", "the amount does not fit 64 bits of nano-units")
    return -nano if negative else nano


def to_decimal(nano: int) -> Decimal:
    """The exact Decimal of ``nano`` nano-units."""
    return Decimal(nano).scaleb(-SCALE, context=EXACT)


def from_decimal(amount: Decimal) -> int:
    """Nano-units of an exact Decimal, rounded once half-even; the caller decides whether finer input is refused."""
    if not amount.is_finite():
        raise MoneyError("not_an_amount", "an amount is finite")
    nano = int(amount.scaleb(SCALE, context=EXACT).to_integral_value(rounding=ROUND_HALF_EVEN))
    if abs(nano) > MAX_NANO:
        raise MoneyError("too_large", "the amount does not fit 64 bits of nano-units")
    return nano


def format_amount(nano: int) -> str:
    """A plain decimal string without an exponent, at least two decimals: ``"0.0062"``, ``"12.00"``."""
    sign = "-" if nano < 0 else ""
    whole, fraction = divmod(abs(nano), NANO)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits:0<2}"


def divide_half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded half-even, exact in integers; ``denominator`` > 0."""
    quotient, remainder = divmod(numerator, denominator)
    double = 2 * remainder
    if double > denominator or (double == denominator and quotient & 1):
        quotient += 1
    return quotient
