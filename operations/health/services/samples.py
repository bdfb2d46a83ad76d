"""Results of health checks as samples of the indicators with the source ``health``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from operations.health.models import HealthCheck
from operations.health.selectors.health_checks import entity_name
from operations.slo.domain.sample_input import SampleInput


def wanted_by(source_filter: Mapping[str, Any], check: HealthCheck) -> bool:
    """Whether an indicator with this filter counts ``check``: by its key, its entity, or every check without one."""
    facts = {"check": check.key, "entity": entity_name(check), "kind": check.kind}
    return all(facts.get(name) == value for name, value in source_filter.items())


def sample_of(check: HealthCheck, kind: str, ok: bool, seconds: float | None, at: datetime) -> SampleInput:
    """One result as a sample: its seconds where an answer came and the indicator compares values, else good or not.

    A probe without a good answer is not good, however fast it failed.
    """
    labels = {"check": check.key}
    if entity := entity_name(check):
        labels["entity"] = entity
    event = f"health:{check.pk}:{check.number}"
    if kind == "threshold" and ok and seconds is not None:
        return SampleInput(event_id=event, timestamp=at, labels=labels, value=seconds)
    return SampleInput(event_id=event, timestamp=at, labels=labels, good=int(ok), total=1)
