"""The catalogue in our own form prices every event as the catalogue's library does."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from genai_prices import Usage, data_snapshot

from financial.domain.model_names import ModelName
from financial.domain.pricing import Priced, RateCard, price_usage
from financial.domain.rates import format_rates, parse_rates
from financial.services.price_catalogue import (
    PARTS,
    TIER_CONTEXTS,
    CatalogueModel,
    catalogue_names,
    find_in_catalogue,
)
from tests.financial.brute_force import exact_parts

pytestmark = pytest.mark.once

# Price keys of the bundled catalogue that price what usage does not report. A key that appears with
# a new release is to be looked at, not to be dropped unseen.
NOT_REPORTED = {
    "audio_hours", "cache_audio_read_mtok", "cache_image_read_mtok", "input_annotated_document_kpages",
    "input_audio_hours", "input_document_kpages", "input_image_mtok", "input_mchars",
    "input_text_messages_kcount", "input_video_mtok", "output_citation_mtok", "output_image_mtok",
    "output_video_mtok", "storage_searches_kcount", "web_searches_kcount",
}  # fmt: skip
# Without a count of their own in usage these cost nothing on either side.
HARMLESS = {"web_searches_kcount", "storage_searches_kcount", "audio_hours", "input_audio_hours"}


def _providers() -> list[Any]:
    return data_snapshot.get_snapshot().providers


def _price_lists(model: Any) -> list[Any]:
    return [item.prices for item in model.prices] if isinstance(model.prices, list) else [model.prices]


def _keys(model: Any) -> set[str]:
    variants = [variant.prices for variant in model.price_variants or ()]
    return {
        key
        for prices in (*_price_lists(model), *variants)
        for key, value in vars(prices).items()
        if value is not None
    }


def _card_at(model: CatalogueModel, tier: str, at: datetime) -> RateCard | None:
    found = [
        price.card
        for price in model.prices
        if price.service_tier == tier
        and price.valid_from <= at
        and (price.valid_to is None or at < price.valid_to)
        and _in_window(price.daily_from, price.daily_to, at.time())
    ]
    assert len(found) <= 1, "two prices hold at once"
    return found[0] if found else None


def _in_window(start: time | None, end: time | None, moment: time) -> bool:
    if start is None or end is None:
        return True
    return start <= moment < end if start < end else (moment >= start or moment < end)


def _moments(model: Any) -> list[datetime]:
    """Both sides of every moment at which the price of ``model`` may change, and some in between."""
    days = {date(1970, 1, 1), date(2024, 2, 29), date(2026, 11, 2)}
    times = {time(0), time(12)}
    for item in (*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())):
        if hasattr(item.constraint, "start_date"):
            days |= {item.constraint.start_date, item.constraint.start_date - timedelta(days=1)}
        if hasattr(item.constraint, "start_time"):
            for edge in (item.constraint.start_time, item.constraint.end_time):
                moment = datetime.combine(date(2026, 1, 1), edge).astimezone(UTC)
                times |= {moment.time(), (moment - timedelta(microseconds=1)).time()}
    return [datetime.combine(day, moment, UTC) for day in sorted(days) for moment in sorted(times)]


def _usages(model: Any) -> list[dict[str, int]]:
    thresholds = {
        tier.start
        for prices in _price_lists(model)
        for value in vars(prices).values()
        if hasattr(value, "tiers")
        for tier in value.tiers
    }
    usages = [
        {"input_tokens": 1_237, "output_tokens": 311},
        {"input_tokens": 1_237, "cache_read_tokens": 803, "output_tokens": 311, "reasoning_tokens": 207},
        {
            "input_tokens": 9_001,
            "cache_read_tokens": 1_009,
            "cache_write_tokens": 2_003,
            "cache_write_1h_tokens": 3_001,
            "audio_input_tokens": 977,
            "output_tokens": 1_013,
            "audio_output_tokens": 401,
        },
    ]
    for threshold in sorted(thresholds):
        for total in (threshold, threshold + 1):
            usages.append(
                {
                    "input_tokens": total,
                    "cache_read_tokens": 10_007,
                    "cache_write_tokens": 1_009,
                    "output_tokens": 89,
                }
            )
    return usages


def _library_usage(usage: dict[str, int]) -> Usage:
    """The same usage in the library's terms: its cache writes include those of 1 h."""
    translated = {
        "input_tokens": usage.get("input_tokens", 0),
        "output_tokens": usage.get("output_tokens", 0),
        "cache_read_tokens": usage.get("cache_read_tokens", 0),
        "cache_write_tokens": usage.get("cache_write_tokens", 0) + usage.get("cache_write_1h_tokens", 0),
        "cache_write_1h_tokens": usage.get("cache_write_1h_tokens", 0),
        "output_reasoning_tokens": usage.get("reasoning_tokens", 0),
        "input_audio_tokens": usage.get("audio_input_tokens", 0),
        "output_audio_tokens": usage.get("audio_output_tokens", 0),
        "cache_audio_read_tokens": 0,
    }
    return Usage(**translated)


def _half_even(nano: Fraction) -> int:
    return round(nano)


def test_every_price_key_of_the_catalogue_is_carried_or_known_not_to_be():
    found = {key for provider in _providers() for model in provider.models for key in _keys(model)}
    assert found - PARTS.keys() == NOT_REPORTED


def test_every_tier_of_the_catalogue_is_known():
    contexts = {
        (key, value)
        for provider in _providers()
        for model in provider.models
        for variant in model.price_variants or ()
        for key, value in variant.when.items()
    }
    known = {item for choices in TIER_CONTEXTS.values() for choice in choices for item in choice.items()}
    # What OpenAI's default tier is anyway; routes and search types, which are no service tiers.
    assert contexts - known == {
        ("service_tier", "default"),
        ("route", "mistral/eu"),
        ("search_type", "fast"),
        ("search_type", "web"),
    }


