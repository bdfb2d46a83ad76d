"""What profiles make of rows, with mappings, assignments and bad values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain.cost_input import CostInput
from financial.domain.import_profiles import PROFILES
from financial.domain.import_profiles.checks import check_columns, check_options, unused_columns
from financial.domain.import_profiles.mooncake import SeenBlocks
from financial.domain.import_profiles.profile import ImportOptions
from financial.domain.import_profiles.reader import RowReader
from financial.domain.import_profiles.values import BadValue, parse_time_origin, read_amount, read_count

pytestmark = pytest.mark.once

ORIGIN = datetime(2024, 3, 1, tzinfo=UTC)
BURST_ROW = {
    "Timestamp": "5",
    "Model": "ChatGPT",
    "Request tokens": "472",
    "Response tokens": "18",
    "Total tokens": "490",
    "Log Type": "Conversation log",
}
GENERIC_ROW = {
    "occurred_at": "2026-11-02T10:11:12+01:00",
    "entity_type": "agent",
    "entity_id": "support-bot",
    "cost_type": "llm",
    "provider": "openai",
    "model": "gpt-4o",
    "usage.input_tokens": "1200",
    "usage.output_tokens": "310",
    "tags.env": "prod",
    "entities.team": "emea",
}


def read(
    profile: str, row: dict, *, origin: datetime | None = ORIGIN, mapping=None, assignments=None, number=1
):
    options = ImportOptions(mapping or {}, assignments or {}, origin)
    return RowReader(PROFILES[profile], options, "c0ffee").read(row, number)


def codes(outcome) -> dict[str, str]:
    assert isinstance(outcome, list), outcome
    return {error.pointer: error.code for error in outcome}


def refusals(profile: str, *, mapping=None, assignments=None, origin=None):
    errors = check_options(PROFILES[profile], ImportOptions(mapping or {}, assignments or {}, origin))
    return [(error.pointer, error.code) for error in errors]


def test_a_row_of_burstgpt():
    cost = read("burstgpt", BURST_ROW, number=7)
    assert isinstance(cost, CostInput)
    assert (cost.source, cost.event_id) == ("import:burstgpt", "c0ffee/7")
    assert (cost.entity_type, cost.entity_id, cost.cost_type) == ("agent", "burstgpt", "llm")
    assert (cost.provider, cost.model) == ("openai", "gpt-3.5-turbo")
    assert cost.occurred_at == ORIGIN + timedelta(seconds=5)
    assert (cost.usage.input_tokens, cost.usage.output_tokens) == (472, 18)
    assert cost.tags == {"log_type": "Conversation log"}


def test_a_failed_request_is_an_event_without_usage():
    cost = read("burstgpt", BURST_ROW | {"Request tokens": "0", "Response tokens": "0", "Total tokens": "0"})
    assert (cost.usage.input_tokens, cost.usage.output_tokens) == (0, 0)
    assert cost.tags["outcome"] == "failed"


def test_an_unknown_model_name_is_taken_as_it_is():
    assert read("burstgpt", BURST_ROW | {"Model": "Llama-9"}).model == "Llama-9"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Timestamp": ""}, {"/occurred_at": "required"}),
        ({"Timestamp": "soon"}, {"/occurred_at": "not_a_time"}),
        ({"Timestamp": "-1"}, {"/occurred_at": "not_a_time"}),
        ({"Timestamp": "NaN"}, {"/occurred_at": "not_a_time"}),
        ({"Timestamp": "999999999999999"}, {"/occurred_at": "not_a_time"}),
        ({"Model": " "}, {"/model": "required"}),
        ({"Request tokens": "-3"}, {"/usage/input_tokens": "negative"}),
        ({"Request tokens": "1.5"}, {"/usage/input_tokens": "not_a_count"}),
        ({"Request tokens": "1e3"}, {"/usage/input_tokens": "not_a_count"}),
        ({"Request tokens": "٣"}, {"/usage/input_tokens": "not_a_count"}),
        ({"Request tokens": "99999999999999999", "Total tokens": ""}, {"/usage/input_tokens": "bad_value"}),
        ({"Total tokens": "491"}, {"": "total_differs"}),
        ({"Total tokens": "many"}, {"": "not_a_count"}),
        (
            {"Timestamp": "x", "Request tokens": "y", "Response tokens": ""},
            {
                "/occurred_at": "not_a_time",
                "/usage/input_tokens": "not_a_count",
                "/usage/output_tokens": "required",
            },
        ),
    ],
)
def test_every_bad_value_of_a_row_is_named(change, expected):
    assert codes(read("burstgpt", BURST_ROW | change)) == expected


def test_an_assignment_wins_over_a_mapping_which_wins_over_the_profile():
    row = BURST_ROW | {"Deployment": "gpt-4o", "Team": "emea"}
    assert read("burstgpt", row, mapping={"model": "Deployment"}).model == "gpt-4o"
    both = read("burstgpt", row, mapping={"model": "Deployment"}, assignments={"model": "o3"})
    assert both.model == "o3"
    named = read(
        "burstgpt",
        row,
        mapping={"entities.team": "Team", "entity_id": "Team"},
        assignments={"provider": "azure", "source": "campus", "tags.env": "prod"},
    )
    assert (named.provider, named.source, named.entity_id) == ("azure", "campus", "emea")
    assert (named.entities, named.tags["env"]) == ({"team": "emea"}, "prod")


def test_an_empty_assignment_leaves_the_field_out():
    cost = read("burstgpt", BURST_ROW, assignments={"tags.log_type": "", "provider": ""})
    assert (cost.tags, cost.provider) == ({}, None)


def test_a_row_of_azure_is_utc_and_priced_as_the_profile_says():
    row = {
        "TIMESTAMP": "2023-11-16 18:15:46.6805900",
        "ContextTokens": "374",
        "GeneratedTokens": "44",
    }
    cost = read("azure-llm-trace", row, origin=None)
    assert cost.occurred_at == datetime(2023, 11, 16, 18, 15, 46, 680_590, tzinfo=UTC)
    assert (cost.provider, cost.model, cost.entity_id) == ("openai", "gpt-4", "azure-llm-trace")


def mooncake(reader: RowReader, number: int, ids: object, tokens: object = 1024):
    row = {"timestamp": 0, "input_length": tokens, "output_length": 1, "hash_ids": ids}
    return reader.read(row, number)


def test_cached_tokens_are_the_leading_blocks_seen_before():
    reader = RowReader(PROFILES["mooncake"], ImportOptions(time_origin=ORIGIN), "c0ffee")
    assert mooncake(reader, 1, [0, 1]).usage.cache_read_tokens == 0
    assert mooncake(reader, 2, [0, 2], 700).usage.cache_read_tokens == 512
    # 1 has been seen, but not as a prefix: 9 comes before it.
    assert mooncake(reader, 3, [9, 1]).usage.cache_read_tokens == 0
    assert mooncake(reader, 4, [0, 2], 700).usage.cache_read_tokens == 700
    assert mooncake(reader, 5, [], 0).usage.cache_read_tokens == 0


@pytest.mark.parametrize("ids", [None, "0", [1.5], [-1], [True], [2**64], {"a": 1}])
def test_block_ids_that_are_none_are_named(ids):
    reader = RowReader(PROFILES["mooncake"], ImportOptions(time_origin=ORIGIN), "c0ffee")
    assert codes(mooncake(reader, 1, ids)) == {"": "not_block_ids"}


@given(st.lists(st.lists(st.integers(0, 5000), max_size=8), max_size=30))
def test_seen_blocks_are_a_set(requests):
    blocks, seen = SeenBlocks(), set()
    for ids in requests:
        expected = 0
        while expected < len(ids) and ids[expected] in seen:
            expected += 1
        assert blocks.leading(ids) == expected
        seen.update(ids)


def test_a_generic_row_is_read_by_the_names_of_the_fields():
    cost = read("generic", GENERIC_ROW, origin=None, number=3)
    assert cost.occurred_at == datetime(2026, 11, 2, 10, 11, 12, tzinfo=timezone(timedelta(hours=1)))
    assert (cost.source, cost.event_id) == ("import:generic", "c0ffee/3")
    assert (cost.usage.input_tokens, cost.usage.output_tokens) == (1200, 310)
    assert (cost.tags, cost.entities) == ({"env": "prod"}, {"team": "emea"})


def test_a_generic_json_line_is_the_body_of_the_api():
    body = {
        "event_id": "run-7/llm-3",
        "source": "checkout-bot",
        "occurred_at": "2026-11-02T10:11:12.5Z",
        "entity_type": "agent",
        "entity_id": "support-bot",
        "entities": {"user": "u-17"},
        "cost_type": "llm",
        "provider": "openai",
        "model": "gpt-4o",
        "usage": {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310},
        "run_id": "run-7",
        "tags": {"env": "prod", "attempt": 2},
    }
    cost = read("generic", body, origin=None)
    assert (cost.source, cost.event_id, cost.run_id) == ("checkout-bot", "run-7/llm-3", "run-7")
    assert (cost.usage.cache_read_tokens, cost.tags) == (800, {"env": "prod", "attempt": "2"})


def test_generic_amounts_are_exact_however_they_are_written():
    row = {key: value for key, value in GENERIC_ROW.items() if not key.startswith("usage")}
    row |= {"cost_type": "tool", "amount": "1.5e-05", "currency": "USD"}
    assert read("generic", row, origin=None).amount == "0.000015"


def test_columns_are_found_down_a_path_of_objects():
    row = {"meta": {"who": {"team": "emea"}}, "a.b": "flat", **GENERIC_ROW}
    del row["entities.team"]
    cost = read(
        "generic",
        row,
        origin=None,
        mapping={"entities.team": "meta.who.team", "tags.flat": "a.b", "tags.no": "a.c"},
    )
    assert (cost.entities, cost.tags) == ({"team": "emea"}, {"env": "prod", "flat": "flat"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"occurred_at": "2026-11-02 10:00"}, {"/occurred_at": "no_time_zone"}),
        ({"occurred_at": "1700000000"}, {"/occurred_at": "no_time_origin"}),
        ({"cost_type": "llms"}, {"/cost_type": "bad_value"}),
        ({"usage.input_tokens": "x", "cost_type": ""}, {"/usage/input_tokens": "not_a_count"}),
        ({"usage.tokens": "3"}, {"/usage/tokens": "unknown_field"}),
        ({"entity_id": ""}, {"/entity_id": "required"}),
        ({"tags.env": ["a"]}, {"/tags/env": "not_a_text"}),
        ({"amount": "NaN"}, {"/amount": "not_an_amount"}),
        ({"amount": "1e999999"}, {"/amount": "too_large"}),
    ],
)
def test_bad_generic_values_are_named(change, expected):
    assert codes(read("generic", GENERIC_ROW | change, origin=None)) == expected


def test_unix_seconds_count_from_1970():
    row = GENERIC_ROW | {"occurred_at": "1700000000.25"}
    cost = read("generic", row, origin=datetime(1970, 1, 1, tzinfo=UTC))
    assert cost.occurred_at == datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)


def test_options_that_make_no_sense_are_refused():
    assert refusals("burstgpt") == [("/time_origin", "required")]
    assert refusals("mooncake") == [("/time_origin", "required")]
    assert refusals("burstgpt", assignments={"occurred_at": "2026-01-01T00:00:00Z"}) == []
    assert refusals("generic", mapping={"user": "x"}) == [("/map", "unknown_field")]
    assert refusals("generic", mapping={"usage.tokens": "x"}) == [("/map", "unknown_field")]
    assert refusals("generic", mapping={"tags.": "x"}) == [("/map", "unknown_field")]
    assert refusals("generic", mapping={"tags.a": ""}) == [("/map", "blank")]
    assert refusals("generic", assignments={"colour": "x"}) == [("/set", "unknown_field")]
    assert refusals("generic", assignments={"usage.images": "x"}) == [("/set", "bad_value")]
    assert refusals("generic", assignments={"occurred_at": "now"}) == [("/set", "bad_value")]
    assert refusals("generic", assignments={"amount": "ten"}) == [("/set", "bad_value")]
    assert refusals("generic", assignments={"source": "reprice"}) == [("/set", "bad_value")]


def columns(profile: str, names: list[str], kind="csv", **options):
    errors = check_columns(PROFILES[profile], ImportOptions(**options), names, list(PROFILES.values()), kind)
    return [(error.code, error.detail) for error in errors]


def test_a_file_of_another_profile_is_recognised():
    azure = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
    ((code, detail),) = columns("burstgpt", azure)
    assert code == "missing_column"
    assert detail.endswith("It looks like --profile azure-llm-trace.")
    ((code, detail),) = columns("azure-llm-trace", ["timestamp", "input_length", "output_length"], "jsonl")
    assert code == "wrong_format"
    assert detail.endswith("It looks like --profile mooncake.")
    assert columns("generic", azure)[0][1].endswith("It looks like --profile azure-llm-trace.")


def test_columns_that_a_file_lacks_are_named():
    ((code, detail),) = columns("azure-llm-trace", ["TIMESTAMP", "ContextTokens"])
    assert (code, '"GeneratedTokens"' in detail) == ("missing_column", True)
    assert (
        columns(
            "azure-llm-trace", ["when", "ContextTokens", "GeneratedTokens"], mapping={"occurred_at": "when"}
        )
        == []
    )
    assert (
        columns("azure-llm-trace", ["TIMESTAMP", "ContextTokens"], assignments={"usage.output_tokens": "0"})
        == []
    )
    ((code, detail),) = columns("generic", list(GENERIC_ROW), mapping={"run_id": "Run"})
    assert (code, '"Run"' in detail) == ("missing_column", True)
    assert [code for code, _ in columns("generic", ["occurred_at", "usage.tokens"])] == [
        *("unknown_field", "required", "required", "required"),
    ]


def test_columns_that_nothing_reads_are_told():
    generic = PROFILES["generic"]
    assert unused_columns(generic, ImportOptions(), [*GENERIC_ROW, "note"]) == ["note"]
    assert unused_columns(generic, ImportOptions(mapping={"tags.note": "note"}), ["note"]) == []
    assert unused_columns(PROFILES["burstgpt"], ImportOptions(), [*BURST_ROW, "Session"]) == ["Session"]
    assert unused_columns(PROFILES["mooncake"], ImportOptions(), ["timestamp", "hash_ids"]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01", ORIGIN),
        ("2024-03-01T00:00:00Z", ORIGIN),
        ("2024-03-01T01:00:00+01:00", ORIGIN),
    ],
)
def test_time_origins(text, expected):
    assert parse_time_origin(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2024-03-01T00:00:00", "no_time_zone"),
        ("2024-02-30", "not_a_time"),
        ("", "not_a_time"),
        ("5", "no_time_origin"),
    ],
)
def test_time_origins_that_are_none(text, code):
    with pytest.raises(BadValue) as refusal:
        parse_time_origin(text)
    assert refusal.value.code == code


def test_counts_as_spreadsheets_write_them():
    assert [read_count(value) for value in (12, "12", " 12 ", "12.0", "12.")] == [12] * 5
    for value in (True, 1.5, None, "", "0x1", "1_000", "1,000", "∞"):
        with pytest.raises(BadValue):
            read_count(value)


def test_amounts_are_written_out_and_never_rounded():
    written = {
        ".5": "0.5",
        "1e-9": "0.000000001",
        "3": "3",
        3: "3",
        "2.50": "2.5",
        "-1.10": "-1.1",
        "1E2": "100",
    }
    assert {value: read_amount(value) for value in written} == written
    for value in ("1_0", "1,5", "inf", "", "--1", "0x1"):
        with pytest.raises(BadValue):
            read_amount(value)
