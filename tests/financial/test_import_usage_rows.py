"""What the profiles of LiteLLM, OpenAI, Anthropic and FOCUS make of single rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from financial.domain.cost_input import CostInput
from financial.domain.import_profiles import PROFILES
from financial.domain.import_profiles.profile import ImportOptions
from financial.domain.import_profiles.reader import RowReader
from financial.domain.import_profiles.values import round_amount

pytestmark = pytest.mark.once
LITELLM = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "88dc28",
    "spend": "0.0123456789012",
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "startTime": "2026-03-01 10:00:00.125",
    "model": "claude-sonnet-4-5",
    "custom_llm_provider": "anthropic",
    "user": "",
    "team_id": "t-1",
    "cache_hit": "False",
    "status": "success",
    "request_tags": '["env:prod", "beta"]',
    "metadata": json.dumps(
        {
            "usage_object": {
                "cache_read_input_tokens": 300,
                "cache_creation_input_tokens": 200,
                "prompt_tokens_details": {
                    "cached_tokens": 300,
                    "cache_creation_tokens": 200,
                    "cache_creation_token_details": {"ephemeral_1h_input_tokens": 150},
                },
                "completion_tokens_details": {"reasoning_tokens": 20},
            }
        }
    ),
}
OPENAI = {
    "start_time": 1_730_419_200,
    "model": "gpt-4o-2024-08-06",
    "input_tokens": 1000,
    "output_tokens": 500,
    "input_cached_tokens": 800,
    "input_audio_tokens": 100,
    "input_cached_audio_tokens": 60,
    "num_model_requests": 5,
    "project_id": "proj_1",
    "batch": True,
}
ANTHROPIC = {
    "starting_at": "2025-08-01T00:00:00Z",
    "uncached_input_tokens": 1500,
    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
    "cache_read_input_tokens": 200,
    "output_tokens": 500,
    "server_tool_use": {"web_search_requests": 10},
    "model": "claude-sonnet-4-20250514",
    "service_tier": "batch",
    "context_window": "0-200k",
    "workspace_id": "wrkspc_1",
}
FOCUS = {
    "BilledCost": "1.23456789012",
    "BillingAccountId": "acme",
    "BillingCurrency": "USD",
    "ChargePeriodStart": "2026-03-01T00:00:00Z",
    "ServiceCategory": "Storage",
    "ConsumedQuantity": "2.50",
    "ConsumedUnit": "GB-Months",
    "SubAccountId": "web",
    "Tags": '{"env": "prod", "done": true, "none": null}',
}


def read(profile: str, row: dict, **options):
    return RowReader(PROFILES[profile], ImportOptions(**options), "c0ffee").read(row, 1)


def good(profile: str, row: dict, **options) -> CostInput:
    cost = read(profile, row, **options)
    assert isinstance(cost, CostInput), cost
    return cost


def codes(profile: str, row: dict) -> list[tuple[str, str]]:
    outcome = read(profile, row)
    assert isinstance(outcome, list), outcome
    return [(error.pointer, error.code) for error in outcome]


def test_a_row_of_litellm():
    cost = good("litellm", LITELLM)
    assert (cost.source, cost.event_id) == ("import:litellm", "chatcmpl-1")
    assert cost.occurred_at == datetime(2026, 3, 1, 10, 0, 0, 125_000, tzinfo=UTC)
    usage = cost.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (1000, 50, 20)
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens) == (300, 50, 150)
    assert cost.entities == {"api_key": "88dc28", "team": "t-1"}
    assert (cost.tags["env"], cost.tags["beta"], cost.amount) == ("prod", "true", None)


def test_whose_figure_a_row_of_litellm_costs():
    mapped = good("litellm", LITELLM, mapping={"amount": "spend"})
    assert (mapped.amount, mapped.currency) == ("0.012345679", "USD")
    hit = good("litellm", LITELLM | {"cache_hit": "True"})
    assert (hit.amount, hit.usage.input_tokens) == ("0", 1000)
    none = LITELLM | {"prompt_tokens": 0, "completion_tokens": 0, "metadata": "{}"}
    assert good("litellm", none).amount == "0.012345679"
    tool = good("litellm", none | {"call_type": "call_mcp_tool", "model": "MCP: search", "spend": 0})
    assert (tool.cost_type, tool.amount) == ("tool", None)
    failed = good("litellm", none | {"status": "failure", "model": "", "spend": 0})
    assert (failed.tags["outcome"], failed.amount, failed.model) == ("failed", "0", None)
    routed = good("litellm", LITELLM | {"custom_llm_provider": "", "model": "openai/gpt-4o"})
    assert routed.provider == "litellm"


def test_a_result_of_openai():
    cost = good("openai-usage", OPENAI)
    assert cost.occurred_at == datetime(2024, 11, 1, tzinfo=UTC)
    usage = cost.usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.audio_input_tokens) == (1000, 800, 40)
    assert (usage.requests, cost.service_tier, cost.entities) == (5, "batch", {"project": "proj_1"})
    assert (
        good("openai-usage", OPENAI | {"batch": "false", "service_tier": "default"}).service_tier
        == "standard"
    )


def test_the_partitions_of_anthropic_are_summed():
    cost = good("anthropic-usage", ANTHROPIC)
    usage = cost.usage
    assert (usage.input_tokens, usage.cache_read_tokens) == (3200, 200)
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.requests) == (500, 1000, 1)
    assert (cost.service_tier, cost.entities) == ("batch", {"workspace": "wrkspc_1"})
    assert cost.tags == {"context_window": "0-200k", "web_search_requests": "10"}
    assert good("anthropic-usage", ANTHROPIC | {"context_window": "200k-1M"}).usage.requests == 0
    assert good("anthropic-usage", ANTHROPIC | {"speed": "fast"}).service_tier == "fast"


def test_a_charge_of_focus():
    cost = good("focus", FOCUS)
    assert (cost.amount, cost.currency, cost.kind) == ("1.23456789", "USD", "charge")
    assert (cost.cost_type, cost.quantity, cost.unit) == ("storage", "2.5", "GB-Months")
    assert (cost.entity_type, cost.entity_id) == ("account", "web")
    assert cost.tags == {"env": "prod", "done": "true"}
    cached = good("focus", FOCUS | {"ConsumedQuantity": "7.0", "ConsumedUnit": "Cached Input Tokens"})
    assert (cached.usage.input_tokens, cached.usage.cache_read_tokens, cached.quantity) == (7, 7, None)
    effective = good("focus", FOCUS | {"EffectiveCost": "0.5"}, mapping={"amount": "EffectiveCost"})
    assert effective.amount == "0.5"


@pytest.mark.parametrize(
    ("profile", "row", "expected"),
    [
        ("litellm", LITELLM | {"request_id": ""}, [("/event_id", "required")]),
        ("litellm", LITELLM | {"prompt_tokens": -1}, [("/usage/input_tokens", "negative")]),
        ("litellm", LITELLM | {"metadata": "{"}, [("", "not_json")]),
        ("litellm", LITELLM | {"metadata": {"usage_object": []}}, [("", "not_an_object")]),
        ("litellm", LITELLM | {"request_tags": "{}"}, [("", "not_a_list")]),
        ("openai-usage", OPENAI | {"model": None}, [("/model", "required")]),
        ("openai-usage", OPENAI | {"service_tier": "scale", "batch": None}, [("/service_tier", "bad_value")]),
        ("openai-usage", OPENAI | {"input_cached_audio_tokens": "x"}, [("", "not_a_count")]),
        ("anthropic-usage", ANTHROPIC | {"cache_creation": 5}, [("", "not_an_object")]),
        (
            "anthropic-usage",
            ANTHROPIC | {"uncached_input_tokens": None},
            [("/usage/input_tokens", "required")],
        ),
        ("focus", FOCUS | {"BilledCost": ""}, [("/amount", "required")]),
        ("focus", FOCUS | {"Tags": "env=prod"}, [("", "not_json")]),
    ],
)
def test_bad_rows_are_named(profile, row, expected):
    assert codes(profile, row) == expected


def test_amounts_are_rounded_half_even_to_nine_places():
    written = {"0.0000000005": "0", "0.0000000015": "0.000000002", "-0.0000000001": "0", "1.5": "1.5"}
    assert {text: round_amount(text) for text in written} == written
