"""The experiments on the landing page."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from research.admin.experiment_results import VERDICTS
from research.admin.experiment_words import badge, days_words, state_badge
from research.models import Experiment
from research.selectors.running import running_experiments

SHOWN: Final = 6


def experiments_context(request: HttpRequest) -> dict[str, Any] | None:
    """Those that run, with what their last analysis came to; None for whoever may not see experiments."""
    if not admin.site.get_model_admin(Experiment).has_view_permission(request):
        return None
    found = running_experiments(SHOWN + 1)
    return {
        "more": len(found) > SHOWN,
        "rows": [
            {
                "experiment": one.experiment,
                "url": reverse("admin:research_experiment_change", args=[one.experiment.pk]),
                "state": state_badge(one.experiment),
                "units": one.standing.units,
                "days": days_words(one.standing.running),
                "primary": one.standing.primary,
                "verdict": badge(*VERDICTS[one.verdict]) if one.verdict in VERDICTS else "",
            }
            for one in found[:SHOWN]
        ],
    }
