"""Reports of periods and their amendments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from agent_factory_site.common.errors import NotFound
from operations.slo.models import Slo, SloReport, SloReportAmendment


def list_reports(slo: Slo) -> QuerySet[Any]:
    """The reports of an SLO with their amendments, two queries; what groups came to is left in the database."""
    amendments = Prefetch("amendments", SloReportAmendment.objects.defer("groups"))
    rows = SloReport.objects.filter(slo=slo).select_related("slo", "series").defer("groups")
    return rows.prefetch_related(amendments)


def get_report(slo: Slo, report: UUID) -> SloReport:
    """A report of an SLO; raises :class:`NotFound`."""
    row: SloReport | None = list_reports(slo).filter(pk=report).first()
    if row is None:
        raise NotFound("not_found", "There is no such report of this SLO.")
    return row
