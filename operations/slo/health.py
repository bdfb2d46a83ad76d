"""What must be well for service levels to be watched; importing this registers the check."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from agent_factory_site.common.health_checks import Finding, graded, register_check
from agent_factory_site.common.selectors.task_outcomes import task_outcomes
from operations.slo.models import Slo

TASK: Final = "operations.evaluate_slos"
WARN: Final = 90
FAIL: Final = 300


def _evaluation() -> Finding:
    """How long ago burn conditions were last brought up to date."""
    count = Slo.objects.filter(archived_at__isnull=True).count()
    if not count:
        return Finding("pass", "there is no SLO to evaluate", 0, "s")
    last = next((row.succeeded_at for row in task_outcomes() if row.task == TASK), None)
    if last is None:
        return Finding("warn", f"the burn conditions of {count:,} SLOs were never evaluated")
    age = max(0.0, (timezone.now() - last).total_seconds())
    text = f"the burn conditions of {count:,} SLOs were evaluated {age:,.0f} s ago"
    return graded(round(age, 1), warn=WARN, fail=FAIL, text=text, unit="s")


register_check(
    "slo_evaluation",
    _evaluation,
    measures="lastEvaluated",
    thresholds=f"warns when burn conditions were last evaluated more than {WARN} s ago, or never; fails at {FAIL} s",
)
