"""Numbers as people read them."""

from __future__ import annotations

import pytest

from agent_factory_site.common.display import (
    change_text,
    compact_number,
    money_exact,
    money_text,
    share_text,
)
from agent_factory_site.common.money import MAX_NANO, NANO

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("nano", "currency", "text"),
    [
        (0, "USD", "$0.00"),
        (1_234_567_891_230, "USD", "$1,234.57"),
        (NANO, "USD", "$1.00"),
        (2_005_000_000, "USD", "$2.00"),
        (2_015_000_000, "USD", "$2.02"),
        (999_999_999, "USD", "$1.00"),
        (254_321_000, "USD", "$0.2543"),
        (250_000_000, "USD", "$0.25"),
        (10_000_000, "USD", "$0.01"),
        (6_200_000, "USD", "$0.0062"),
        (123_456, "USD", "$0.00012"),
        (1, "USD", "$0.000000001"),
        (-13_200_000, "USD", "−$0.0132"),
        (12 * NANO, "EUR", "€12.00"),
        (12 * NANO, "CHF", f"CHF{THIN}12.00"),
        (MAX_NANO, "USD", "$9,223,372,036.85"),
    ],
)
def test_money(nano: int, currency: str, text: str) -> None:
    assert money_text(nano, currency) == text


def test_the_exact_amount_keeps_every_digit() -> None:
    assert money_exact(1_234_567_891_234, "USD") == "1234.567891234 USD"
    assert money_exact(-1, "EUR") == "-0.000000001 EUR"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (45_678, "45.7k"), (999_400, "999k"),
        (1_240_000, "1.24M"), (123_456_789, "123M"), (7 * 10**9, "7B"), (10**15, "1000T"), (-1500, "−1.5k"),
    ],
)  # fmt: skip
def test_counts(number: int, text: str) -> None:
    assert compact_number(number) == text


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (112, 100, f"+12.0{THIN}%"),
        (88, 100, f"−12.0{THIN}%"),
        (100, 100, f"±0.0{THIN}%"),
        (0, 100, f"−100.0{THIN}%"),
        (999, 100, f"+899.0{THIN}%"),
        (1000, 100, "×10"),
        (5, 0, None),
        (5, -3, None),
    ],
)
def test_changes(now: int, before: int, text: str | None) -> None:
    assert change_text(now, before) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 3, f"33.3{THIN}%"),
        (0, 3, f"0.0{THIN}%"),
        (1, 10**6, f"<0.1{THIN}%"),
        (1, 0, ""),
    ],
)
def test_shares(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text
