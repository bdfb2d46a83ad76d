"""Counts of windows, the service level that follows, and the verdict on a minute."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.slo.domain.counts import (
    COUNT_FIELDS,
    NOTHING,
    Counts,
    Sli,
    sli,
    slice_change,
    slice_verdict,
    sum_counts,
)

pytestmark = pytest.mark.once

COUNTS = st.builds(Counts, *(st.integers(-(10**12), 10**12) for _ in COUNT_FIELDS))


def test_counts_add_and_subtract_field_by_field() -> None:
    one = Counts(9, 10, 500, 1, 0, 2, 3, 0, 1)
    two = Counts(1, 2, -100, 0, 1, 1, 1, 1, 0)
    assert one + two == Counts(10, 12, 400, 1, 1, 3, 4, 1, 1)
    assert one - two == Counts(8, 8, 600, 1, -1, 1, 2, -1, 1)
    assert -one == Counts(-9, -10, -500, -1, 0, -2, -3, 0, -1)
    assert (one.bad, one.slices) == (1, 1)
    assert not NOTHING
    assert one
    assert sum_counts([]) == NOTHING


@given(st.lists(COUNTS, max_size=6), COUNTS)
def test_what_is_added_and_taken_off_again_leaves_nothing(parts: list[Counts], other: Counts) -> None:
    total = sum_counts(parts)
    assert total + other - other == total
    for part in parts:
        total = total - part
    assert total == NOTHING


def test_the_level_by_occurrences_takes_exclusions_off_and_shows_both_views() -> None:
    counts = Counts(good=90, total=100, excluded_good=10, excluded_total=20)
    assert sli(counts, "occurrences") == Sli(80, 80, Fraction(1))
    assert sli(counts, "occurrences", "before") == Sli(90, 100, Fraction(9, 10))
    assert sli(counts, "occurrences", "before").error_ratio == Fraction(1, 10)


def test_the_level_by_time_slices_is_of_minutes_with_data() -> None:
    counts = Counts(
        good=1, total=100, good_slices=58, bad_slices=2, excluded_good_slices=8, excluded_bad_slices=1
    )
    assert sli(counts, "timeslices") == Sli(50, 51, Fraction(50, 51))
    assert sli(counts, "timeslices", "before") == Sli(58, 60, Fraction(58, 60))


def test_without_data_there_is_no_level_but_a_reason() -> None:
    assert sli(NOTHING, "occurrences") == Sli(0, 0, None, "no_data")
    assert sli(NOTHING, "timeslices").error_ratio is None
    excluded = Counts(good=3, total=4, excluded_good=3, excluded_total=4)
    assert sli(excluded, "occurrences") == Sli(0, 0, None, "all_excluded")
    assert sli(excluded, "occurrences", "before") == Sli(3, 4, Fraction(3, 4))
    assert sli(excluded, "timeslices").reason == "no_data"


def test_a_minute_is_good_from_exactly_its_target_on() -> None:
    target = Fraction(95, 100)
    assert slice_verdict(95, 100, target) is True
    assert slice_verdict(94, 100, target) is False
    assert slice_verdict(19, 20, target) is True
    assert slice_verdict(0, 0, target) is None
    assert slice_verdict(999_999_999_999_999, 10**15, Fraction(1)) is False


def test_a_verdict_that_flips_moves_one_slice() -> None:
    target = Fraction(9, 10)
    change = slice_change(Counts(9, 10), Counts(9, 11), target)
    assert (change.good_slices, change.bad_slices) == (-1, 1)
    change = slice_change(NOTHING, Counts(1, 1), target)
    assert (change.good_slices, change.bad_slices) == (1, 0)
    change = slice_change(Counts(0, 1), NOTHING, target)
    assert (change.good_slices, change.bad_slices) == (0, -1)
    change = slice_change(Counts(9, 10), Counts(19, 20), target)
    assert (change.good_slices, change.bad_slices) == (0, 0)
