"""Assignment agrees with GrowthBook's SDK bucket by bucket, is balanced, and experiments do not see each other."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from math import sqrt

import pytest
from growthbook.core import chooseVariation, gbhash, getBucketRanges, inNamespace
from hypothesis import given
from hypothesis import strategies as st

from research.domain.hashing import bucket_ranges, choose, namespace_interval, unit_interval

from .vectors import PUBLISHED, vectors

pytestmark = pytest.mark.once

VECTORS = json.loads(PUBLISHED.read_text())
IDS = [f"user-{number}" for number in range(100_000)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def test_the_published_vectors_are_those_of_growthbooks_sdk() -> None:
    assert json.loads(json.dumps(vectors())) == VECTORS


def test_we_compute_every_published_vector() -> None:
    assert len(VECTORS["hash"]) == 255
    for case in VECTORS["hash"]:
        assert unit_interval(case["seed"], case["unit"]) == case["interval"], case
    for case in VECTORS["ranges"]:
        assert [list(each) for each in bucket_ranges(case["weights"], case["coverage"])] == case["ranges"]
    for case in VECTORS["choose"]:
        found = choose(
            unit_interval(case["seed"], case["unit"]), bucket_ranges(case["weights"], case["coverage"])
        )
        assert (-1 if found is None else found) == case["arm"], case
    for case in VECTORS["namespace"]:
        place = namespace_interval(case["group"], case["unit"])
        assert (case["from"] <= place < case["to"]) == case["in"], case


@given(TEXTS, TEXTS, TEXTS)
def test_any_text_hashes_as_in_growthbooks_sdk(seed: str, unit: str, group: str) -> None:
    assert unit_interval(seed, unit) == gbhash(seed, unit, 2)
    assert namespace_interval(group, unit) == gbhash(f"__{group}", unit, 1)
    assert (0.2 <= namespace_interval(group, unit) < 0.7) == inNamespace(unit, (group, 0.2, 0.7))


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=8), st.floats(0, 1), st.integers(0, 9999))
def test_any_split_chooses_as_growthbooks_sdk(parts: list[int], coverage: float, bucket: int) -> None:
    weights = [part / sum(parts) for part in parts]
    theirs = getBucketRanges(len(weights), coverage, weights)
    assert list(bucket_ranges(weights, coverage)) == theirs
    found = choose(bucket / 10_000, bucket_ranges(weights, coverage))
    assert (-1 if found is None else found) == chooseVariation(bucket / 10_000, theirs)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=8), st.integers(0, 9999))
def test_coverage_that_grows_moves_nobody(parts: list[int], bucket: int) -> None:
    weights = [part / sum(parts) for part in parts]
    arms = [choose(bucket / 10_000, bucket_ranges(weights, share / 20)) for share in range(21)]
    for before, after in pairwise(arms):
        assert before is None or before == after


@pytest.mark.parametrize("seed", ["prompt-v2", "checkout", "prompt-v2:2"])
@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.9, 0.1], [0.2, 0.3, 0.5]])
def test_arms_are_balanced_within_four_sigma(seed: str, weights: list[float]) -> None:
    ranges = bucket_ranges(weights, 1.0)
    counts = Counter(choose(unit_interval(seed, unit), ranges) for unit in IDS)
    for arm, weight in enumerate(weights):
        sigma = sqrt(len(IDS) * weight * (1 - weight))
        assert abs(counts[arm] - len(IDS) * weight) < 4 * sigma


def test_experiments_are_independent_of_each_other_and_of_the_holdout() -> None:
    ranges = bucket_ranges([0.5, 0.5], 1.0)
    for one, other in [
        ("prompt-v2", "prompt-v3"),
        ("a", "b"),
        ("prompt-v2", "prompt-v2:2"),
        ("x", "holdout"),
    ]:
        pairs = Counter(
            (choose(unit_interval(one, unit), ranges), choose(unit_interval(other, unit), ranges))
            for unit in IDS
        )
        sigma = sqrt(len(IDS) * 0.25 * 0.75)
        assert all(abs(pairs[a, b] - len(IDS) / 4) < 4 * sigma for a in (0, 1) for b in (0, 1)), pairs
