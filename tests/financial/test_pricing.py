"""What usage costs: published prices, fallbacks, tiers, rounding; brute force in Fraction."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from financial.domain.pricing import (
    MAX_QUANTITY,
    USAGE_PARTS,
    Priced,
    Rate,
    RateCard,
    Unpriced,
    UsageError,
    check_usage,
    price_usage,
)
from financial.domain.rates import rate_from_decimal
from financial.models.cost_event import USAGE_FIELDS
from tests.effort import examples
from tests.financial.brute_force import exact_parts

pytestmark = pytest.mark.once


def card(**per_million: str | tuple[str, dict[int, str]]) -> RateCard:
    """A card of prices per million; a tiered one is (base, {above: price})."""
    parts = {}
    for part, price in per_million.items():
        base, tiers = price if isinstance(price, tuple) else (price, {})
        parts[part] = Rate(
            rate_from_decimal(Decimal(base)),
            tuple((above, rate_from_decimal(Decimal(text))) for above, text in tiers.items()),
        )
    return RateCard(parts)


GPT_4O = card(input_tokens="2.5", cache_read_tokens="1.25", output_tokens="10")


def test_the_keys_of_usage_are_the_columns_of_the_ledger():
    assert USAGE_PARTS == USAGE_FIELDS


def test_cached_input_is_priced_at_its_own_rate():
    usage = {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310}
    assert price_usage(usage, GPT_4O) == Priced(
        5_100_000, {"input_tokens": 1_000_000, "cache_read_tokens": 1_000_000, "output_tokens": 3_100_000}
    )


def test_each_part_takes_its_own_rate():
    rates = {part: str(2**i) for i, part in enumerate(USAGE_PARTS)}
    usage = dict.fromkeys(USAGE_PARTS, 1_000) | {"input_tokens": 10_000, "output_tokens": 5_000}
    priced = price_usage(usage, card(**rates))
    assert priced == Priced(
        # 10,000 of input hold 1,000 each of 3 cache parts and audio; 5,000 of output 1,000 each of 2.
        6_000_000 * 1 + 1_000_000 * (2 + 4 + 8) + 3_000_000 * 16 + 1_000_000 * (32 + 64 + 128 + 256 + 512),
        {
            "input_tokens": 6_000_000,
            "cache_read_tokens": 2_000_000,
            "cache_write_tokens": 4_000_000,
            "cache_write_1h_tokens": 8_000_000,
            "output_tokens": 48_000_000,
            "reasoning_tokens": 32_000_000,
            "audio_input_tokens": 64_000_000,
            "audio_output_tokens": 128_000_000,
            "images": 256_000_000,
            "requests": 512_000_000,
        },
    )


@pytest.mark.parametrize(
    ("part", "rates", "expected"),
    [
        ("cache_read_tokens", {"input_tokens": "3"}, 3_000),
        ("cache_write_tokens", {"input_tokens": "3"}, 3_000),
        ("cache_write_1h_tokens", {"input_tokens": "3", "cache_write_tokens": "4"}, 4_000),
        ("cache_write_1h_tokens", {"input_tokens": "3"}, 3_000),
        ("audio_input_tokens", {"input_tokens": "3"}, 3_000),
    ],
)
def test_an_input_part_without_a_rate_takes_the_next_wider_one(part, rates, expected):
    assert price_usage({"input_tokens": 1, part: 1}, card(**rates)) == Priced(expected, {part: expected})


@pytest.mark.parametrize("part", ["reasoning_tokens", "audio_output_tokens"])
def test_an_output_part_without_a_rate_takes_that_of_output(part):
    assert price_usage({"output_tokens": 1, part: 1}, card(output_tokens="7")) == Priced(7_000, {part: 7_000})


def test_a_cache_write_never_takes_the_1h_rate():
    usage = {"input_tokens": 1, "cache_write_tokens": 1}
    assert price_usage(usage, card(cache_write_1h_tokens="6")) == Unpriced("no_rate", "cache_write_tokens")


@pytest.mark.parametrize(
    ("usage", "part"),
    [
        ({"input_tokens": 10}, "input_tokens"),
        ({"input_tokens": 10, "cache_read_tokens": 10}, "cache_read_tokens"),
        ({"output_tokens": 10, "reasoning_tokens": 10}, "reasoning_tokens"),
        ({"images": 2}, "images"),
        ({"requests": 2}, "requests"),
        ({"requests": 2, "images": 1}, "images"),
    ],
)
def test_usage_without_an_applicable_rate_is_unpriced_not_free(usage, part):
    assert price_usage(usage, card(audio_output_tokens="1")) == Unpriced("no_rate", part)


def test_one_part_without_a_rate_leaves_the_whole_event_unpriced():
    embedding = card(input_tokens="0.02")
    assert price_usage({"input_tokens": 500}, embedding) == Priced(10_000, {"input_tokens": 10_000})
    assert price_usage({"input_tokens": 500, "output_tokens": 0}, embedding).amount == 10_000
    assert price_usage({"input_tokens": 500, "output_tokens": 1}, embedding) == Unpriced(
        "no_rate", "output_tokens"
    )


def test_no_usage_is_not_a_price_of_zero():
    assert price_usage({}, GPT_4O) == Unpriced("no_usage", "no usage was reported")
    assert price_usage({"input_tokens": 0, "output_tokens": 0}, GPT_4O) == Priced(0, {})


def test_a_free_rate_is_a_price():
    free = card(input_tokens="0", output_tokens="0")
    assert price_usage({"input_tokens": 9, "output_tokens": 4}, free) == Priced(
        0, {"input_tokens": 0, "output_tokens": 0}
    )


def test_an_event_is_at_least_one_request_where_requests_have_a_price():
    sonar = card(input_tokens="3", output_tokens="15", requests="14000")
    assert price_usage({"input_tokens": 0}, sonar) == Priced(14_000_000, {"requests": 14_000_000})
    assert price_usage({"requests": 0}, sonar).amount == 14_000_000
    assert price_usage({"requests": 3}, sonar).amount == 42_000_000
    assert price_usage({"input_tokens": 1_000}, sonar).parts == {
        "input_tokens": 3_000_000,
        "requests": 14_000_000,
    }


def test_requests_and_images_without_a_price_are_counts_beside_tokens():
    usage = {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310, "requests": 1, "images": 4}
    assert price_usage(usage, GPT_4O).amount == 5_100_000
    assert price_usage({"images": 4, "requests": 1}, card(images="40000")) == Priced(
        160_000_000, {"images": 160_000_000}
    )


TIERED = card(
    input_tokens=("1.25", {200_000: "2.5"}),
    cache_read_tokens=("0.125", {200_000: "0.25"}),
    output_tokens=("10", {200_000: "15"}),
)


def test_a_tier_reprices_everything_once_input_is_above_its_threshold():
    assert price_usage({"input_tokens": 200_000}, TIERED).amount == 250_000_000
    assert price_usage({"input_tokens": 200_001}, TIERED).amount == 500_002_500
    at = price_usage({"input_tokens": 200_000, "cache_read_tokens": 100_000, "output_tokens": 1_000}, TIERED)
    assert at.parts == {
        "input_tokens": 125_000_000,
        "cache_read_tokens": 12_500_000,
        "output_tokens": 10_000_000,
    }
    above = price_usage(
        {"input_tokens": 200_001, "cache_read_tokens": 100_000, "output_tokens": 1_000}, TIERED
    )
    assert above.parts == {
        "input_tokens": 250_002_500,
        "cache_read_tokens": 25_000_000,
        "output_tokens": 15_000_000,
    }


def test_usage_of_several_requests_is_tiered_by_their_mean():
    at = price_usage({"input_tokens": 400_000, "requests": 2}, TIERED)
    assert at.amount == 500_000_000
    above = price_usage({"input_tokens": 400_001, "requests": 2}, TIERED)
    assert above.amount == 1_000_002_500


def test_parts_with_other_thresholds_change_each_at_its_own():
    mixed = card(
        input_tokens=("1", {100: "2", 300: "3"}), output_tokens=("10", {200: "20"}), cache_write_tokens="5"
    )
    costs = {
        n: price_usage({"input_tokens": n, "output_tokens": 1}, mixed).parts for n in (100, 101, 201, 301)
    }
    assert costs == {
        100: {"input_tokens": 100_000, "output_tokens": 10_000},
        101: {"input_tokens": 202_000, "output_tokens": 10_000},
        201: {"input_tokens": 402_000, "output_tokens": 20_000},
        301: {"input_tokens": 903_000, "output_tokens": 20_000},
    }


@pytest.mark.parametrize(
    ("per_million", "amount"),
    [("0.0005", 0), ("0.0015", 2), ("0.0025", 2), ("0.0005000001", 1), ("0.000499999999999999", 0)],
)
def test_the_amount_is_rounded_half_even_to_a_nano(per_million, amount):
    assert price_usage({"input_tokens": 1}, card(input_tokens=per_million)).amount == amount


def test_the_amount_is_rounded_once_and_shared_out_by_largest_remainder():
    # 0.4 + 0.4 + 0.7 = 1.5 nano -> 2: the 0.7 gets the first, the earlier of the equal ones the second.
    rates = card(input_tokens="0.0004", cache_read_tokens="0.0004", output_tokens="0.0007")
    usage = {"input_tokens": 2, "cache_read_tokens": 1, "output_tokens": 1}
    assert price_usage(usage, rates) == Priced(
        2, {"input_tokens": 1, "cache_read_tokens": 0, "output_tokens": 1}
    )


def test_the_amount_is_exact_beyond_64_bits():
    priced = price_usage({"input_tokens": MAX_QUANTITY}, card(input_tokens="999999999.999999999999999999"))
    assert priced.amount == 10**27 - 1


@pytest.mark.parametrize(
    ("usage", "errors"),
    [
        ({"input_tokens": -1}, [("input_tokens", "negative")]),
        ({"input_tokens": True}, [("input_tokens", "not_an_integer")]),
        ({"input_tokens": 1.0}, [("input_tokens", "not_an_integer")]),
        ({"input_tokens": "1"}, [("input_tokens", "not_an_integer")]),
        ({"input_tokens": None}, [("input_tokens", "not_an_integer")]),
        ({"output_tokens": MAX_QUANTITY + 1}, [("output_tokens", "too_large")]),
        ({"output_tokens": MAX_QUANTITY}, []),
        ({"tokens": 1, "images": -2}, [("tokens", "unknown_field"), ("images", "negative")]),
        ({"input_tokens": 1, "cache_read_tokens": 965_602}, [("input_tokens", "parts_exceed_whole")]),
        ({"cache_read_tokens": 1}, [("input_tokens", "parts_exceed_whole")]),
        (
            {
                "input_tokens": 9,
                "cache_read_tokens": 3,
                "cache_write_tokens": 3,
                "cache_write_1h_tokens": 3,
                "audio_input_tokens": 1,
            },
            [("input_tokens", "parts_exceed_whole")],
        ),
        (
            {"output_tokens": 5, "reasoning_tokens": 3, "audio_output_tokens": 3},
            [("output_tokens", "parts_exceed_whole")],
        ),
        ({"output_tokens": 6, "reasoning_tokens": 3, "audio_output_tokens": 3}, []),
        ({}, []),
    ],
)
def test_check_usage_names_each_bad_field(usage, errors):
    assert [(error.field, error.code) for error in check_usage(usage)] == errors


def test_a_partition_error_says_what_does_not_fit():
    assert check_usage({"input_tokens": 4, "cache_read_tokens": 3, "audio_input_tokens": 2}) == [
        UsageError(
            "input_tokens",
            "parts_exceed_whole",
            "must include its parts (cache_read_tokens 3, audio_input_tokens 2), but is 4",
        )
    ]


def test_parts_that_exceed_the_whole_are_never_priced():
    with pytest.raises(ValueError, match="exceed the whole"):
        price_usage({"input_tokens": 1, "cache_read_tokens": 2}, GPT_4O)


@pytest.mark.parametrize(
    "rate",
    [
        lambda: Rate(-1),
        lambda: Rate(1, ((5, -1),)),
        lambda: Rate(1, ((5, 1), (5, 2))),
        lambda: Rate(1, ((5, 1), (4, 2))),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(rate):
    with pytest.raises(ValueError):
        rate()


def test_a_card_of_unknown_parts_is_refused():
    with pytest.raises(ValueError, match="not a usage part: tokens"):
        RateCard({"tokens": Rate(1)})


# --- Any usage at any card, against Fraction --------------------------------------------------------

_rates = st.one_of(st.integers(0, 10**6), st.integers(0, 10**21))
_tiers = st.lists(st.tuples(st.integers(0, 500), _rates), max_size=3, unique_by=lambda tier: tier[0])
_cards = st.dictionaries(
    st.sampled_from(USAGE_PARTS),
    st.builds(lambda base, tiers: Rate(base, tuple(sorted(tiers))), _rates, _tiers),
    max_size=len(USAGE_PARTS),
).map(RateCard)


@st.composite
def _usages(draw):
    count = st.one_of(st.integers(0, 5), st.integers(0, 200), st.integers(0, 10**9))
    usage = {part: draw(count) for part in USAGE_PARTS if draw(st.booleans())}
    for whole, parts in (
        (
            "input_tokens",
            ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens"),
        ),
        ("output_tokens", ("reasoning_tokens", "audio_output_tokens")),
    ):
        if inside := sum(usage.get(part, 0) for part in parts):
            usage[whole] = usage.get(whole, 0) + inside
    return usage


@settings(max_examples=examples(1_000))
@given(_usages(), _cards)
def test_any_usage_costs_what_brute_force_says(usage, rates):
    assert check_usage(usage) == []
    expected = exact_parts(usage, rates)
    priced = price_usage(usage, rates)
    if expected is None:
        assert isinstance(priced, Unpriced)
        return
    assert isinstance(priced, Priced)
    assert priced.amount == round(sum(expected.values()))
    assert sum(priced.parts.values()) == priced.amount
    assert priced.parts.keys() == expected.keys()
    assert all(abs(priced.parts[part] - expected[part]) < 1 for part in expected)
    for part in expected:
        if expected[part].denominator == 1:
            assert priced.parts[part] == expected[part]
