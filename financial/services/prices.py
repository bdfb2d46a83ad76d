"""Which price holds for an event: our own dated price versions, filled from the catalogue on first use.

The rows are the truth; a process keeps them in memory only for as long as the revision token, which
database triggers renew with every change, stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Final
from uuid import UUID

from django.db import transaction

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.db.retry import retry_conflicts
from financial.domain.model_names import ModelName, normalise, normalise_tier
from financial.domain.pricing import RateCard, Unpriced
from financial.domain.rates import format_rates, parse_rates
from financial.models import PriceRevision, PriceVersion
from financial.selectors.prices import price_revision, prices_in_use

from .price_catalogue import (
    CURRENCY,
    CatalogueModel,
    CataloguePrice,
    catalogue_version,
    find_in_catalogue,
)

MAX_REMEMBERED: Final = 50_000
_NO_PRICES: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class ResolvedPrice:
    """The price version that holds for an event."""

    price_version_id: UUID
    card: RateCard
    currency: str


@dataclass(frozen=True, slots=True)
class _Version:
    valid_from: datetime
    valid_to: datetime | None
    daily_from: time | None
    daily_to: time | None
    price: ResolvedPrice

    def covers(self, at: datetime) -> bool:
        if at < self.valid_from or (self.valid_to is not None and at >= self.valid_to):
            return False
        if self.daily_from is None or self.daily_to is None:
            return True
        moment = at.astimezone(UTC).time()
        if self.daily_from < self.daily_to:
            return self.daily_from <= moment < self.daily_to
        return moment >= self.daily_from or moment < self.daily_to


@dataclass(frozen=True, slots=True)
class _Timeline:
    """The versions of one name and tier in order of precedence, or why there are none."""

    versions: tuple[_Version, ...]
    otherwise: Unpriced


_Key = tuple[str, str, str]


class _Memory:
    """The timelines of one revision."""

    def __init__(self, token: Hashable) -> None:
        self.token = token
        self.timelines: dict[_Key, _Timeline] = {}

    def remember(self, key: _Key, timeline: _Timeline) -> None:
        if len(self.timelines) >= MAX_REMEMBERED:
            self.timelines = {}
        self.timelines[key] = timeline


_memory = _Memory(None)


class PriceResolver:
    """Prices for one batch of events: make one per batch, so that a price changed elsewhere is seen.

    Making one costs one tiny query; each provider, model and tier costs a query or two the first time
    this process meets it at the present revision, and nothing after. Use it before the transaction
    that stores the events: a model met for the first time is copied from the catalogue in a
    transaction of its own, unless ``adopt`` is false, when it is priced as it would be copied.
    ``revision`` is that of the prices where the caller has just read it.
    """

    def __init__(self, *, adopt: bool = True, revision: Hashable = ...) -> None:
        global _memory
        self._adopt = adopt
        token = price_revision() if revision is ... else revision
        if _memory.token != token:
            _memory = _Memory(token)
        self._shared = _memory
        self._timelines: dict[_Key, _Timeline] = {}

    def resolve(
        self, provider: str, model: str, service_tier: str, occurred_at: datetime
    ) -> ResolvedPrice | Unpriced:
        """The price of ``model`` for an event of ``occurred_at`` (aware), names as the caller sent them.

        An override wins over the catalogue for its dates; one for this very name over one for the
        catalogue's name of the same model. Why there is no price is said by :class:`Unpriced`:
        ``unknown_model``, ``unknown_tier`` or ``not_yet_priced``.
        """
        key = (provider, model, service_tier)
        timeline = self._timelines.get(key)
        if timeline is None:
            timeline = self._shared.timelines.get(key) or self._load(key)
            self._timelines[key] = timeline
        for version in timeline.versions:
            if version.covers(occurred_at):
                return version.price
        return timeline.otherwise

    def _load(self, key: _Key) -> _Timeline:
        provider, model, service_tier = key
        name, tier = normalise(provider, model), normalise_tier(service_tier)
        if not self._adopt:
            return _timeline_of(name, tier, known_prices(name=name))
        timeline = _timeline(name, tier)
        shared = self._shared
        # Rows seen inside a transaction that is rolled back must not be remembered.
        transaction.on_commit(lambda: shared.remember(key, timeline))
        return timeline


def adopt_catalogue_prices(*, name: ModelName) -> int:
    """Copy the catalogue's prices of ``name`` into price versions, unless it has some already.

    ``name`` is normalised. Returns the number of versions written. Safe to run in many processes at
    once: they take turns, and the later ones find the work done.
    """
    found = find_in_catalogue(name)
    if found is None:
        return 0
    with acting(Actor.system("price-catalogue")):
        return _in_turn(lambda: _adopt(name, found))


def known_prices(*, name: ModelName) -> list[PriceVersion]:
    """Every price in use of a normalised name, in order of precedence; writes nothing.

    A model that was never used has no rows of the catalogue yet: it is shown as it would be copied.
    """
    rows = list(prices_in_use(name))
    found = find_in_catalogue(name)
    if found is not None and not _are_copied(rows):
        version = catalogue_version()
        rows += [_row(name, found, price, version) for price in found.prices]
    return _by_precedence(name, rows)


def price_at(*, name: ModelName, service_tier: str, at: datetime) -> PriceVersion | Unpriced:
    """The price that would hold for an event of ``at``; writes nothing.

    ``name`` is normalised. A price that was not copied from the catalogue yet has no row: its
    ``_state.adding`` is true.
    """
    tier = normalise_tier(service_tier)
    rows = known_prices(name=name)
    for row in rows:
        if row.service_tier == tier and _version(row).covers(at):
            return row
    return _timeline_of(name, tier, rows).otherwise


def catalogue_rows(name: ModelName) -> list[PriceVersion]:
    """The installed catalogue's prices of a normalised name, as they would be copied; not stored."""
    found = find_in_catalogue(name)
    if found is None:
        return []
    version = catalogue_version()
    return [_row(name, found, price, version) for price in found.prices]


