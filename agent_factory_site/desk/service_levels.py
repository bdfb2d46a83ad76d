"""The service levels on the landing page: those that burn, and those that are missed."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from operations.slo.admin.slo_cells import badge, left_bar, level_text, state_badges
from operations.slo.models import Slo
from operations.slo.selectors.slos import list_slos
from operations.slo.selectors.status import statuses

SHOWN: Final = 6


def service_levels_context(request: HttpRequest) -> dict[str, Any] | None:
    """How many there are, and the worst of those that burn or are missed; None for whoever may not see SLOs."""
    if not admin.site.get_model_admin(Slo).has_view_permission(request):
        return None
    found = statuses(list_slos(state="active"))
    # What pages now comes before what has been lost already.
    bad = sorted(
        (one for one in found if one.firing or one.state == "missed"),
        key=lambda one: (
            not any(
                condition.state == "firing" and condition.rule.severity == "page" for condition in one.firing
            ),
            not one.firing,
            one.budget.left_ratio if one.budget.left_ratio is not None else 0,
        ),
    )
    return {
        "count": len(found),
        "burning": sum(1 for one in bad if one.firing),
        "missed": sum(1 for one in found if one.state == "missed"),
        "unknown": sum(1 for one in found if one.state == "no_data"),
        "more": max(0, len(bad) - SHOWN),
        "rows": [
            {
                "slo": one.slo,
                "url": reverse("admin:operations_slo_change", args=[one.slo.pk]),
                "state": state_badges(one),
                "level": level_text(one.sli),
                "bar": left_bar(one),
            }
            for one in bad[:SHOWN]
        ],
        "all_well": badge("all well", "af-badge-good"),
    }