def test_every_price_of_the_catalogue_is_held_exactly_and_reads_back():
    cards = 0
    for name in catalogue_names():
        model = find_in_catalogue(ModelName(name.provider, name.model.lower()))
        for price in model.prices if model else ():
            assert parse_rates(format_rates(price.card)) == price.card
            cards += 1
    assert cards > 2_500


def _reference(provider: Any, entry: Any) -> str | None:
    """A name by which the library finds ``entry`` itself; some are found by other names than their own."""

    def words(clause: Any) -> list[str]:
        if hasattr(clause, "or_") or hasattr(clause, "and_"):
            return [word for inner in next(iter(vars(clause).values())) for word in words(inner)]
        return [next(iter(vars(clause).values())).lower()]

    names = (entry.id.lower(), *words(entry.match))
    return next((name for name in names if provider.find_model(name) is entry), None)


def test_every_model_costs_what_the_library_says_at_every_date_and_tier():
    compared = models = 0
    unreachable = []
    for provider in _providers():
        for entry in provider.models:
            if not _keys(entry) or not _keys(entry) <= PARTS.keys() | HARMLESS:
                continue
            reference = _reference(provider, entry)
            if reference is None:
                unreachable.append((provider.id, entry.id))
                continue
            model = find_in_catalogue(ModelName(provider.id, reference))
            if not _keys(entry) & PARTS.keys():
                assert model is None
                continue
            assert model is not None, (provider.id, entry.id)
            models += 1
            for at in _moments(entry):
                for tier, contexts in TIER_CONTEXTS.items():
                    card = _card_at(model, tier, at)
                    if card is None:
                        continue
                    for usage in _usages(entry):
                        compared += _compare(entry, provider, card, usage, at, contexts)
    assert unreachable == []
    assert models > 2_000
    assert compared > 40_000


def _compare(
    entry: Any, provider: Any, card: RateCard, usage: dict[str, int], at: datetime, contexts: Any
) -> int:
    priced = price_usage(usage, card)
    if not isinstance(priced, Priced):
        # The library counts what has no rate as free.
        return 0
    context = dict(item for choice in contexts for item in choice.items()) or None
    total = entry.calc_price(
        _library_usage(usage), provider, genai_request_timestamp=at, price_context=context
    ).total_price
    exact = exact_parts(usage, card)
    assert exact is not None
    where = (provider.id, entry.id, at, context, usage)
    assert sum(exact.values()) == Fraction(total) * 10**9, where
    assert priced.amount == _half_even(Fraction(total) * 10**9), where
    return 1


@pytest.mark.parametrize(
    ("provider", "model", "name", "seller"),
    [
        ("openai", "gpt-4o-2024-08-06", "gpt-4o", "openai"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13", "openai"),
        ("azure", "gpt-4o", "gpt-4o", "openai"),
        ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5", "anthropic"),
        ("google", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5", "google"),
        (
            "aws",
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws",
        ),
        ("openai", "ft:gpt-4o-2024-08-06:org::id", "ft:gpt-4o", "openai"),
    ],
)
def test_models_are_found_under_their_spellings(provider, model, name, seller):
    found = find_in_catalogue(ModelName(provider, model))
    assert found is not None
    assert (found.name, found.seller) == (name, seller)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-turbo-maximum"),
        ("openai", "ft:gpt-4.1-2025-04-14:org::id"),
        ("my-openai-proxy", "gpt-4o"),
        ("vllm", "gpt-4o"),
        ("openai", "whisper-1"),
        ("azure", "mai-ds-r1:free"),
        ("", ""),
    ],
)
def test_what_the_catalogue_does_not_price_for_sure_is_unknown(provider, model):
    assert find_in_catalogue(ModelName(provider, model)) is None


def test_a_reseller_has_no_batch_price_of_the_seller():
    own = find_in_catalogue(ModelName("openai", "gpt-4o"))
    resold = find_in_catalogue(ModelName("azure", "gpt-4o"))
    assert own is not None
    assert resold is not None
    assert {price.service_tier for price in own.prices} == {"standard", "batch", "priority", "fast"}
    assert {price.service_tier for price in resold.prices} == {"standard"}


def test_a_tier_has_no_price_before_it_starts():
    model = find_in_catalogue(ModelName("openai", "gpt-4o"))
    assert model is not None
    assert _card_at(model, "batch", datetime(2026, 10, 13, 23, 59, 59, tzinfo=UTC)) is None
    card = _card_at(model, "batch", datetime(2026, 10, 14, tzinfo=UTC))
    assert card is not None
    assert price_usage({"input_tokens": 1_000_000, "output_tokens": 1_000_000}, card).amount == 6_250_000_000


def test_a_free_variant_of_openrouter_is_priced_at_zero():
    model = find_in_catalogue(ModelName("openrouter", "deepseek/deepseek-r1:free"))
    assert model is not None
    assert price_usage({"input_tokens": 5, "output_tokens": 7}, model.prices[0].card) == Priced(
        0, {"input_tokens": 0, "output_tokens": 0}
    )


def test_daily_windows_split_the_whole_day_across_midnight():
    model = find_in_catalogue(ModelName("deepseek", "deepseek-chat"))
    assert model is not None
    assert [(price.daily_from, price.daily_to) for price in model.prices] == [
        (time(0, 30), time(16, 30)),
        (time(16, 30), time(0, 30)),
    ]
    assert [price.card.parts["input_tokens"].base for price in model.prices] == [
        int(Decimal("0.27") * 10**18),
        int(Decimal("0.135") * 10**18),
    ]
