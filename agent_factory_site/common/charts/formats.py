"""How a chart writes its numbers: in full beside a mark, briefly along an axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agent_factory_site.common.display import SYMBOLS, compact_number, money_text
from agent_factory_site.common.money import NANO

from .scales import Number

THIN: Final = "\N{NARROW NO-BREAK SPACE}"
MINUS: Final = "\N{MINUS SIGN}"
_COMPACT_FROM: Final = 10_000


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """``full`` writes a value, ``tick`` one on an axis of steps; steps are no finer than ``least``."""

    full: Callable[[Number], str]
    tick: Callable[[Decimal, Decimal], str]
    least: Decimal = Decimal(0)


def _tick_digits(value: Decimal, step: Decimal, fewest: int = 0) -> str:
    if abs(value) >= _COMPACT_FROM and value == value.to_integral_value():
        return compact_number(int(abs(value)))
    exponent = step.normalize().as_tuple().exponent
    places = max(-int(exponent), 0)
    if places:
        places = max(places, fewest)
    return f"{abs(value):,.{places}f}"


def _signed(value: Decimal, text: str) -> str:
    return f"{MINUS}{text}" if value < 0 else text


def money_format(currency: str) -> NumberFormat:
    """Amounts in nano-units of ``currency``."""
    symbol = SYMBOLS.get(currency, f"{currency}{THIN}")

    def tick(value: Decimal, step: Decimal) -> str:
        return _signed(value, f"{symbol}{_tick_digits(value / NANO, step / NANO, fewest=2)}")

    return NumberFormat(lambda value: money_text(int(value), currency), tick, least=Decimal(1))


def count_format(unit: str = "") -> NumberFormat:
    """Whole numbers, with an optional unit: ``1,204 events``."""
    suffix = f" {unit}" if unit else ""

    def full(value: Number) -> str:
        return _signed(Decimal(int(value)), f"{abs(int(value)):,}{suffix}")

    return NumberFormat(full, lambda value, step: _signed(value, _tick_digits(value, step)), least=Decimal(1))


def ratio_format() -> NumberFormat:
    """Shares of one, as per cent."""

    def full(value: Number) -> str:
        percent = Decimal(str(value)) * 100
        return _signed(percent, f"{abs(percent):,.2f}".rstrip("0").rstrip(".") + f"{THIN}%")

    def tick(value: Decimal, step: Decimal) -> str:
        return _signed(value, f"{_tick_digits(value * 100, step * 100)}{THIN}%")

    return NumberFormat(full, tick)


def plain_format(unit: str = "", places: int = 2) -> NumberFormat:
    """Any numbers, to ``places`` decimals."""
    suffix = f"{THIN}{unit}" if unit else ""

    def full(value: Number) -> str:
        text = f"{abs(Decimal(str(value))):,.{places}f}"
        if places:
            text = text.rstrip("0").rstrip(".")
        return _signed(Decimal(str(value)), text + suffix)

    return NumberFormat(full, lambda value, step: _signed(value, _tick_digits(value, step) + suffix))
