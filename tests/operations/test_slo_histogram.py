"""Log-bucket histograms: quantiles within 1 %, exact adding and taking off, a few bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.slo.domain.histogram import (
    BOUNDS,
    EMPTY,
    LARGEST,
    SMALLEST,
    Histogram,
    bucket_of,
    buckets_of,
    count_groups,
    count_values,
    decode,
    merge,
    value_of,
)

pytestmark = pytest.mark.once

VALUES = st.floats(-LARGEST, LARGEST) | st.floats(-1, 1) | st.sampled_from(BOUNDS[:-1])
HISTOGRAMS = st.builds(
    Histogram,
    st.dictionaries(st.integers(-2400, 2400), st.integers(-(10**12), 10**12).filter(bool), max_size=20),
)


@given(VALUES)
def test_every_value_is_within_one_percent_of_its_range(value: float) -> None:
    estimate = value_of(bucket_of(value))
    if abs(value) < SMALLEST:
        assert estimate == 0
    else:
        assert abs(estimate - value) <= 0.01 * abs(value) * (1 + 1e-12)


@given(st.lists(VALUES, max_size=50))
def test_an_array_is_counted_as_its_values_are_one_by_one(values: list[float]) -> None:
    assert buckets_of(values).tolist() == [bucket_of(value) for value in values]
    single = merge(Histogram({bucket_of(value): 1}) for value in values)
    assert count_values(values) == single


def test_ranges_follow_the_published_mapping() -> None:
    gamma = 1.01 / 0.99
    assert BOUNDS[0] == 1e-9
    for number in (1, 100, 1000, 2000):
        assert math.isclose(BOUNDS[number], 1e-9 * gamma**number, rel_tol=1e-12)
        assert bucket_of(BOUNDS[number]) == number
        assert bucket_of(math.nextafter(BOUNDS[number], math.inf)) == number + 1
        assert bucket_of(-BOUNDS[number]) == -number
    assert bucket_of(SMALLEST) == 1
    assert bucket_of(0.0) == bucket_of(-0.0) == bucket_of(9.9e-10) == 0
    assert abs(value_of(bucket_of(LARGEST)) / LARGEST - 1) <= 0.01


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e12])
def test_what_cannot_be_counted_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be counted"):
        bucket_of(value)
    with pytest.raises(ValueError, match="cannot be counted"):
        buckets_of([1.0, value])


@given(st.lists(VALUES, min_size=1, max_size=80), st.floats(0, 1))
def test_quantiles_are_within_one_percent_of_the_value_of_that_rank(values: list[float], q: float) -> None:
    estimate = count_values(values).quantile(q)
    rank = max(1, math.ceil(q * len(values) - 1e-9))
    exact = sorted(values)[rank - 1]
    assert estimate is not None
    assert abs(estimate - exact) <= max(0.01 * abs(exact) * (1 + 1e-12), SMALLEST)


def test_quantiles_of_a_million_values_are_within_one_percent() -> None:
    values = np.random.default_rng(7).lognormal(0.0, 1.5, 1_000_000)
    histogram = count_values(values)
    assert histogram.total == 1_000_000
    for q in (0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0):
        exact = float(np.quantile(values, q, method="inverted_cdf"))
        estimate = histogram.quantile(q)
        assert estimate is not None
        assert abs(estimate / exact - 1) <= 0.01
    assert len(histogram.encode()) < 4000
    share = histogram.share_at_most(1.0)
    assert share is not None
    assert np.mean(values <= 0.98) <= share <= np.mean(values <= 1.03)


def test_nothing_has_no_quantile() -> None:
    assert EMPTY.quantile(0.5) is None
    assert EMPTY.share_at_most(1.0) is None
    with pytest.raises(ValueError, match="from 0 to 1"):
        EMPTY.quantile(1.5)


@given(HISTOGRAMS)
def test_bytes_read_back_as_they_were(histogram: Histogram) -> None:
    assert decode(histogram.encode()) == histogram
    assert decode(memoryview(histogram.encode())) == histogram


def test_bytes_are_few_and_damaged_ones_are_refused() -> None:
    assert EMPTY.encode() == b""
    assert decode(None) == decode(b"") == EMPTY
    one = count_values([0.2] * 60).encode()
    assert len(one) == 4
    for damaged in (
        b"\x02" + one[1:],
        one[:-1],
        one[:-1] + b"\xff",
        b"\x01\x00\x00",
        b"\x01\xff\xff\x7f\x02",
    ):
        with pytest.raises(ValueError, match="no histogram"):
            decode(damaged)


@given(HISTOGRAMS, HISTOGRAMS, HISTOGRAMS)
def test_merging_is_exact_in_any_order(a: Histogram, b: Histogram, c: Histogram) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c) == merge((a, b, c))
    assert a + b - b == a
    assert a - a == EMPTY


@given(st.lists(st.tuples(st.integers(0, 5), VALUES, st.sampled_from([1, -1, 3])), max_size=60))
def test_groups_of_a_batch_are_counted_apart(batch: list[tuple[int, float, int]]) -> None:
    expected: dict[int, Histogram] = {}
    for group, value, weight in batch:
        expected[group] = expected.get(group, EMPTY) + Histogram({bucket_of(value): weight})
    groups, values, weights = ([row[place] for row in batch] for place in range(3))
    assert count_groups(groups, values, weights) == expected


def test_groups_count_once_without_weights() -> None:
    assert count_groups([3, 3, 4], [1.0, 1.0, -2.0]) == {
        3: Histogram({bucket_of(1.0): 2}),
        4: Histogram({bucket_of(-2.0): 1}),
    }
