"""Shifted sums hold mean, variance and covariance wherever the data lie, and however they were split."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.domain.statistics.moments import Moments, merged, moments_of

pytestmark = pytest.mark.once

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
units = st.lists(st.tuples(numbers, numbers, numbers), min_size=2, max_size=40)


def _of(rows: list[tuple[float, float, float]]) -> Moments:
    x, d, c = zip(*rows)
    return moments_of(x, d, c)


def _exact_covariance(a: list[float], b: list[float]) -> float:
    first, second = [Fraction(one) for one in a], [Fraction(one) for one in b]
    n = len(first)
    mean_a, mean_b = sum(first) / n, sum(second) / n
    return float(sum((x - mean_a) * (y - mean_b) for x, y in zip(first, second)) / (n - 1))


def test_values_around_a_billion_keep_every_digit() -> None:
    values = [1e9, 1e9 + 1, 1e9 + 2]
    raw = Moments(3, 1e9, 3.0, 5.0)
    assert raw.mean == 1e9 + 1
    assert raw.variance == 1.0
    assert moments_of(values).variance == 1.0
    # What raw sums of squares make of it.
    assert (sum(v * v for v in values) - sum(values) ** 2 / 3) / 2 != 1.0


def test_a_single_unit_has_a_mean_and_no_variance() -> None:
    one = moments_of([5.0], [2.0], [1.0])
    assert (one.mean, one.variance, one.covariance_xd, one.covariance_xc) == (5.0, None, None, None)
    assert Moments(0).mean is None
    assert Moments(0).total == 0.0


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, -1e-300, 1e150])
def test_equal_values_have_no_variance_at_all(value: float) -> None:
    assert moments_of([value] * 1000).variance == 0.0
    assert merged(moments_of([value] * 7) for _ in range(50)).variance == 0.0


@given(units, st.floats(-1e6, 1e6))
def test_all_moments_equal_exact_arithmetic(rows: list[tuple[float, float, float]], shift: float) -> None:
    x, d, c = (list(column) for column in zip(*rows))
    made = _of(rows).shifted(shift, 0.0, -shift)
    size = max(map(abs, (*x, *d, *c, shift, 1.0)))
    tolerance = 1e-12 * size * size
    for found, a, b in (
        (made.variance, x, x),
        (made.denominator_variance, d, d),
        (made.covariate_variance, c, c),
        (made.covariance_xd, x, d),
        (made.covariance_xc, x, c),
        (made.covariance_dc, d, c),
    ):
        assert found == pytest.approx(_exact_covariance(a, b), rel=1e-9, abs=tolerance)
    assert made.mean == pytest.approx(float(sum(map(Fraction, x)) / len(x)), rel=1e-12, abs=1e-9)


@given(units, units, units)
def test_merging_is_summing_over_all(first: list, second: list, third: list) -> None:
    together, split = _of(first + second + third), merged([_of(first), _of(second), _of(third)])
    other = _of(third) + (_of(second) + _of(first))
    scale = max(abs(one) for row in first + second + third for one in row) ** 2 + 1
    for name in ("mean", "variance", "covariance_xd", "covariance_xc", "covariance_dc", "covariate_mean"):
        wanted = pytest.approx(getattr(together, name), rel=1e-9, abs=1e-12 * scale)
        assert getattr(split, name) == wanted
        assert getattr(other, name) == wanted
    assert split.n == len(first) + len(second) + len(third)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=30))
def test_an_offset_of_a_billion_changes_no_variance(values: list[int]) -> None:
    here, there = moments_of(values), moments_of([value + 1_000_000_000 for value in values])
    assert there.variance == pytest.approx(here.variance, rel=1e-12, abs=1e-12)
    joined = there + moments_of([1e9])
    assert joined.variance == pytest.approx(float(np.var([*values, 0], ddof=1)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_infinities_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="values must be finite"):
        moments_of([1.0, bad])
    with pytest.raises(ValueError, match="x_sum must be finite"):
        Moments(2, 0.0, bad, 1.0)


def test_sums_that_no_data_can_have_are_refused() -> None:
    with pytest.raises(ValueError, match="n must not be negative, not -1"):
        Moments(-1)
    with pytest.raises(ValueError, match="squares must not be negative"):
        Moments(2, 0.0, 1.0, -1.0)
    with pytest.raises(ValueError, match="one entry per unit each"):
        moments_of([1.0, 2.0], [1.0])
