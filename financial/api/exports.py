"""Costs and breakdowns as files: CSV and newline-delimited JSON, streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import msgspec
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.errors import FieldError, Invalid
from financial.domain.csv_cells import csv_lines, safe_text
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.cost_events import CostEventRow, CostFilters, cost_event_chunks

from . import renderings, schemas
from .cost_lists import cost_filters

FORMATS: Final = ("csv", "ndjson")
CSV_TYPE: Final = "text/csv; charset=utf-8"
NDJSON_TYPE: Final = "application/x-ndjson"

# What is the sender's own text; amounts, times and ids are ours and left as they are.
_TEXTS: Final = frozenset(
    {"source", "event_id", "entity_type", "entity_id", "provider", "model", "unit", "run_id", "reason"}
)
_PLAIN: Final = (
    "id", "source", "event_id", "kind", "occurred_at", "recorded_at", "entity_type", "entity_id", "cost_type",
    "provider", "model", "service_tier", "quantity", "unit", "amount", "currency", "base_amount",
    "base_currency", "unpriced", "price_version", "unit_price", "run_id", "corrects", "reason",
)  # fmt: skip
_OBJECTS: Final = ("entities", "tags", "parts")
COLUMNS: Final = (*_PLAIN, *USAGE_FIELDS, *_OBJECTS)
_encoder: Final = msgspec.json.Encoder()


class CostExportView(ApiView):
    """Every cost that the filters leave, in one file."""

    scopes: ClassVar = {"GET": "financial:read"}

    @extend_schema(
        operation_id="export_costs",
        summary="Recorded costs as a file, newest first",
        description="The filters are those of the list. Streamed, as many as there are. In CSV entities, tags and "
        "parts are JSON, and text that a spreadsheet would compute begins with a quote.",
        parameters=[
            *schemas.EXPORT_PARAMETERS,
            OpenApiParameter("format", str, enum=FORMATS, description="Default csv."),
        ],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "A header and one line per cost."),
            (200, NDJSON_TYPE): OpenApiResponse(OpenApiTypes.STR, "One cost per line, as in the list."),
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        form, errors = export_format(request, FORMATS, "csv")
        filters, wrong = cost_filters(request.query_params, {"format"})
        if errors or wrong:
            raise Invalid.fields(*errors, *wrong)
        return _stream(form, filters)


def export_format(request: Request, known: Sequence[str], default: str) -> tuple[str, list[FieldError]]:
    """The parameter ``format``, and what is wrong with it."""
    form = request.query_params.get("format", default)
    if form in known:
        return form, []
    return default, [FieldError("?format", "unknown_format", f"One of {', '.join(known)}.")]


def _stream(form: str, filters: CostFilters) -> StreamingHttpResponse:
    chunks = cost_event_chunks(filters)
    write = _csv if form == "csv" else _ndjson
    answer = StreamingHttpResponse(write(chunks), content_type=CSV_TYPE if form == "csv" else NDJSON_TYPE)
    answer["Content-Disposition"] = f'attachment; filename="costs.{form}"'
    return answer


def _csv(chunks: Iterator[list[CostEventRow]]) -> Iterator[str]:
    yield csv_lines([COLUMNS])
    for chunk in chunks:
        yield csv_lines(_cells(renderings.stored_event(row)) for row in chunk)


def _ndjson(chunks: Iterator[list[CostEventRow]]) -> Iterator[bytes]:
    for chunk in chunks:
        yield b"".join(_encoder.encode(renderings.stored_event(row)) + b"\n" for row in chunk)


def _cells(event: dict[str, Any]) -> list[object]:
    usage = event["usage"]
    return [
        *(_cell(name, event[name]) for name in _PLAIN),
        *(usage.get(name, 0) for name in USAGE_FIELDS),
        *(json.dumps(event[name], ensure_ascii=False, separators=(",", ":")) for name in _OBJECTS),
    ]


def _cell(name: str, value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe_text(value) if name in _TEXTS and isinstance(value, str) else value


def breakdown_csv(answer: dict[str, Any], group_by: Sequence[str]) -> HttpResponse:
    """The groups of a breakdown as CSV: a column for each grouping, then amount, currency, events and usage."""
    rows: list[list[object]] = [
        [*(safe_text(name) for name in group_by), "amount", "currency", "events", "unpriced", *USAGE_FIELDS]
    ]
    for group in answer["breakdown"]:
        key = group["key"] if len(group_by) > 1 else [group["key"]]
        rows.append(
            [
                *(None if label is None else safe_text(label) for label in key),
                group["amount"],
                answer["currency"],
                group["events"],
                group["unpriced"],
                *(group["usage"][name] for name in USAGE_FIELDS),
            ]
        )
    response = HttpResponse(csv_lines(rows), content_type=CSV_TYPE)
    response["Content-Disposition"] = 'attachment; filename="costs.csv"'
    return response
