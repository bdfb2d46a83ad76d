"""Freezing what periods came to when they ended, and amending it after later corrections.

A report is written once and never changed: whoever comes second, or again after a crash, finds it there. What differs
later, for whatever reason, is an amendment with all figures anew, numbered one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.periods import Interval, floor_period
from operations.slo.domain.report_periods import ReportPeriod, periods_ended, report_kinds
from operations.slo.domain.windows import CalendarWindow
from operations.slo.models import Slo, SloReport, SloReportAmendment
from operations.slo.selectors.definitions import definition_of
from operations.slo.selectors.report_figures import (
    basis_text,
    present_basis,
    report_figures,
    series_of_period,
)
from operations.slo.selectors.slos import find_slo

AMENDED_FOR: Final = timedelta(days=397)
"""So long after its end a report is compared with what the buckets say: as long as hours are kept."""
DIFFERENCES: Final = ("sli", "good", "total")


@dataclass(slots=True)
class Frozen:
    """How many reports and amendments were written."""

    reports: int = 0
    amendments: int = 0


def freeze_due_reports(*, now: datetime | None = None) -> Frozen:
    """Freeze the periods that have ended since each SLO was made, and amend what has changed since."""
    moment = now or timezone.now()
    done = Frozen()
    for slo in list(Slo.objects.select_related("sli").order_by("pk")):
        upto = min(moment, slo.archived_at or moment)
        done.reports += _freeze_slo(slo, upto)
        done.amendments += amend_reports(slo=slo, now=moment)
    return done


def freeze_report(
    *, slo: UUID | str, period: ReportPeriod, at: datetime, now: datetime | None = None
) -> SloReport:
    """The report of the period that holds ``at``, frozen now where it is not yet.

    Raises :class:`Invalid` for a kind of period that the SLO does not report, :class:`Conflict` where the period has
    not ended or nothing was ever counted.
    """
    row = find_slo(slo)
    window = definition_of(row).window
    if period not in report_kinds(window):
        kinds = ", ".join(report_kinds(window))
        raise Invalid.field_error("/period", "invalid_choice", f"This SLO is reported by {kinds}.")
    moment = now or timezone.now()
    if period == "rolling":
        ended = [one for one in periods_ended(period, window, row.created_at, moment) if at in one]
        interval = ended[0] if ended else None
    else:
        zone = window.zone if isinstance(window, CalendarWindow) else timezone.get_default_timezone()
        found = floor_period(at, period, zone)
        interval = Interval(found.start, found.end) if found.end <= moment else None
    if interval is None:
        raise Conflict("not_ended", "A report is of a period that has ended.")
    _freeze(row, period, interval)
    report: SloReport | None = SloReport.objects.filter(
        slo=row, period=period, start=interval.start, end=interval.end
    ).first()
    if report is None:
        raise Conflict("no_data", "Nothing was ever counted for this SLO.")
    return report


def amend_reports(*, slo: Slo, now: datetime | None = None) -> int:
    """Write an amendment for each report of ``slo`` whose figures are others now; how many."""
    moment = now or timezone.now()
    reports = SloReport.objects.filter(slo=slo, end__gt=moment - AMENDED_FOR)
    written = 0
    for report in reports.select_related("series").defer("groups").order_by("end"):
        written += _amend(slo, report)
    return written


def _freeze_slo(slo: Slo, now: datetime) -> int:
    window = definition_of(slo).window
    known = set(SloReport.objects.filter(slo=slo).values_list("period", "start", "end"))
    written = 0
    for kind in report_kinds(window):
        for interval in periods_ended(kind, window, slo.created_at, now):
            if (kind, interval.start, interval.end) not in known:
                written += _freeze(slo, kind, interval)
    return written


def _freeze(slo: Slo, kind: ReportPeriod, interval: Interval) -> int:
    """One report in one transaction; 0 where there is one, or no data at all."""
    series = series_of_period(slo, interval)
    if (
        series is None
        or SloReport.objects.filter(slo=slo, period=kind, start=interval.start, end=interval.end).exists()
    ):
        return 0
    try:
        with transaction.atomic():
            figures, groups = report_figures(slo, series, kind, interval)
            SloReport.objects.create(
                slo=slo, series=series, period=kind, start=interval.start, end=interval.end, figures=figures,
                groups=groups,
            )  # fmt: skip
    except IntegrityError:
        # Somebody else was faster: theirs is the report.
        return 0
    return 1


def _amend(slo: Slo, report: SloReport) -> int:
    interval = Interval(report.start, report.end)
    last = report.amendments.defer("groups").order_by("-number").first()
    former: dict[str, Any] = report.figures if last is None else last.figures
    basis = present_basis(slo, report.series_id, report.series.labels, interval)
    if basis is None or basis == former["basis"]:
        return 0
    figures, groups = report_figures(slo, report.series, cast(ReportPeriod, report.period), interval)
    # What was promised then is what the report judged, whatever is promised now.
    if figures["slo"] != former["slo"] and figures["slo"]["target"] != former["slo"]["target"]:
        figures["note"] = (
            f"{figures['note']} The target was {former['slo']['target']} when this was frozen.".strip()
        )
    figures["difference"] = {
        "before": {name: former[name] for name in (*DIFFERENCES, "result")},
        "after": {name: figures[name] for name in (*DIFFERENCES, "result")},
        "budget_left": {"before": former["budget"]["left"], "after": figures["budget"]["left"]},
    }
    try:
        with transaction.atomic():
            SloReportAmendment.objects.create(
                report=report,
                number=1 if last is None else last.number + 1,
                figures=figures,
                groups=groups,
                reason=basis_text(former["basis"], figures["basis"]),
            )
    except IntegrityError:
        # Another run was faster: the next one compares with what it wrote.
        return 0
    return 1
