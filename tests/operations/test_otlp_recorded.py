"""The recorded requests of released clients, against what a correct reader derives from them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from operations.telemetry.domain.decode import decode_traces
from operations.telemetry.domain.errors import BadBody
from operations.telemetry.domain.runs import derive_changes

from .otlp import RECORDED, expected, read_recorded, recorded

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_client_sent_comes_to_what_it_meant(name: str) -> None:
    want = expected()["captures"][name]
    changes = derive_changes(read_recorded(name), {})
    usage = [charge.reading.usage for charge in changes.charges]
    assert len(usage) == want["llm_calls_with_usage"]
    assert sum(one.input_tokens for one in usage) == want["input_tokens"]
    assert sum(one.output_tokens for one in usage) == want["output_tokens"]
    assert sum(one.cache_read_tokens for one in usage) == want["cache_read_tokens"]
    assert sum(one.cache_write_tokens for one in usage) == want["cache_write_tokens"]
    assert sum(one.reasoning_tokens for one in usage) == want["reasoning_tokens"]
    calls = [step for step in changes.steps if step.reading.kind == "inference"]
    assert sum(step.reading.failed for step in calls) == want["failed_llm_calls"]
    tools = Counter(
        step.reading.tool for step in changes.steps if step.reading.kind == "tool" and step.counted
    )
    assert tools == want["tool_calls"]
    assert sorted({run.agent for run in changes.runs}) == sorted(want["agents"])
    assert len(changes.runs) == (want["agent_runs"] or 0)
    assert sum(run.status == "error" for run in changes.runs) == want["failed_agent_runs"]
    assert all(run.status != "running" for run in changes.runs)
    assert not changes.moved
    assert not changes.withdrawn
    assert not changes.gone


@pytest.mark.parametrize("name", RECORDED)
def test_calls_cost_what_the_published_prices_say(name: str) -> None:
    prices, want = expected()["prices_usd_per_million"], expected()["captures"][name]
    total = Decimal(0)
    for charge in derive_changes(read_recorded(name), {}).charges:
        usage, model = charge.reading.usage, charge.reading.model.removesuffix("-2024-08-06")
        if model not in prices:
            assert model == "test"
            continue
        rates = {part: Decimal(str(rate)) for part, rate in prices[model].items()}
        plain = usage.input_tokens - usage.cache_read_tokens
        total += plain * rates["input"] + usage.cache_read_tokens * rates.get("cache_read", 0)
        total += usage.output_tokens * rates.get("output", 0)
    assert total / 10**6 == Decimal(str(want["cost_usd"]))


def test_the_cost_that_a_client_reports_is_kept_beside() -> None:
    reported = [
        charge.reading.reported_cost for charge in derive_changes(read_recorded("litellm.bin"), {}).charges
    ]
    assert reported == [Decimal("0.000225"), Decimal("0.0054")]
    reported = [
        one.reading.reported_cost for one in derive_changes(read_recorded("pydantic_ai.bin"), {}).charges
    ]
    assert reported == [None, None, Decimal("0.0054")]


def test_errors_sessions_users_and_first_tokens_are_read() -> None:
    calls = read_recorded("otel_genai_openai.bin")
    assert [one.error_type for one in calls if one.failed] == ["openai.RateLimitError"]
    assert [one.first_token for one in calls] == [None, None, 69_294_815, None, None, None]
    run, failed = derive_changes(read_recorded("vercel_ai_json.json"), {}).runs
    assert (run.session, run.user, run.calls, run.tool_calls, run.latency) == (
        "sess-1",
        "u-1",
        2,
        1,
        47_712_292,
    )
    assert (failed.error_type, failed.error_message) == ("Error", "upstream 500")
    assert read_recorded("litellm.bin")[0].environment == "production"
    assert read_recorded("litellm.bin")[0].user == "u-1"


def test_a_logs_body_is_not_taken_for_traces() -> None:
    with pytest.raises(BadBody):
        decode_traces(recorded("openlit_logs.bin"), "protobuf")
