"""Estimates: exact where they can be, bounded where not, and nothing where nobody knows."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent_factory_site.common.models import AuditEvent
from financial.domain.estimating import RunHistory, price_range
from financial.domain.model_names import normalise
from financial.domain.pricing import Rate, RateCard
from financial.domain.token_bounds import encoding_of, most_tokens
from financial.models import CostEvent, PriceVersion
from financial.services.price_overrides import set_price_override
from tests.processes import PATIENCE

from .conftest import COSTS, Api

pytestmark = pytest.mark.django_db
URL = f"{COSTS}/estimate"
USAGE = {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310}
FIELDS = {
    "amount", "low", "high", "currency", "method", "unpriced", "lines", "price_version", "p50", "p90",
    "sample_size", "assumptions", "provider", "model", "service_tier", "reason", "compare",
}  # fmt: skip


@pytest.fixture
def reader(db):
    return Api(["financial:read"])


def test_usage_is_priced_line_by_line_and_nothing_is_stored(reader):
    audited = AuditEvent.objects.count()
    answer = reader.post(URL, {"provider": "openai", "model": "gpt-4o", "usage": USAGE})
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == FIELDS
    assert (body["amount"], body["low"], body["high"]) == ("0.0051", "0.0051", "0.0051")
    assert (body["method"], body["unpriced"], body["currency"]) == ("usage", False, "USD")
    assert body["lines"] == [
        {"part": "input_tokens", "quantity": 400, "unit_price": "0.0000025", "amount": "0.001"},
        {"part": "cache_read_tokens", "quantity": 800, "unit_price": "0.00000125", "amount": "0.001"},
        {"part": "output_tokens", "quantity": 310, "unit_price": "0.00001", "amount": "0.0031"},
    ]
    # No row yet: the catalogue was not copied for a question.
    assert body["price_version"] == {
        "id": None,
        "valid_from": "1970-01-01T00:00:00Z",
        "source": "genai-prices",
    }
    assert (body["p50"], body["p90"], body["sample_size"], body["reason"], body["compare"]) == (
        None, None, None, None, [],
    )  # fmt: skip
    assert (CostEvent.objects.count(), PriceVersion.objects.count()) == (0, 0)
    assert AuditEvent.objects.count() == audited


def test_an_override_is_named_as_the_price(reader):
    price = set_price_override(provider="vllm", model="own", rates={"input_tokens": {"per_million": "1"}})
    body = reader.post(URL, {"provider": "vllm", "model": "own", "usage": {"input_tokens": 5}}).json()
    assert (body["amount"], body["price_version"]["id"]) == ("0.000005", str(price.pk))
    body = reader.post(URL, {"provider": "vllm", "model": "own", "usage": {"output_tokens": 5}}).json()
    assert (body["amount"], body["unpriced"], body["reason"]["code"]) == (None, True, "no_rate")


def test_unknown_models_have_no_amount_and_a_reason(reader):
    body = reader.post(URL, {"provider": "nobody", "model": "nothing", "text": "hello"}).json()
    assert (body["amount"], body["low"], body["high"], body["unpriced"]) == (None, None, None, True)
    assert body["reason"] == {"code": "unknown_model", "detail": "There is no price for nobody/nothing."}
    tier = {"provider": "anthropic", "model": "claude-sonnet-4-5", "service_tier": "priority", "usage": USAGE}
    assert reader.post(URL, tier).json()["reason"]["code"] == "unknown_tier"


@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("gpt-4", "héllo 世界 🤖", 10),
        ("gpt-4o", "héllo 世界 🤖", 5),
        ("gpt-4o", "<|endoftext|>", 7),
        ("gpt-4o", "", 0),
    ],
)
def test_text_is_counted_exactly_where_the_vocabulary_is_published(reader, model, text, tokens):
    body = reader.post(URL, {"provider": "openai", "model": model, "text": text, "output_tokens": 100}).json()
    assert body["method"] == "tokenizer"
    assert [line["quantity"] for line in body["lines"]] == ([tokens] if tokens else []) + [100]
    price = {"gpt-4": ("30", "60"), "gpt-4o": ("2.5", "10")}[model]
    low = Decimal(price[0]) * tokens / 10**6
    assert Decimal(body["low"]) == low
    assert Decimal(body["high"]) == Decimal(body["amount"]) == low + Decimal(price[1]) * 100 / 10**6


def test_other_models_get_a_bound_that_is_said_to_be_one(reader):
    asked = {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "text": "Hello there",
        "output_tokens": 10,
    }
    body = reader.post(URL, asked).json()
    assert body["method"] == "upper_bound"
    assert [(line["part"], line["quantity"]) for line in body["lines"]] == [
        ("input_tokens", 12), ("output_tokens", 10),
    ]  # fmt: skip
    assert (body["low"], body["amount"], body["high"]) == ("0.000003", "0.000186", "0.000186")
    assert body["assumptions"][0].startswith(
        "No tokenizer for this model is at hand: at most 12 input tokens"
    )


@hypothesis_settings(deadline=None)  # the first example loads the vocabularies
@given(st.text(max_size=300))
def test_no_published_vocabulary_passes_the_bound(text):
    import quicktok

    for encoding in ("cl100k_base", "o200k_base", "llama3", "qwen3"):
        assert quicktok.get_encoding(encoding).count(text) <= most_tokens(text)


@pytest.mark.parametrize(("text", "most"), [("", 0), ("a", 2), ("é", 4), ("世", 4), ("ﷺ", 34), ("각", 10)])
def test_the_bound_counts_the_longest_normal_form(text, most):
    assert most_tokens(text) == most


@pytest.mark.parametrize(
    ("provider", "model", "encoding"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "o200k_base"),
        ("azure", "gpt-4.1", "o200k_base"),
        ("openai", "ft:gpt-4o-2024-08-06:org::id", "o200k_base"),
        ("openai", "o3-mini", "o200k_base"),
        ("openai", "gpt-5-nano", "o200k_base"),
        ("openrouter", "openai/gpt-4", "cl100k_base"),
        ("openai", "gpt-4-turbo", "cl100k_base"),
        ("openai", "gpt-3.5-turbo-0125", "cl100k_base"),
        ("openai", "text-embedding-3-small", "cl100k_base"),
        ("openai", "gpt-42", None),
        ("openai", "davinci-002", None),
        ("mistral", "gpt-4o", None),
        ("anthropic", "claude-sonnet-4-5", None),
    ],
)
def test_vocabularies_by_model(provider, model, encoding):
    assert encoding_of(normalise(provider, model)) == encoding


def test_without_the_optional_tokenizer_the_bound_is_taken():
    code = """
