"""How numbers are written for people: readably rounded, with the exact value a glance away."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from .money import EXACT, format_amount, to_decimal

SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
_STEPS: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_MINUS: Final = "\N{MINUS SIGN}"


def money_text(nano: int, currency: str) -> str:
    """``$1,234.57``: two decimals from one unit on, four below it, two significant digits below a cent.

    Rounded half-even and for reading only: nothing is computed from it.
    """
    amount = to_decimal(abs(nano))
    if amount == 0 or amount >= 1:
        places = 2
    elif amount >= Decimal("0.01"):
        places = 4
    else:
        places = 1 - amount.adjusted()
    rounded = amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN, context=EXACT)
    digits = f"{rounded:,.{places}f}"
    if places > 2:
        whole, _, fraction = digits.partition(".")
        digits = f"{whole}.{fraction.rstrip('0'):0<2}"
    symbol = SYMBOLS.get(currency)
    written = f"{symbol}{digits}" if symbol else f"{currency}{_THIN}{digits}"
    return f"{_MINUS}{written}" if nano < 0 else written


def money_exact(nano: int, currency: str) -> str:
    """``1234.5678901 USD``: every digit that is stored."""
    return f"{format_amount(nano)} {currency}"


def compact_number(number: int) -> str:
    """``812``, ``45.7k``, ``1.24M``: three significant digits from a thousand on."""
    size = abs(number)
    for step, suffix in _STEPS:
        if size >= step:
            value = Decimal(size) / step
            places = max(0, 2 - value.adjusted())
            text = f"{value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN):f}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return f"{_MINUS if number < 0 else ''}{text}{suffix}"
    return f"{_MINUS if number < 0 else ''}{size}"


def grouped_number(number: int) -> str:
    """``1,234,567``."""
    return f"{number:,}"


def change_text(now: int, before: int) -> str | None:
    """``+12.3 %`` from ``before`` to ``now``; None where there was nothing to compare with.

    From a thousand per cent on it says how many times as much, which is easier to read.
    """
    if before <= 0:
        return None
    ratio = Decimal(now) / Decimal(before)
    if ratio >= 10:
        return f"×{compact_number(int(ratio.to_integral_value(rounding=ROUND_HALF_EVEN)))}"
    percent = ((ratio - 1) * 100).quantize(Decimal("0.1"), rounding=ROUND_HALF_EVEN)
    sign = "+" if percent > 0 else _MINUS if percent < 0 else "±"
    return f"{sign}{abs(percent):,.1f}{_THIN}%"


def share_text(part: int, whole: int) -> str:
    """``12.3 %`` of the whole; an empty string where there is no whole."""
    if whole <= 0:
        return ""
    percent = Decimal(part) * 100 / Decimal(whole)
    if 0 < percent < Decimal("0.1"):
        return f"<0.1{_THIN}%"
    return f"{percent.quantize(Decimal('0.1'), rounding=ROUND_HALF_EVEN)}{_THIN}%"


def duration_text(micros: int) -> str:
    """``340 ms``, ``2.41 s``, ``3 min 05 s``, ``2 h 10 min``: a length of time, to three digits or so."""
    if micros < 1000:
        return f"{micros}{_THIN}µs"
    if micros < 999_500:
        return f"{Decimal(micros) / 1000:.3g}{_THIN}ms"
    seconds = Decimal(micros) / 1_000_000
    if seconds < Decimal("59.95"):
        return f"{seconds:.3g}{_THIN}s"
    whole = int(seconds.to_integral_value(rounding=ROUND_HALF_EVEN))
    if whole < 3600:
        return f"{whole // 60}{_THIN}min {whole % 60:02d}{_THIN}s"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60}{_THIN}h {minutes % 60:02d}{_THIN}min"
    return f"{minutes // 1440}{_THIN}d {minutes % 1440 // 60}{_THIN}h"