class CatalogueResolver:
    """Prices as they would hold once the installed catalogue were applied; writes nothing."""

    def __init__(self) -> None:
        self._timelines: dict[_Key, _Timeline] = {}

    def resolve(
        self, provider: str, model: str, service_tier: str, occurred_at: datetime
    ) -> ResolvedPrice | Unpriced:
        """As :meth:`PriceResolver.resolve`."""
        key = (provider, model, service_tier)
        timeline = self._timelines.get(key)
        if timeline is None:
            name, tier = normalise(provider, model), normalise_tier(service_tier)
            stored = list(prices_in_use(name))
            rows = catalogue_rows(name) or [row for row in stored if _are_copied([row])]
            rows += [row for row in stored if not _are_copied([row])]
            timeline = _timeline_of(name, tier, _by_precedence(name, rows))
            self._timelines[key] = timeline
        for version in timeline.versions:
            if version.covers(occurred_at):
                return version.price
        return timeline.otherwise


def _adopt(name: ModelName, found: CatalogueModel) -> int:
    if prices_in_use(name).filter(source=PriceVersion.Source.CATALOGUE).exists():
        return 0
    version = catalogue_version()
    rows = [_row(name, found, price, version) for price in found.prices]
    PriceVersion.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _in_turn(work: Callable[[], int]) -> int:
    """Run ``work`` in a transaction that no other writer of prices runs beside."""

    def whole() -> int:
        with transaction.atomic():
            lock_prices()
            return work()

    return retry_conflicts(whole)


def lock_prices() -> None:
    """Wait until no other transaction writes prices, and hold them off until this one ends."""
    PriceRevision.objects.bulk_create([PriceRevision(id=1, token=_NO_PRICES)], ignore_conflicts=True)
    PriceRevision.objects.select_for_update().get(pk=1)


def _row(name: ModelName, found: CatalogueModel, price: CataloguePrice, version: str) -> PriceVersion:
    notes = []
    if found.seller != name.provider:
        notes.append(f"Price of {found.seller}, which {name.provider} resells.")
    if found.left_out:
        notes.append(f"Not in the ledger's usage, so not charged here: {', '.join(found.left_out)}.")
    return PriceVersion(
        provider=name.provider,
        model=name.model,
        service_tier=price.service_tier,
        source=PriceVersion.Source.CATALOGUE,
        source_version=version,
        catalogue_model=found.name.lower(),
        currency=CURRENCY,
        valid_from=price.valid_from,
        valid_to=price.valid_to,
        daily_from=price.daily_from,
        daily_to=price.daily_to,
        rates=format_rates(price.card),
        note=" ".join(notes)[:500],
    )


def _are_copied(rows: Iterable[PriceVersion]) -> bool:
    return any(row.source == PriceVersion.Source.CATALOGUE for row in rows)


def _by_precedence(name: ModelName, rows: list[PriceVersion]) -> list[PriceVersion]:
    """``rows`` of ``name`` with the overrides of the catalogue's name of it in their place."""
    own = [row for row in rows if row.source == PriceVersion.Source.OVERRIDE]
    catalogue = [row for row in rows if row.source == PriceVersion.Source.CATALOGUE]
    wider: list[PriceVersion] = []
    if catalogue and catalogue[0].catalogue_model != name.model:
        named = prices_in_use(ModelName(name.provider, catalogue[0].catalogue_model))
        wider = list(named.filter(source=PriceVersion.Source.OVERRIDE))
    return [*own, *wider, *catalogue]


def _timeline(name: ModelName, service_tier: str) -> _Timeline:
    rows = list(prices_in_use(name))
    if not _are_copied(rows) and find_in_catalogue(name) is not None:
        adopt_catalogue_prices(name=name)
        rows = list(prices_in_use(name))
    return _timeline_of(name, service_tier, _by_precedence(name, rows))


def _timeline_of(name: ModelName, service_tier: str, rows: list[PriceVersion]) -> _Timeline:
    versions = tuple(_version(row) for row in rows if row.service_tier == service_tier)
    if versions:
        return _Timeline(versions, Unpriced("not_yet_priced", f"{name.provider}/{name.model} {service_tier}"))
    if rows:
        return _Timeline((), Unpriced("unknown_tier", f"{name.provider}/{name.model} {service_tier}"))
    return _Timeline((), Unpriced("unknown_model", f"{name.provider}/{name.model}"))


def _version(row: PriceVersion) -> _Version:
    price = ResolvedPrice(row.id, parse_rates(row.rates), row.currency)
    return _Version(row.valid_from, row.valid_to, row.daily_from, row.daily_to, price)
