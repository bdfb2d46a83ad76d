"""Experiments and flags for tests, made as the API makes them."""

from __future__ import annotations

from typing import Any

from research.models import Experiment
from research.services.experiments import create_experiment
from research.services.lifecycle import start_experiment

ARMS = (("control", 0.5, {"model": "gpt-4o"}), ("treatment", 0.5, {"model": "o3"}))


def definition(key: str = "prompt-v2", arms: Any = ARMS, **changes: Any) -> dict[str, Any]:
    """The body of an experiment; ``arms`` are keys with weights and payloads."""
    variants = [{"key": name, "weight": weight, "payload": payload} for name, weight, payload in arms]
    metrics = [{"key": "success", "kind": "proportion", "role": "primary", "direction": "increase"}]
    return {"key": key, "name": key, "unit": "user", "variants": variants, "metrics": metrics, **changes}


def draft(key: str = "prompt-v2", arms: Any = ARMS, **changes: Any) -> Experiment:
    """An experiment that has not started."""
    return create_experiment(definition=definition(key, arms, **changes))


def running(key: str = "prompt-v2", arms: Any = ARMS, **changes: Any) -> Experiment:
    """An experiment that runs."""
    return start_experiment(experiment=draft(key, arms, **changes).pk)
