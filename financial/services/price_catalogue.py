"""The bundled price catalogue (genai-prices), read into dated rate cards of our own form.

The library is imported on first use, since it takes some 0.4 s, and never fetches anything. Its own
rules decide which prices hold when: each model is asked at every moment at which its prices can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final

from financial.domain.model_names import ModelName
from financial.domain.pricing import Rate, RateCard
from financial.domain.rates import rate_from_decimal

CURRENCY: Final = "USD"
EPOCH: Final = date(1970, 1, 1)
MIDNIGHT: Final = time(0)

PARTS: Final[Mapping[str, str]] = {
    "input_mtok": "input_tokens",
    "cache_read_mtok": "cache_read_tokens",
    "cache_write_mtok": "cache_write_tokens",
    "cache_write_1h_mtok": "cache_write_1h_tokens",
    "output_mtok": "output_tokens",
    "output_reasoning_mtok": "reasoning_tokens",
    "input_audio_mtok": "audio_input_tokens",
    "output_audio_mtok": "audio_output_tokens",
    "requests_kcount": "requests",
}
"""The catalogue's price keys and the usage parts they price; other keys price what usage does not report."""

TIER_CONTEXTS: Final[Mapping[str, tuple[Mapping[str, str], ...]]] = {
    "standard": ({},),
    "batch": ({"processing": "batch"},),
    "flex": ({"service_tier": "flex"},),
    "priority": ({"service_tier": "priority"},),
    "fast": ({"service_tier": "fast"}, {"speed": "fast"}),
}
"""Our service tiers and the price contexts by which the catalogue may know them."""


@dataclass(frozen=True, slots=True)
class CataloguePrice:
    """A rate card over ``[valid_from, valid_to)``, on each day in ``[daily_from, daily_to)`` UTC."""

    service_tier: str
    card: RateCard
    valid_from: datetime
    valid_to: datetime | None
    daily_from: time | None
    daily_to: time | None


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model as the catalogue knows it; ``left_out`` names prices of what usage does not report."""

    name: str
    seller: str
    prices: tuple[CataloguePrice, ...]
    left_out: tuple[str, ...]


def catalogue_version() -> str:
    """The version of the catalogue in use."""
    from importlib.metadata import version

    return version("genai-prices")


@lru_cache(maxsize=4096)
def find_in_catalogue(name: ModelName) -> CatalogueModel | None:
    """The catalogue's prices of a normalised name; ``None`` when it has none that usage is priced by."""
    from genai_prices import data_snapshot

    providers = data_snapshot.get_snapshot().providers
    # By its exact id alone: the library's looser matching takes any name that contains "openai" for OpenAI.
    provider = next((candidate for candidate in providers if candidate.id == name.provider), None)
    if provider is None:
        return None
    # A few names begin with the provider's own, which normalising takes for a route and drops.
    model = next(
        filter(None, (provider.find_model(text, all_providers=providers) for text in _spellings(name))), None
    )
    if model is None:
        return None
    own = any(model is candidate for candidate in provider.models)
    seller = provider.id
    if not own:
        sellers = (candidate for candidate in providers if any(model is item for item in candidate.models))
        seller = next(sellers).id
    free = name.provider == "openrouter" and name.model.endswith(":free")
    prices: list[CataloguePrice] = []
    for tier in TIER_CONTEXTS:
        # Another seller's batch and priority prices do not carry over to this one.
        if own or tier == "standard":
            prices += _tier_prices(model, tier, free)
    if not prices:
        return None
    return CatalogueModel(model.id, seller, tuple(prices), _left_out(model))


def _spellings(name: ModelName) -> tuple[str, str]:
    return name.model, f"{name.provider}/{name.model}"


def catalogue_names() -> list[ModelName]:
    """Every provider and model of the catalogue, by the catalogue's own names."""
    from genai_prices import data_snapshot

    return [
        ModelName(provider.id, model.id)
        for provider in data_snapshot.get_snapshot().providers
        for model in provider.models
    ]


