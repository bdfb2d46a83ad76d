"""Results of health checks as samples of the indicators with the source ``health``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from agent_factory_site.common.errors import DomainError
from operations.health.models import HealthCheck
from operations.health.selectors.health_checks import entity_name
from operations.slo.domain.sample_input import SampleInput
from operations.slo.domain.units import in_unit
from operations.slo.selectors.sources import slis_of
from operations.slo.services.record_samples import record_samples

log = logging.getLogger(__name__)


def wanted_by(source_filter: Mapping[str, Any], check: HealthCheck) -> bool:
    """Whether an indicator with this filter counts ``check``: by its key, its entity, or every check without one."""
    facts = {"check": check.key, "entity": entity_name(check), "kind": check.kind}
    return all(facts.get(name) == value for name, value in source_filter.items())


def sample_of(
    check: HealthCheck, kind: str, unit: str, ok: bool, seconds: float | None, at: datetime
) -> SampleInput:
    """One result as a sample: its duration in ``unit`` where an answer came and the indicator compares values.

    Else it is good or not. A probe without a good answer is not good, however fast it failed.
    """
    labels = {"check": check.key}
    if entity := entity_name(check):
        labels["entity"] = entity
    event = f"health:{check.pk}:{check.number}"
    if kind == "threshold" and ok and seconds is not None:
        return SampleInput(event_id=event, timestamp=at, labels=labels, value=in_unit(seconds, unit))
    return SampleInput(event_id=event, timestamp=at, labels=labels, good=int(ok), total=1)


def record_as_samples(check: HealthCheck, ok: bool, seconds: float | None, at: datetime) -> None:
    """Give a result to every indicator that wants it, within the transaction of the result.

    A sample's id is the check and the number of the result, so that none is counted twice.
    """
    for sli in slis_of("health"):
        if wanted_by(sli.source_filter, check):
            _record(sli.key, sample_of(check, sli.kind, sli.unit, ok, seconds, at))


def _record(sli: str, sample: SampleInput) -> None:
    try:
        with transaction.atomic():
            outcome = record_samples(sli=sli, samples=[sample])
    except DomainError as refusal:
        # An indicator that was archived a moment ago must not stand in the way of the result.
        log.info("a result was not counted by %s: %s", sli, refusal)
    else:
        for errors in outcome.rejected.values():
            log.warning("a result was refused by %s: %s", sli, "; ".join(error.detail for error in errors))
