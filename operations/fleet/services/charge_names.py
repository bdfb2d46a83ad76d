"""The names under which the ledger knows what runs are charged."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

from financial.domain.cost_input import event_key
from financial.models import CostEventKey

RUNS: Final = "runs"
LITELLM: Final = "litellm"
OTLP: Final = "otlp"
MAX_EVENT_ID: Final = 255
WHOLE_RUN: Final = "(whole run)"
"""Stands for the step where the end of a run says what all of it used: no id of a step has a space."""


def cost_event(run_id: str, step_id: str = WHOLE_RUN) -> str:
    """The event id of what a step, or a whole run, is charged under: ids of both may have slashes."""
    name = f"{run_id} {step_id}"
    return name if len(name) <= MAX_EVENT_ID else hashlib.sha256(name.encode()).hexdigest()


def charged_as_whole(run_ids: Collection[str]) -> set[str]:
    """The runs whose end said what they used and was charged: their calls are not charged beside that."""
    keys = {event_key(RUNS, cost_event(run_id)): run_id for run_id in run_ids}
    found = CostEventKey.objects.filter(key__in=keys).values_list("key", flat=True)
    return {keys[key] for key in found}
