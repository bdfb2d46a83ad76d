"""The arithmetic shown for a price is the arithmetic that made it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from financial.domain.price_lines import PriceArithmetic, PriceLine, explain_price
from financial.domain.pricing import (
    FALLBACKS,
    RATE_SCALE,
    USAGE_PARTS,
    Priced,
    Rate,
    RateCard,
    Unpriced,
    price_usage,
)

MILLION = 10 ** (RATE_SCALE - 6)


def per_million(text: str) -> Rate:
    return Rate(int(Fraction(text) * MILLION))


def test_one_call_line_by_line() -> None:
    card = RateCard(
        {
            "input_tokens": Rate(int(2.5 * MILLION), ((1000, 5 * MILLION),)),
            "cache_read_tokens": per_million("1.25"),
            "output_tokens": per_million("10"),
        }
    )
    usage = {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310, "reasoning_tokens": 10}
    found = explain_price(usage, card)
    assert isinstance(found, PriceArithmetic)
    assert found.lines == (
        PriceLine("input_tokens", 400, 5 * MILLION, 2000 * MILLION, 2_000_000, "input_tokens", 1000),
        PriceLine(
            "cache_read_tokens", 800, 5 * MILLION // 4, 1000 * MILLION, 1_000_000, "cache_read_tokens", None
        ),
        PriceLine("output_tokens", 300, 10 * MILLION, 3000 * MILLION, 3_000_000, "output_tokens", None),
        PriceLine("reasoning_tokens", 10, 10 * MILLION, 100 * MILLION, 100_000, "output_tokens", None),
    )
    assert (found.exact, found.amount) == (6100 * MILLION, 6_100_000)


def test_a_request_is_at_least_one_where_requests_cost() -> None:
    found = explain_price({"input_tokens": 0}, RateCard({"requests": per_million("10000")}))
    assert isinstance(found, PriceArithmetic)
    assert [(line.part, line.quantity, line.amount) for line in found.lines] == [("requests", 1, 10_000_000)]


def test_what_has_no_price_has_no_lines() -> None:
    assert explain_price({"images": 3}, RateCard({"input_tokens": Rate(1)})) == Unpriced("no_rate", "images")


rates = st.builds(
    lambda base, above, then: Rate(base, ((above, then),) if above else ()),
    st.integers(0, 10**22),
    st.one_of(st.none(), st.integers(1, 5000)),
    st.integers(0, 10**22),
)
cards = st.dictionaries(st.sampled_from(USAGE_PARTS), rates, min_size=1).map(RateCard)


@st.composite
def usages(draw: st.DrawFn) -> dict[str, int]:
    parts = {part: draw(st.integers(0, 3000)) for part in USAGE_PARTS}
    for whole in ("input_tokens", "output_tokens"):
        inside = [part for part, wider in FALLBACKS.items() if wider[-1] == whole]
        parts[whole] += sum(parts[part] for part in inside)
    return parts


@given(usages(), cards)
def test_lines_sum_to_the_price(usage: dict[str, int], card: RateCard) -> None:
    priced, shown = price_usage(usage, card), explain_price(usage, card)
    if isinstance(priced, Unpriced):
        assert shown == priced
        return
    assert isinstance(priced, Priced)
    assert isinstance(shown, PriceArithmetic)
    assert {line.part: line.amount for line in shown.lines} == priced.parts
    assert shown.amount == priced.amount == sum(line.amount for line in shown.lines)
    assert all(line.exact == line.quantity * line.rate for line in shown.lines)
    assert round(Fraction(shown.exact, 10 ** (RATE_SCALE - 9))) == priced.amount
