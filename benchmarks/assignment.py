"""Pure assignment with targeting, exclusion and holdout, beside GrowthBook's SDK on the same units."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, Final
from uuid import UUID

from growthbook import Experiment, GrowthBook

from research.domain.assignment import Arm, Definition, HoldoutRule, Namespace, decide
from research.domain.hashing import bucket_ranges, seed_state
from research.domain.targeting import compile_targeting

from .outcome import Outcome

UNITS: Final = 20_000
ROUNDS: Final = 7
BAR: Final = 40_000
SHARE: Final = 0.05
COUNTRIES: Final = ("DE", "FR", "US", "IT")

HOLDOUT: Final = HoldoutRule(SHARE, seed_state("holdout"))
DEFINITION: Final = Definition(
    id=UUID(int=1),
    key="prompt-v2",
    unit="user",
    status="running",
    arms=(Arm(1, "control", {}), Arm(2, "treatment", {})),
    phase=1,
    phases={1: 1},
    state=seed_state("prompt-v2"),
    ranges=bucket_ranges([0.5, 0.5], 0.9),
    targeting=compile_targeting(
        [
            {"attribute": "country", "op": "in", "value": ["DE", "FR", "IT"]},
            {"attribute": "plan", "op": "ne", "value": "trial"},
        ]
    ),
    namespace=Namespace("checkout", 0, 800),
)
# Their holdout and namespace as filters: where there are filters, their namespace is not asked.
THEIRS: Final[Experiment[int]] = Experiment(
    key="prompt-v2",
    variations=[0, 1],
    weights=[0.5, 0.5],
    coverage=0.9,
    hashVersion=2,
    condition={"country": {"$in": ["DE", "FR", "IT"]}, "plan": {"$ne": "trial"}},
    filters=[
        {"seed": "__checkout", "ranges": [(0.0, 0.8)], "hashVersion": 1, "attribute": "id"},
        {"seed": "holdout", "ranges": [(SHARE, 1.0)], "hashVersion": 2, "attribute": "id"},
    ],
)


def main() -> list[Outcome]:
    units = [
        {"id": f"user-{number:08d}", "country": COUNTRIES[number % 4], "plan": "pro", "age": number % 90}
        for number in range(UNITS)
    ]
    client = GrowthBook()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        mine = [decide(DEFINITION, unit["id"], unit, None, HOLDOUT).arm for unit in units]  # type: ignore[arg-type]
        ours.append(UNITS / (time.perf_counter() - began))
        began = time.perf_counter()
        other = [_ask(client, unit) for unit in units]
        theirs.append(UNITS / (time.perf_counter() - began))
        if [None if arm is None else arm.id - 1 for arm in mine] != other:
            raise RuntimeError("GrowthBook's SDK assigns other arms")
    rate, sdk = median(ours), median(theirs)
    inside = sum(arm is not None for arm in mine) / UNITS
    return [
        Outcome(
            "assignments with targeting, exclusion and holdout, one process",
            rate,
            "/s",
            ">=",
            BAR,
            f"{inside:.0%} of {UNITS:,} units take part; the slowest of {ROUNDS} rounds {min(ours):,.0f}/s",
        ),
        Outcome(
            "the same against GrowthBook's SDK, which gives every unit the same arm",
            rate / sdk,
            "x of the SDK",
            aside=f"SDK {sdk:,.0f}/s",
        ),
    ]


def _ask(client: GrowthBook, unit: dict[str, Any]) -> int | None:
    client.set_attributes(unit)
    found = client.run(THEIRS)
    return found.value if found.inExperiment else None