def _tier_prices(model: Any, tier: str, free: bool) -> Iterable[CataloguePrice]:
    contexts = TIER_CONTEXTS[tier]
    variants = [variant for variant in model.price_variants or () if variant.when in contexts]
    if tier != "standard" and not variants:
        return []
    conditions = [
        item.constraint for item in (*_conditional(model), *variants) if item.constraint is not None
    ]
    days = sorted({EPOCH, *(item.start_date for item in conditions if hasattr(item, "start_date"))})
    times = sorted({MIDNIGHT, *(moment for item in conditions for moment in _window(item))})

    def card_at(day: date, moment: time) -> RateCard | None:
        at = datetime.combine(day, moment, UTC)
        context: Mapping[str, str] | None = None
        if tier != "standard":
            active = [item for item in variants if item.constraint is None or item.constraint.active(at)]
            if not active:
                # The library would silently answer with the standard price.
                return None
            context = active[0].when
        return _card(model.get_prices(at, context), free)

    prices: list[CataloguePrice] = []
    segments = [(day, [card_at(day, moment) for moment in times]) for day in days]
    merged = [segment for i, segment in enumerate(segments) if i == 0 or segment[1] != segments[i - 1][1]]
    for index, (day, cards) in enumerate(merged):
        start = datetime.combine(day, MIDNIGHT, UTC)
        end = datetime.combine(merged[index + 1][0], MIDNIGHT, UTC) if index + 1 < len(merged) else None
        for opening, closing, card in _windows(times, cards):
            if card is not None:
                prices.append(CataloguePrice(tier, card, start, end, opening, closing))
    return prices


def _conditional(model: Any) -> list[Any]:
    return model.prices if isinstance(model.prices, list) else []


def _window(constraint: Any) -> list[time]:
    if not hasattr(constraint, "start_time"):
        return []
    return [_utc(constraint.start_time), _utc(constraint.end_time)]


def _utc(moment: time) -> time:
    """The UTC time of day of ``moment``, without its zone; a naive one is UTC already."""
    if moment.tzinfo is None:
        return moment
    return (datetime.combine(EPOCH + timedelta(days=1), moment)).astimezone(UTC).time()


def _windows(
    times: list[time], cards: list[RateCard | None]
) -> list[tuple[time | None, time | None, RateCard | None]]:
    """The daily windows of one segment, neighbours of equal price joined, across midnight as well."""
    starts = [i for i in range(len(times)) if i == 0 or cards[i] != cards[i - 1]]
    if len(starts) == 1:
        return [(None, None, cards[0])]
    if cards[starts[-1]] == cards[0]:
        starts = starts[1:]
    return [
        (times[start], times[starts[(i + 1) % len(starts)]], cards[start]) for i, start in enumerate(starts)
    ]


def _card(prices: Any, free: bool) -> RateCard | None:
    parts: dict[str, Rate] = {}
    for key, part in PARTS.items():
        value = getattr(prices, key)
        if value is not None:
            per_unit = 1_000 if part == "requests" else 1
            parts[part] = _rate(value, per_unit)
    if not parts and free:
        # OpenRouter states the price in the name, and the catalogue leaves it out.
        parts = {"input_tokens": Rate(0), "output_tokens": Rate(0)}
    return RateCard(parts) if parts else None


def _rate(value: Any, factor: int) -> Rate:
    if not hasattr(value, "tiers"):
        return Rate(rate_from_decimal(value) * factor)
    # Of two tiers at one threshold the library's search from the top finds the later one.
    tiers = {tier.start: rate_from_decimal(tier.price) * factor for tier in value.tiers}
    return Rate(rate_from_decimal(value.base) * factor, tuple(sorted(tiers.items())))


def _left_out(model: Any) -> tuple[str, ...]:
    stated = [item.prices for item in _conditional(model)] or [model.prices]
    keys = {key for prices in stated for key, value in vars(prices).items() if value is not None}
    return tuple(sorted(key for key in keys - PARTS.keys() if not key.startswith("_")))
