"""40,616 real requests: the ledger agrees with the traces to the unit."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime

import pytest
from django.db.models import Count, Sum

from financial.domain.import_profiles.profile import ImportOptions
from financial.models import CostEvent, CostImport
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.breakdown import cost_breakdown
from financial.services.import_costs import import_costs

from .books import assert_books_agree
from .traces import AZURE_CODE, AZURE_CONV, BURSTGPT, MOONCAKE, TRACES, Trace

pytestmark = pytest.mark.django_db

START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


def run(trace: Trace, **changes):
    arguments = {"path": trace.path, "profile": trace.profile, "options": trace.options} | changes
    return import_costs(**arguments)


def row_sums() -> dict[str, int]:
    return CostEvent.objects.aggregate(
        events=Count("pk"),
        amount=Sum("base_amount", default=0),
        **{name: Sum(name, default=0) for name in USAGE_FIELDS},
    )


def rollup_sums(group_by=(), entity=("*", "*")):
    return cost_breakdown(start=START, end=END, zone=UTC, group_by=group_by, entity=entity)


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_a_trace_is_imported_to_the_unit(trace):
    report = run(trace)
    assert (report.complete, report.counts.rows, report.counts.accepted) == (True, trace.rows, trace.rows)
    assert (report.counts.duplicates, report.counts.rejected, report.counts.unpriced) == (0, 0, 0)
    assert report.rejects is None
    expected = {
        "events": trace.rows,
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cache_read_tokens": trace.cache_read_tokens,
    }
    rows = row_sums()
    assert {name: rows[name] for name in expected} == expected
    total = rollup_sums().total
    assert (total.events, total.amount) == (trace.rows, rows["amount"])
    assert dict(zip(USAGE_FIELDS, total.usage)) == {name: rows[name] for name in USAGE_FIELDS}
    assert report.counts.amount == rows["amount"] > 0
    assert report.counts.usage == {name: rows[name] for name in USAGE_FIELDS}
    assert CostEvent.objects.filter(input_tokens=0, output_tokens=0).count() == trace.failed
    assert_books_agree()


@pytest.mark.slow
def test_all_traces_together_and_all_of_them_again():
    for trace in TRACES:
        run(trace)
    rows = row_sums()
    assert rows["events"] == 40_616
    assert rows["input_tokens"] == sum(trace.input_tokens for trace in TRACES) == 185_423_856
    assert rows["output_tokens"] == sum(trace.output_tokens for trace in TRACES) == 8_567_221
    before = rollup_sums().total
    for trace in TRACES:
        repeat = run(trace)
        assert (repeat.counts.accepted, repeat.counts.duplicates) == (0, trace.rows)
        assert (repeat.counts.rejected, repeat.counts.amount) == (0, 0)
    assert row_sums() == rows
    assert rollup_sums().total == before
    assert CostImport.objects.filter(state="succeeded").count() == 2 * len(TRACES)


def test_amounts_are_those_of_a_person_with_a_pocket_calculator():
    """gpt-3.5-turbo: 0.50 and 1.50, gpt-4: 30 and 60 USD per million tokens."""
    with BURSTGPT.path.open() as file:
        rows = list(csv.DictReader(file))
    nano = {"ChatGPT": (500, 1_500), "GPT-4": (30_000, 60_000)}
    expected: dict[str, int] = {}
    for row in rows:
        per_input, per_output = nano[row["Model"]]
        cost = int(row["Request tokens"]) * per_input + int(row["Response tokens"]) * per_output
        expected[row["Model"]] = expected.get(row["Model"], 0) + cost
    run(BURSTGPT)
    groups = {group.key[0]: group.sums for group in rollup_sums(group_by=["model"]).groups}
    assert {name: (sums.events, sums.amount) for name, sums in groups.items()} == {
        "gpt-3.5-turbo": (320, expected["ChatGPT"]),
        "gpt-4": (80, expected["GPT-4"]),
    }
    failed = CostEvent.objects.filter(tags__outcome="failed")
    assert (failed.count(), failed.aggregate(total=Sum("amount"))["total"]) == (17, 0)


def test_times_count_from_the_origin():
    run(BURSTGPT)
    first = CostEvent.objects.order_by("occurred_at").first()
    last = CostEvent.objects.order_by("occurred_at").last()
    assert first.occurred_at == datetime(2024, 3, 1, 0, 0, 5, tzinfo=UTC)
    assert last.occurred_at == datetime(2024, 3, 1, 10, 21, 14, tzinfo=UTC)


def test_times_of_azure_are_utc_to_the_microsecond():
    run(AZURE_CODE)
    first = CostEvent.objects.order_by("occurred_at").first()
    assert first.occurred_at == datetime(2023, 11, 16, 18, 17, 3, 979_960, tzinfo=UTC)
    assert (first.input_tokens, first.output_tokens) == (4808, 10)


def test_two_traces_of_one_profile_stay_apart_by_what_is_set():
    run(AZURE_CONV, options=ImportOptions(assignments={"entity_id": "chat", "model": "gpt-4o"}))
    run(AZURE_CODE, options=ImportOptions(assignments={"entity_id": "code", "model": "gpt-4o"}))
    chat = rollup_sums(entity=("agent", "chat")).total
    code = rollup_sums(entity=("agent", "code")).total
    assert (chat.events, code.events) == (19_366, 8_819)
    # gpt-4o: 2.50 and 10 USD per million tokens.
    assert chat.amount == 22_361_870 * 2_500 + 4_088_665 * 10_000
    assert code.amount == 18_059_974 * 2_500 + 245_896 * 10_000


def test_cache_reads_are_the_leading_blocks_of_earlier_rows():
    """Against the definition itself, row by row: 37.4 % of all input."""
    seen: set[int] = set()
    expected = []
    for line in MOONCAKE.path.read_text().splitlines():
        row = json.loads(line)
        known = 0
        while known < len(row["hash_ids"]) and row["hash_ids"][known] in seen:
            known += 1
        expected.append(min(known * 512, row["input_length"]))
        seen.update(row["hash_ids"])
    run(MOONCAKE)
    stored = dict(CostEvent.objects.values_list("event_id", "cache_read_tokens"))
    by_row = {int(event_id.rpartition("/")[2]): cached for event_id, cached in stored.items()}
    assert [by_row[number] for number in range(1, len(expected) + 1)] == expected
    assert round(100 * sum(expected) / MOONCAKE.input_tokens, 1) == 37.4


def test_a_gzip_is_the_same_file(tmp_path):
    packed = tmp_path / "renamed"
    packed.write_bytes(gzip.compress(AZURE_CODE.path.read_bytes()))
    assert run(AZURE_CODE, path=packed).counts.accepted == AZURE_CODE.rows
    assert run(AZURE_CODE).counts.duplicates == AZURE_CODE.rows
    assert row_sums()["input_tokens"] == AZURE_CODE.input_tokens
