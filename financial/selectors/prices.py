"""Reads of price versions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from agent_factory_site.common.db.prepared import Asked, ask_all
from agent_factory_site.common.errors import NotFound
from financial.domain.model_names import ModelName, normalise_provider
from financial.models import PriceVersion


def price_revision() -> Hashable:
    """A token that differs whenever any price version was written in between; compare it, nothing else."""
    return price_revision_of(ask_all(price_revision_asked())[0])


def price_revision_asked() -> Asked:
    """:func:`price_revision`, to be asked together with others; :func:`price_revision_of` reads the answer."""
    # Asked once per batch, also of one event: a plain statement takes a tenth of a queryset's time.
    return Asked("SELECT token FROM financial_pricerevision")


def price_revision_of(rows: Sequence[tuple[Any, ...]]) -> Hashable:
    """The token that the answer to :func:`price_revision_asked` tells of."""
    return rows[0][0] if rows else None


def prices_in_use(name: ModelName) -> QuerySet[PriceVersion]:
    """The price versions of a normalised name that are not archived, of all dates."""
    rows: QuerySet[PriceVersion] = PriceVersion.objects.filter(
        provider=name.provider, model=name.model, archived_at=None
    )
    return rows


def list_prices(
    *,
    provider: str = "",
    model: str = "",
    at: datetime | None = None,
    source: str = "",
    service_tier: str = "",
    archived: bool = False,
) -> QuerySet[PriceVersion]:
    """Price versions, the newest first; ``at`` keeps those whose interval holds that moment.

    ``provider`` takes any spelling of it, ``model`` its name or the catalogue's. Archived versions are
    left out unless ``archived``.
    """
    rows: QuerySet[PriceVersion] = PriceVersion.objects.order_by("-id")
    if provider:
        rows = rows.filter(provider=normalise_provider(provider) or provider.strip().lower())
    if model:
        wanted = model.strip().lower()
        rows = rows.filter(Q(model=wanted) | Q(catalogue_model=wanted))
    if at is not None:
        rows = rows.filter(Q(valid_to=None) | Q(valid_to__gt=at), valid_from__lte=at)
    if source:
        rows = rows.filter(source=source)
    if service_tier:
        rows = rows.filter(service_tier=service_tier)
    return rows if archived else rows.filter(archived_at=None)


def get_price(price_id: UUID | str) -> PriceVersion:
    """One price version, archived or not; :class:`NotFound` when there is none."""
    try:
        row: PriceVersion = PriceVersion.objects.get(pk=price_id)
    except (PriceVersion.DoesNotExist, ValidationError, ValueError):
        raise NotFound("not_found", "There is no such price.") from None
    return row


def price_siblings(price: PriceVersion) -> QuerySet[PriceVersion]:
    """All versions of the same model and tier, archived ones too, the latest start first."""
    rows: QuerySet[PriceVersion] = PriceVersion.objects.filter(
        provider=price.provider, model=price.model, service_tier=price.service_tier
    ).order_by("-valid_from", "source", "daily_from", "-id")
    return rows


def price_names(name: Literal["provider", "model"], limit: int = 500) -> list[str]:
    """The providers or models that have prices, in alphabetical order."""
    rows = PriceVersion.objects.order_by(name).values_list(name, flat=True).distinct()
    return list(rows[:limit])