import sys
sys.modules["quicktok"] = None
import django
django.setup()
from financial.domain.model_names import ModelName
from financial.services.estimates import Text
print(Text("hello").tokens(ModelName("openai", "gpt-4o")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "(6, None)\n", done.stderr


def test_the_extremes_are_looked_for_on_both_sides_of_a_threshold():
    card = RateCard({"input_tokens": Rate(10**18, ((100, 10**17),)), "output_tokens": Rate(10**18)})
    found = price_range({"input_tokens": 150, "output_tokens": 5}, card, least_input=1, least_output=0)
    assert (found.arithmetic.amount, found.low, found.high) == (20_000, 1_000, 105_000)


def test_models_side_by_side(reader):
    asked = {
        "provider": "openai", "model": "gpt-4o", "text": "Hello there", "output_tokens": 10,
        "compare": [
            {"model": "gpt-4o-mini"},
            {"provider": "anthropic", "model": "claude-sonnet-4-5"},
            {"provider": "nobody", "model": "nothing"},
        ],
    }  # fmt: skip
    body = reader.post(URL, asked).json()
    assert [
        (each["provider"], each["model"], each["method"], each["amount"]) for each in body["compare"]
    ] == [
        ("openai", "gpt-4o-mini", "tokenizer", "0.0000063"),
        ("anthropic", "claude-sonnet-4-5", "upper_bound", "0.000186"),
        ("nobody", "nothing", "upper_bound", None),
    ]
    assert body["amount"] == "0.000105"


def run_costs(api, cost, amounts, **changes):
    for n, amount in enumerate(amounts):
        more = {"usage": ..., "provider": ..., "model": ..., "amount": amount, "currency": "USD", **changes}
        api.post(COSTS, cost(event_id=f"{changes}{n}", run_id=f"run-{n // 2}", **more))


def test_runs_go_by_the_entitys_own_past_runs(api, cost):
    # Ten runs of two costs each: 0.03, 0.07, ... 0.39.
    run_costs(api, cost, [f"0.{n:02d}" for n in range(1, 21)])
    run_costs(api, cost, ["9.00"], entity_id="other")
    body = api.post(URL, {"entity_type": "agent", "entity_id": "support-bot", "runs": 100}).json()
    assert (body["method"], body["sample_size"], body["unpriced"]) == ("history", 10, False)
    assert (body["amount"], body["low"], body["high"]) == ("21.00", "3.00", "39.00")
    assert (body["p50"], body["p90"]) == ("0.19", "0.35")
    assert (body["lines"], body["price_version"], body["model"]) == ([], None, None)


def test_runs_of_unknown_cost_are_left_out(api, cost):
    run_costs(api, cost, ["1.00", "2.00", "5.00", "5.00"])
    api.post(COSTS, cost(event_id="u", run_id="run-1", provider="nobody", model="nothing"))
    body = api.post(URL, {"entity_type": "agent", "entity_id": "support-bot", "runs": 1}).json()
    assert (body["amount"], body["sample_size"]) == ("3.00", 1)
    assert "1 runs with costs that have no price were left out." in body["assumptions"]


def test_reading_history_is_bounded(api, cost, settings, django_assert_num_queries):
    settings.ESTIMATE_MAX_EVENTS = 5
    run_costs(api, cost, ["1.00"] * 8)
    body = api.post(URL, {"entity_type": "agent", "entity_id": "support-bot", "runs": 1}).json()
    assert body["sample_size"] == 2
    assert "Only the latest 5 rows of agent/support-bot were read." in body["assumptions"]


def test_without_history_there_is_no_amount(api, cost):
    run_costs(api, cost, ["1.00"])
    api.post(COSTS, cost(event_id="no run", entity_id="runless", run_id=...))
    for entity in ("nobody", "runless"):
        body = api.post(URL, {"entity_type": "agent", "entity_id": entity, "runs": 3}).json()
        assert (body["amount"], body["low"], body["p50"], body["sample_size"]) == (None, None, None, 0)
        assert body["reason"]["code"] == "no_history"


def test_percentiles_are_nearest_rank():
    assert [RunHistory([1, 2, 3, 4]).percentile(p) for p in (1, 25, 26, 50, 90, 100)] == [1, 1, 2, 2, 4, 4]
    assert RunHistory([7]).percentile(50) == 7
    assert RunHistory([1, 2]).mean_of(1) == 2
    assert RunHistory([1, 2]).mean_of(3) == 4


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/model", "/usage"]),
        ({"model": "gpt-4o"}, ["/usage"]),
        ({"model": "gpt-4o", "text": "a", "usage": {}}, ["/usage"]),
        ({"model": "gpt-4o", "usage": {"input_tokens": -1}}, ["/usage/input_tokens"]),
        ({"model": "gpt-4o", "usage": {"input_tokens": "5"}}, ["/usage/input_tokens"]),
        ({"model": "gpt-4o", "usage": {"tokens": 5}}, ["/usage/tokens"]),
        ({"model": "gpt-4o", "usage": {"input_tokens": 5, "cache_read_tokens": 6}}, ["/usage/input_tokens"]),
        ({"model": "gpt-4o", "usage": {"input_tokens": 5}, "output_tokens": 5}, ["/output_tokens"]),
        ({"model": "gpt-4o", "usage": {}, "service_tier": "cheap"}, ["/service_tier"]),
        ({"entity_type": "agent", "runs": 3}, ["/entity_id"]),
        ({"entity_type": "agent", "entity_id": "a", "runs": 0}, ["/runs"]),
        ({"entity_type": "agent", "entity_id": "a", "runs": 1, "model": "gpt-4o"}, ["/model"]),
        ({"model": "gpt-4o", "text": "a", "compare": [{"model": "a"}] * 21}, ["/compare"]),
        ({"model": "gpt-4o", "text": "a", "compare": [{}]}, ["/compare/0/model"]),
        ({"model": "gpt-4o", "text": "a", "tokens": 1}, ["/tokens"]),
    ],
)
def test_bad_questions_are_refused_by_name(reader, body, pointers):
    answer = reader.post(URL, body)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


def test_texts_are_bounded(reader, settings):
    asked = {"provider": "openai", "model": "gpt-4o"}
    assert reader.post(URL, {**asked, "text": "a" * 50_000_000}).status_code == 413
    settings.ESTIMATE_MAX_TEXT_BYTES = 6
    assert reader.post(URL, {**asked, "text": "世世"}).status_code == 200
    refused = reader.post(URL, {**asked, "text": "世世a"})
    assert (refused.status_code, refused.json()["code"]) == (413, "text_too_large")


def test_estimating_needs_the_right_to_read(db):
    assert Api(["ingest"]).post(URL, {"model": "gpt-4o", "usage": USAGE}).status_code == 403
