"""The published test vectors of assignment: ``python -m tests.research.vectors`` writes them.

Every expected value comes from GrowthBook's SDK, so that the file says what other clients do, not what we do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from growthbook.core import chooseVariation, gbhash, getBucketRanges, inNamespace

PUBLISHED: Final = Path(__file__).resolve().parents[2] / "docs" / "assignment_vectors.json"

SEEDS: Final = ("prompt-v2", "prompt-v2:2", "", "sämling", "a" * 100)
UNITS: Final = (
    "u-17", "1", "0", " ", "User@Example.com", "018f3c1e-7b1a-7c3e-9f00-000000000001", "žluťoučký kůň",
    "用户42", "😀", "👩‍🚀 crew", "x" * 255, *(f"unit-{number}" for number in range(40)),
)  # fmt: skip
SPLITS: Final[tuple[tuple[list[float], float], ...]] = (
    ([0.5, 0.5], 1.0),
    ([0.5, 0.5], 0.1),
    ([0.9, 0.1], 0.37),
    ([1 / 3, 1 / 3, 1 / 3], 1.0),
    ([0.3333, 0.3333, 0.3334], 0.999),
    ([0.1] * 10, 0.5),
    ([1.0, 0.0], 1.0),
    ([0.5, 0.5], 0.0),
)
NAMESPACES: Final = (("checkout", 0.0, 0.5), ("checkout", 0.5, 0.75), ("prompts", 0.123, 0.877))


def vectors() -> dict[str, Any]:
    """Hashes, ranges, choices and namespaces as GrowthBook's SDK computes them."""
    return {
        "description": "Deterministic assignment (GrowthBook's hash, version 2; version 1 for exclusion groups). "
        "hash: unit interval of a unit under a seed. ranges: bucket ranges of weights and coverage. choose: arm "
        "index of a unit, -1 beyond the coverage. namespace: whether a unit is in [from, to) of a group.",
        "hash": [
            {"seed": seed, "unit": unit, "interval": gbhash(seed, unit, 2)}
            for seed in SEEDS
            for unit in UNITS
        ],
        "ranges": [
            {"weights": weights, "coverage": coverage, "ranges": _ranges(weights, coverage)}
            for weights, coverage in SPLITS
        ],
        "choose": [
            {
                "seed": seed,
                "unit": unit,
                "weights": weights,
                "coverage": coverage,
                "arm": chooseVariation(gbhash(seed, unit, 2) or 0.0, _ranges(weights, coverage)),
            }
            for seed in SEEDS[:3]
            for unit in UNITS
            for weights, coverage in SPLITS
        ],
        "namespace": [
            {
                "group": group,
                "from": start,
                "to": end,
                "unit": unit,
                "in": inNamespace(unit, (group, start, end)),
            }
            for group, start, end in NAMESPACES
            for unit in UNITS
        ],
    }


def _ranges(weights: list[float], coverage: float) -> list[Any]:
    return [list(each) for each in getBucketRanges(len(weights), coverage, weights)]


if __name__ == "__main__":
    PUBLISHED.write_text(json.dumps(vectors(), ensure_ascii=False, separators=(",", ":")) + "\n")
    print(PUBLISHED)
