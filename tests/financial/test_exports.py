"""Costs as files: every row once, the same as the list, in flat memory, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from financial.domain.cost_input import CostInput
from financial.domain.csv_cells import safe_text
from financial.models import ExchangeRate
from financial.selectors.cost_events import CostFilters, cost_event_chunks
from financial.services.record_costs import record_costs

from .conftest import COSTS, Api

pytestmark = pytest.mark.django_db

EXPORT = f"{COSTS}/export"
MONTH = {"start": "2026-11-01", "end": "2026-12-01"}
START = datetime(2026, 11, 1, tzinfo=UTC)


def body_of(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    rows, cursor = [], {}
    while True:
        page = api.get(COSTS, **query, **cursor).json()
        rows += page["results"]
        if not page["next"]:
            return rows
        cursor = {"cursor": page["next"].partition("cursor=")[2].partition("&")[0]}


@pytest.fixture
def ledger(api, cost) -> list[dict[str, Any]]:
    """Seven rows that differ in everything there is a filter for; as the list shows them."""
    ExchangeRate.objects.create(base="EUR", quote="USD", day="2026-11-03", rate=1_150_000_000_000)
    plain = {"usage": ..., "provider": ..., "model": ...}
    batch = [
        cost(event_id="1"),
        cost(event_id="2", tags={"env": "test", "team": "a,b"}, run_id="run-8", source="=other"),
        cost(event_id="3", model="nobodys", occurred_at="2026-11-04T00:00:00Z"),
        cost(
            event_id="4", **plain, amount="0.10", currency="EUR", cost_type="tool", entity_id="sales-bot",
            occurred_at="2026-11-03T00:00:00Z",
        ),
        cost(event_id="5", **plain, quantity="2.5", unit="call", cost_type="tool", entities={"user": "u-18"}),
        {
            "kind": "credit", "source": "finance", "event_id": "6", "occurred_at": "2026-11-05T00:00:00Z",
            "entity_type": "agent", "entity_id": "support-bot", "amount": "-2.00", "currency": "USD",
            "reason": '=HYPERLINK("x")\n"quoted", ünïcode',
        },
    ]  # fmt: skip
    assert api.post(COSTS, batch).json()["rejected"] == []
    first = next(row for row in listed(api) if row["event_id"] == "1")
    fix = {"source": "finance", "event_id": "7", "corrects": first["id"], "amount": "-0.001", "reason": "r"}
    assert api.post(COSTS, fix).status_code == 201
    return listed(api)


FILTERS = [
    ({}, {"1", "2", "3", "4", "5", "6", "7"}),
    ({"tag:env": "prod"}, {"1", "3", "4", "5", "7"}),
    ({"tag:env": "test", "tag:team": "a,b"}, {"2"}),
    ({"tag:env": "prod", "tag:team": "a,b"}, set()),
    ({"tag:absent": "x"}, set()),
    ({"currency": "EUR"}, {"4"}),
    ({"currency": "JPY"}, set()),
    ({"kind": "credit"}, {"6"}),
    ({"kind": "correction"}, {"7"}),
    ({"kind": "charge", "unpriced": "true"}, {"3", "5"}),
    ({"cost_type": "tool", "currency": "USD"}, {"5"}),
    ({"entity_type": "agent", "entity_id": "sales-bot"}, {"4"}),
    ({"entity_type": "user", "entity_id": "u-17", "kind": "charge"}, {"1", "2", "3", "4"}),
    ({"entity_type": "user", "entity_id": "u-18", "tag:env": "prod"}, {"5"}),
    ({"run_id": "run-8"}, {"2"}),
    ({"source": "finance"}, {"6", "7"}),
    ({"model": "gpt-4o"}, {"1", "2", "7"}),
    ({"start": "2026-11-03", "end": "2026-11-05"}, {"3", "4"}),
]


@pytest.mark.parametrize(("query", "events"), FILTERS)
def test_the_list_and_both_exports_hold_the_same_rows(api, ledger, query, events):
    rows = listed(api, **query)
    assert {row["event_id"] for row in rows} == events
    lines = body_of(api.get(EXPORT, format="ndjson", **query)).splitlines()
    assert [json.loads(line) for line in lines] == rows
    cells = table(body_of(api.get(EXPORT, **query)))
    assert [cell["id"] for cell in cells] == [row["id"] for row in rows]


def test_every_cell_of_the_csv_says_what_the_list_says(api, ledger):
    response = api.get(EXPORT, format="csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="costs.csv"'
    for cells, row in zip(table(body_of(response)), ledger, strict=True):
        for name, value in row.items():
            if name == "usage":
                assert {part: int(cells[part]) for part in value} == value
            elif isinstance(value, dict):
                assert json.loads(cells[name]) == value
            elif isinstance(value, bool):
                assert cells[name] == str(value).lower()
            else:
                assert cells[name] == ("" if value is None else safe_text(value) if name in
                                       {"source", "reason"} else value)  # fmt: skip


def test_text_never_becomes_a_formula_and_amounts_stay_numbers(api, ledger):
    cells = {row["event_id"]: row for row in table(body_of(api.get(EXPORT)))}
    assert cells["2"]["source"] == "'=other"
    assert cells["6"]["reason"] == '\'=HYPERLINK("x")\n"quoted", ünïcode'
    assert (cells["6"]["amount"], cells["7"]["base_amount"]) == ("-2.00", "-0.001")


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "＝1"])
def test_what_a_spreadsheet_computes_is_quoted(text):
    assert safe_text(text) == f"'{text}"
    assert safe_text(f"a{text}") == f"a{text}"


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ({"format": "xlsx"}, "?format", "unknown_format"),
        ({"currency": "usd"}, "?currency", "unknown_currency"),
        ({"kind": "gift"}, "?kind", "bad_value"),
        ({"tag": "env=prod"}, "?tag", "unknown_parameter"),
        ({"tags": "env"}, "?tags", "unknown_parameter"),
        ({"tag:": "x"}, "?tag:", "unknown_parameter"),
        ({"tag:env": ["a", "b"]}, "?tag:env", "repeated"),
        ({"currency": ["USD", "EUR"]}, "?currency", "repeated"),
        ({"limit": "3"}, "?limit", "unknown_parameter"),
        ({"entity_type": "agent"}, "?entity_id", "incomplete"),
        ({"start": "yesterday"}, "?start", "bad_time"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_sent(api, query, pointer, code):
    answer = api.get(EXPORT, **query)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [(f"?{error['parameter']}", error["code"]) for error in answer.json()["errors"]] == [
        (pointer, code)
    ]


def test_exporting_needs_read(db):
    assert Api(["common:read"]).get(EXPORT).status_code == 403
    assert Api(["financial:read"]).get(EXPORT).status_code == 200


def test_an_empty_export_has_its_header_alone(api):
    text = body_of(api.get(EXPORT))
    assert text.count("\r\n") == 1
    assert text.startswith("id,source,event_id,kind,occurred_at,")
    assert body_of(api.get(EXPORT, format="ndjson")) == ""


# --- Breakdowns -------------------------------------------------------------------------------------


def test_breakdowns_are_csv_as_well(api, ledger):
    for path in (f"{COSTS}/agent/support-bot", "/api/v1/financial/summary"):
        query = {**MONTH, "group_by": "day,entity:user"}
        groups = api.get(path, **query).json()["breakdown"]
        response = api.get(path, **query, format="csv")
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        cells = table(response.content.decode())
        assert [
            (row["day"], row["entity:user"] or None, row["amount"], row["currency"], row["events"], row["unpriced"])
            for row in cells
        ] == [
            (*group["key"], group["amount"], "USD", str(group["events"]), str(group["unpriced"]))
            for group in groups
        ]  # fmt: skip
        assert [int(row["output_tokens"]) for row in cells] == [
            group["usage"]["output_tokens"] for group in groups
        ]


def test_labels_of_a_breakdown_never_become_formulas(api, cost):
    api.post(COSTS, cost(tags={"=env": "@SUM(A1)"}))
    text = api.get("/api/v1/financial/summary", **MONTH, group_by="tag:=env", format="csv").content.decode()
    assert text.splitlines()[1].startswith("'@SUM(A1),0.0051,USD,1,0,1200,")
    answer = api.get("/api/v1/financial/summary", **MONTH, format="xml")
    assert answer.json()["errors"][0]["code"] == "unknown_format"


# --- Size -------------------------------------------------------------------------------------------


def record(count: int) -> None:
    for first in range(0, count, 5_000):
        costs = [
            CostInput(
                source="s", event_id=str(n), occurred_at=START + timedelta(seconds=n // 7), entity_type="agent",
                entity_id=f"a{n % 3}", cost_type="tool", amount="0.001", currency="USD", tags={"n": str(n)},
            )
            for n in range(first, min(first + 5_000, count))
        ]  # fmt: skip
        assert not record_costs(costs=costs).rejected


def test_chunks_cover_every_row_once_by_so_many_queries_each(db):
    record(2_345)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        chunks = [[row.event.event_id for row in chunk] for chunk in cost_event_chunks(CostFilters())]
    assert [len(chunk) for chunk in chunks] == [1_000, 1_000, 345]
    assert {event for chunk in chunks for event in chunk} == {str(n) for n in range(2_345)}
    # Rows, attributions, entities.
    assert len(queries) == 9


def peak_of_export(api: Api, **query: str) -> tuple[int, int]:
    """Bytes at the peak, and lines."""
    tracemalloc.start()
    try:
        response = api.get(EXPORT, **query)
        lines = sum(part.count(b"\n") for part in response.streaming_content)
        return tracemalloc.get_traced_memory()[1], lines
    finally:
        tracemalloc.stop()


def test_memory_stays_flat_while_the_ledger_grows(api):
    record(2_000)
    small, lines = peak_of_export(api, format="ndjson")
    assert lines == 2_000
    record(10_000)
    large, lines = peak_of_export(api, format="ndjson")
    assert lines == 10_000
    assert large < 1.3 * small


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_fifty_thousand_rows_take_the_memory_of_two_thousand(api, form):
    record(2_000)
    small, _ = peak_of_export(api, format=form)
    record(50_000)
    large, lines = peak_of_export(api, format=form)
    assert lines == 50_000 + (form == "csv")
    assert large < 1.3 * small
