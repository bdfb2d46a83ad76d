"""The written form of rates."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain.pricing import USAGE_PARTS, Rate, RateCard
from financial.domain.rates import format_rate, format_rates, parse_rates, rate_from_decimal

pytestmark = pytest.mark.once

_rates = st.integers(0, 10**27 - 1)
_tiers = st.lists(st.tuples(st.integers(0, 10**15), _rates), max_size=4, unique_by=lambda tier: tier[0])


@given(
    st.dictionaries(
        st.sampled_from(USAGE_PARTS),
        st.builds(lambda base, tiers: Rate(base, tuple(sorted(tiers))), _rates, _tiers),
        min_size=1,
    ).map(RateCard)
)
def test_any_card_reads_back_as_it_was_written(card):
    assert parse_rates(format_rates(card)) == card


@given(_rates)
def test_a_written_rate_is_its_exact_decimal(rate):
    assert Decimal(format_rate(rate)) == Decimal(rate).scaleb(-18)
    assert rate_from_decimal(Decimal(format_rate(rate))) == rate


@pytest.mark.parametrize(
    ("per_million", "rate"),
    [("2.50", 25 * 10**17), ("1E+2", 10**20), ("0", 0), ("-0", 0), ("0.000000000000000001", 1)],
)
def test_a_price_per_million_becomes_an_integer_rate_per_unit(per_million, rate):
    assert rate_from_decimal(Decimal(per_million)) == rate


@pytest.mark.parametrize("per_million", ["-1", "NaN", "Infinity", "0.0000000000000000001"])
def test_what_is_no_price_or_too_fine_is_refused(per_million):
    with pytest.raises(ValueError):
        rate_from_decimal(Decimal(per_million))


def test_rates_are_written_in_the_order_of_the_usage_parts_without_trailing_zeros():
    card = RateCard(
        {"output_tokens": Rate(10**19), "input_tokens": Rate(25 * 10**17, ((200_000, 5 * 10**18),))}
    )
    written = format_rates(card)
    assert list(written) == ["input_tokens", "output_tokens"]
    assert written == {
        "input_tokens": {"per_million": "2.5", "tiers": [{"above": 200_000, "per_million": "5"}]},
        "output_tokens": {"per_million": "10"},
    }
