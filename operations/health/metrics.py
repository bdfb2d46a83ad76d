"""The numbers that health checks publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent_factory_site.common.metrics import Number, Sample, register, shared
from operations.health.models import HealthCheck
from operations.health.selectors.health_checks import entity_name, list_health_checks

MAX_CHECKS = 500
STATUS = {"passing": 1, "failing": 0, "unknown": None}


@shared
def _checks() -> list[HealthCheck]:
    # One more than is published, so that the cap is seen and said.
    return list(list_health_checks().order_by("-state_since", "key")[: 2 * MAX_CHECKS])


def _each(measure: Callable[[HealthCheck], Number | None]) -> Callable[[], Iterator[Sample]]:
    def current() -> Iterator[Sample]:
        for check in _checks():
            yield Sample({"check": check.key, "entity": entity_name(check)}, measure(check))

    return current


register(
    "agent_factory_health_check_status",
    "Whether an agent's or tool's health check passes (1) or fails (0); absent while that is not known.",
    "",
    ["check", "entity"],
    _each(lambda check: STATUS[check.state]),
    max_series=MAX_CHECKS,
)
register(
    "agent_factory_health_check_duration_seconds",
    "How long the last probe of a health check took to be answered; absent where it was not.",
    "seconds",
    ["check", "entity"],
    _each(lambda check: check.last_seconds if check.state != HealthCheck.State.UNKNOWN else None),
    max_series=MAX_CHECKS,
)
register(
    "agent_factory_health_check_last_result_timestamp_seconds",
    "When a health check had its last result, in seconds since 1970.",
    "seconds",
    ["check", "entity"],
    _each(lambda check: check.last_at.timestamp() if check.last_at else None),
    max_series=MAX_CHECKS,
)
