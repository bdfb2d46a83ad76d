"""The tables of an SLO's page: groups, reports, adjustments and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from agent_factory_site.common.admin.actors import actor_words
from operations.slo.models import BudgetAdjustment, Slo, SloAnnotation
from operations.slo.selectors.reports import list_reports
from operations.slo.selectors.status import group_statuses

from .slo_address import Asked
from .slo_cells import STATES, badge, burn_cell, labels_text, left_bar, level_text, state_badges
from .slo_cells import percent as share_text
from .slo_lanes import Remark, amount_words

GROUPS_SHOWN: Final = 25
REPORTS_SHOWN: Final = 12


def group_rows(slo: Slo, at: datetime, asked: Asked, objective: int | None) -> dict[str, Any]:
    if not slo.group_by or objective is None:
        return {"groups": [], "group_count": 0}
    found = group_statuses(slo, at, asked.view)
    capped = slo.objectives.filter(pk=objective).values_list("capped_at", flat=True).first()
    return {
        "groups": [
            {
                "labels": labels_text(one.labels),
                "query": asked.query(group=one.series),
                "level": level_text(one.sli),
                "bar": left_bar(one),
                "hour": burn_cell(one.burns.get(timedelta(hours=1))),
                "six": burn_cell(one.burns.get(timedelta(hours=6))),
                "state": state_badges(one),
                "events": one.counts.total,
                "active": one.series == asked.group,
            }
            for one in found[:GROUPS_SHOWN]
        ],
        "group_count": len(found),
        "capped_at": capped,
    }


def report_links(slo: Slo, series: int | None) -> list[dict[str, Any]]:
    """The latest reports, each as it stands after its amendments."""
    rows = list_reports(slo).filter(series=series).order_by("-end", "-id")
    found = []
    for row in rows[:REPORTS_SHOWN]:
        amendments = sorted(row.amendments.all(), key=lambda one: one.number)
        figures = amendments[-1].figures if amendments else row.figures
        ratio, left = figures["sli"], figures["budget"]["left_ratio"]
        found.append(
            {
                "row": row,
                "result": badge(*STATES[figures["result"]]),
                "level": "–" if ratio is None else level_text(Fraction(ratio)),
                "left": "–" if left is None else share_text(Fraction(left)),
                "amended": f"{len(amendments)} amendment{'s' if len(amendments) > 1 else ''}"
                if amendments
                else "",
                "links": [
                    (form.upper(), f"/api/v1/operations/slos/{slo.key}/reports/{row.pk}?format={form}")
                    for form in ("html", "csv", "pdf")
                ],
            }
        )
    return found


def remark_rows(
    adjustments: Sequence[BudgetAdjustment], annotations: Sequence[SloAnnotation], labels: dict[str, str]
) -> list[Remark]:
    rows: list[BudgetAdjustment | SloAnnotation] = [*adjustments, *annotations]
    actors = actor_words({row.pk: f"{row.actor_kind}:{row.actor_id}" for row in rows})
    found = [
        Remark(
            row.at,
            None,
            amount_words(row) + (f" ({labels_text(row.labels)})" if row.labels else ""),
            row.reason,
            actors[row.pk],
            row.labels == labels,
        )
        for row in adjustments
    ]
    found += [Remark(row.at, row.until, "annotation", row.text, actors[row.pk], True) for row in annotations]
    return sorted(found, key=lambda one: one.at, reverse=True)
