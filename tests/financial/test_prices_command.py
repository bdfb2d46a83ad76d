"""``manage.py prices``."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from financial.models import PriceVersion
from financial.services.price_catalogue import catalogue_version
from financial.services.price_overrides import set_price_override

pytestmark = pytest.mark.django_db


def prices(*arguments: str) -> str:
    out = StringIO()
    call_command("prices", *arguments, stdout=out)
    return out.getvalue().replace(catalogue_version(), "1.0")


def test_the_prices_of_a_date_are_shown_and_nothing_is_written():
    assert prices("azure/gpt-4o", "--at", "2026-11-02") == (
        "azure/gpt-4o standard\n"
        "  always, USD per million, genai-prices 1.0\n"
        "    input_tokens       2.5\n"
        "    cache_read_tokens  1.25\n"
        "    output_tokens      10\n"
        "Price of openai, which azure resells. Not in the ledger's usage, so not charged here: "
        "storage_searches_kcount, web_searches_kcount.\n"
    )
    assert PriceVersion.objects.count() == 0


def test_history_tiers_and_windows_are_shown():
    history = prices("o3")
    assert "openai/o3 standard\n  until 2025-06-10, USD per million" in history
    assert "  from 2025-06-10, USD per million, genai-prices 1.0\n    input_tokens       2\n" in history
    assert "openai/o3 flex\n  from 2026-10-12, USD per million" in history
    assert "    input_tokens       1.25, 2.5 above 200,000 input tokens\n" in prices("gemini-2.5-pro")
    assert "  always, 16:30-00:30 UTC, USD per million" in prices("deepseek-chat")


def test_an_override_takes_the_place_of_the_catalogue_at_its_dates():
    set_price_override(
        provider="openai",
        model="o3",
        rates={"input_tokens": {"per_million": "1"}},
        valid_from=datetime(2026, 11, 1, 12, 30, tzinfo=UTC),
        currency="EUR",
        note="Contract 7",
    )
    assert prices("o3", "--at", "2026-11-02T00:00:00+01:00").startswith(
        "openai/o3 standard\n  from 2026-11-01 12:30 UTC, EUR per million, override\n    input_tokens  1\n"
        "openai/o3 batch\n"
    )
    assert "override" not in prices("o3", "--at", "2026-10-31")
    both = prices("o3")
    assert both.index("override") < both.index("genai-prices")
    assert "\nContract 7\n" in both


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["my-llama"], "Who sells my-llama?"),
        (["gpt-9"], "There is no price for openai/gpt-9."),
        (["my-llama", "--provider", "vLLM"], "There is no price for vllm/my-llama."),
        (["gpt-4o", "--at", "yesterday"], '"yesterday" is neither a date nor a time'),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(arguments, sentence):
    with pytest.raises(CommandError, match="^(Error: argument --at: )?" + sentence.replace("?", r"\?")):
        prices(*arguments)
