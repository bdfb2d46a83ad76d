"""``slos/{id}/reports``: what periods came to, as JSON, page, CSV and PDF."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.fields import InstantField, format_instant
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.published_metrics import AnyFormat
from agent_factory_site.common.api.serializers import StrictSerializer, validated, validated_query
from agent_factory_site.common.api.views import ApiListView, ApiView
from operations.slo.models import SloReport
from operations.slo.selectors.reports import get_report, list_reports
from operations.slo.selectors.slos import find_slo
from operations.slo.services.reports import freeze_report

from .definitions import READ, SLO, WRITE
from .fields import MomentField
from .report_csv import report_csv
from .report_pdf import report_pdf
from .report_rows import Document, document_of, first_day

FORMATS: Final = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "pdf": "application/pdf",
}
KINDS: Final = ("week", "month", "quarter", "year", "rolling")


def rendered_report(row: SloReport, whole: bool = False) -> dict[str, Any]:
    """A report in JSON; ``figures`` are those that were frozen, amendments tell what they are now."""
    amendments = list(row.amendments.all())
    figures = amendments[-1].figures if amendments else row.figures
    body: dict[str, Any] = {
        "id": str(row.pk),
        "slo": row.slo.key,
        "labels": row.series.labels,
        "period": row.period,
        "start": format_instant(row.start),
        "end": format_instant(row.end),
        "result": figures["result"],
        "sli": figures["sli"],
        "left_ratio": figures["budget"]["left_ratio"],
        "amendments": len(amendments),
        "created_at": format_instant(row.created_at),
    }
    if whole:
        body["figures"] = row.figures
        body["amendments"] = [
            {
                "number": one.number,
                "reason": one.reason,
                "figures": one.figures,
                "created_at": format_instant(one.created_at),
            }
            for one in amendments
        ]
    return body


class ReportSchema(serializers.Serializer[Any]):
    """A report in a list: how it stands after its amendments."""

    id = serializers.UUIDField()
    slo = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    period = serializers.CharField()
    start = InstantField()
    end = InstantField()
    result = serializers.CharField()
    sli = serializers.FloatField(allow_null=True)
    left_ratio = serializers.FloatField(allow_null=True)
    amendments = serializers.IntegerField()
    created_at = InstantField()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return rendered_report(instance)


class AmendmentSchema(serializers.Serializer[Any]):
    """What a report's figures are after corrections, and why."""

    number = serializers.IntegerField()
    reason = serializers.CharField()
    figures = serializers.DictField()
    created_at = InstantField()


class WholeReportSchema(ReportSchema):
    """A report with its figures as they were frozen, and its amendments."""

    figures = serializers.DictField()
    amendments = AmendmentSchema(many=True)  # type: ignore[assignment]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return rendered_report(instance, whole=True)


class FreezeRequest(StrictSerializer):
    """A kind of period, and a time within the one that is meant."""

    period = serializers.ChoiceField(KINDS)
    at = MomentField()


class FormatQuery(StrictSerializer):
    """In which form."""

    format = serializers.ChoiceField(tuple(FORMATS), required=False)


class ReportsView(ApiListView):
    """Reports (GET), and freezing one of a period that ended (POST)."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    ordering: ClassVar = ("-end", "-id")
    serializer_class = ReportSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return list_reports(find_slo(self.kwargs["slo"]))

    @extend_schema(
        operation_id="list_slo_reports", summary="Reports, the latest period first", parameters=[SLO]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="freeze_slo_report",
        summary="Freeze the report of a period that has ended",
        description="Periods that end are frozen by themselves; this is for those before the SLO was made, or for "
        "not waiting. A report that there is is answered as it is.",
        parameters=[SLO],
        request=FreezeRequest,
        responses={201: WholeReportSchema},
    )
    @idempotent()
    def post(self, request: Request, slo: str) -> Response:
        row = find_slo(slo)
        made = freeze_report(slo=row.pk, **validated(FreezeRequest, request))
        found = get_report(row, made.pk)
        location = f"/api/v1/operations/slos/{row.pk}/reports/{found.pk}"
        return Response(rendered_report(found, whole=True), status=201, headers={"Location": location})


class ReportView(ApiView):
    """One report, in the form that ``format`` or ``Accept`` asks for."""

    scopes: ClassVar = {"GET": READ}
    content_negotiation_class = AnyFormat

    @extend_schema(
        operation_id="get_slo_report",
        summary="One report, as JSON, a page to print, CSV or PDF",
        parameters=[SLO, OpenApiParameter("format", str, enum=tuple(FORMATS), description="Or by `Accept`.")],
        responses={
            (200, "application/json"): WholeReportSchema,
            (200, "text/html"): OpenApiResponse(OpenApiTypes.STR, "A page to read and print."),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "A line for every figure."),
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY, "A4 pages."),
        },
    )
    def get(self, request: Request, slo: str, report: UUID) -> HttpResponseBase:
        chosen = validated_query(FormatQuery, request).get("format") or _accepted(request)
        row = get_report(find_slo(slo), report)
        if chosen == "json":
            return Response(rendered_report(row, whole=True))
        return report_file(row, chosen)


def report_file(row: SloReport, form: str) -> HttpResponse:
    """A report as it stands after its amendments: ``html``, ``csv`` or ``pdf``."""
    document = document_of(row, list(row.amendments.all()), every_group=form == "csv")
    if form == "html":
        return _page(document)
    content: str | bytes = report_pdf(document) if form == "pdf" else report_csv(document)
    kind = FORMATS[form] + ("; charset=utf-8" if form == "csv" else "")
    response = HttpResponse(content, content_type=kind)
    name = f"{row.slo.key}-{row.period}-{first_day(row.figures['period'])}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _page(document: Document) -> HttpResponse:
    nonce = secrets.token_urlsafe(16)
    tables = [
        {
            "title": table.title,
            "columns": _cells(table.columns, table.numeric),
            "rows": [_cells(row, table.numeric) for row in table.rows],
            "note": table.note,
        }
        for table in document.tables
    ]
    tone = document.result.lower() if document.result in ("Met", "Missed") else ""
    context = {"document": document, "tables": tables, "tone": tone, "nonce": nonce}
    response = HttpResponse(render_to_string("operations/slo_report.html", context))
    # A page of its own, which may be saved and sent: it brings its style with it and loads nothing.
    policy = f"default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'nonce-{nonce}'"
    response["Content-Security-Policy"] = policy
    return response


def _cells(row: tuple[str, ...], numeric: frozenset[int]) -> list[dict[str, Any]]:
    return [{"text": text, "numeric": place in numeric} for place, text in enumerate(row)]


def _accepted(request: Request) -> str:
    """The first form that ``Accept`` names; JSON where it names none."""
    for part in request.headers.get("Accept", "").split(","):
        wanted = part.split(";")[0].strip().lower()
        for form, kind in FORMATS.items():
            if wanted == kind:
                return form
    return "json"
