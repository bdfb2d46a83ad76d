"""What can come of an experiment, and how that is written down."""

from __future__ import annotations

from typing import Final

SHIP: Final = "ship"
ROLL_BACK: Final = "roll_back"
INCONCLUSIVE: Final = "inconclusive"
OUTCOMES: Final = (SHIP, ROLL_BACK, INCONCLUSIVE)


def decision_words(outcome: str, variant: str | None, baseline: str) -> str:
    """The decision as an experiment keeps it: ``ship treatment``, ``keep control``, ``inconclusive``."""
    if outcome == SHIP:
        return f"ship {variant}"
    return f"keep {baseline}" if outcome == ROLL_BACK else INCONCLUSIVE
