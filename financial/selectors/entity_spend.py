"""What some entities spent by day, and which models nobody has a price for; from rollups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple

from django.db.models import Max, Min, Sum

from agent_factory_site.common.models import Entity
from agent_factory_site.common.models.entity import FLEET_KEY, FLEET_TYPE
from financial.models import CostRollupDay, CostSeries

DAY: Final = 86_400


class DaySpend(NamedTuple):
    """A day's amount in nano-units of the base currency, its events and those without a price."""

    amount: int
    events: int
    unpriced: int


def day_number(day: date) -> int:
    """The number of a UTC day in the rollups."""
    return int(datetime.combine(day, time.min, UTC).timestamp()) // DAY


def spend_by_day(entities: Collection[int], *, first: date, last: date) -> dict[int, dict[int, DaySpend]]:
    """The spend of each entity by number of the UTC day, ``first`` and ``last`` included; one statement."""
    rows = (
        CostRollupDay.objects.filter(
            entity__in=list(entities), bucket__gte=day_number(first), bucket__lte=day_number(last)
        )
        .order_by()
        .values_list("entity_id", "bucket")
        .annotate(Sum("base_amount"), Sum("events"), Sum("unpriced"))
    )
    found: dict[int, dict[int, DaySpend]] = {}
    for entity, bucket, amount, events, unpriced in rows:
        found.setdefault(entity, {})[bucket] = DaySpend(int(amount), int(events), int(unpriced))
    return found


def series_by_day(
    entities: Collection[int], *, first: date, last: date
) -> dict[tuple[str, str, str], dict[int, int]]:
    """What the entities together spent by cost type, provider and model, and number of the UTC day; one statement."""
    rows = (
        CostRollupDay.objects.filter(
            entity__in=list(entities), bucket__gte=day_number(first), bucket__lte=day_number(last)
        )
        .order_by()
        .values_list("series__cost_type", "series__provider", "series__model", "bucket")
        .annotate(Sum("base_amount"))
    )
    found: dict[tuple[str, str, str], dict[int, int]] = {}
    for kind, provider, model, bucket, amount in rows:
        found.setdefault((kind, provider, model), {})[bucket] = int(amount)
    return found


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model without a price: how many events and tokens, between which days, by which agents (most first)."""

    cost_type: str
    provider: str
    model: str
    events: int
    input_tokens: int
    output_tokens: int
    first: date
    last: date
    agents: tuple[tuple[str, int], ...]


def unpriced_models(*, first: date, last: date, limit: int = 500) -> list[UnpricedModel]:
    """What was used without a price between two UTC days, the most events first.

    Tokens are those of all of its events in that time. Charges that were priced later are not counted. Three
    statements; reads rollups.
    """
    days = CostRollupDay.objects.filter(bucket__gte=day_number(first), bucket__lte=day_number(last))
    fleet = Entity.objects.filter(type=FLEET_TYPE, key=FLEET_KEY).values("pk")
    rows = list(
        days.filter(entity__in=fleet)
        .order_by()
        .values_list("series_id")
        .annotate(
            missing=Sum("unpriced"),
            tokens_in=Sum("input_tokens"),
            tokens_out=Sum("output_tokens"),
            first_day=Min("bucket"),
            last_day=Max("bucket"),
        )
        .filter(missing__gt=0)
        .order_by("-missing", "series_id")[:limit]
    )
    series = CostSeries.objects.in_bulk([row[0] for row in rows])
    users: dict[int, dict[str, int]] = {}
    using = (
        days.filter(series__in=list(series), entity__type="agent")
        .order_by()
        .values_list("series_id", "entity__key")
        .annotate(missing=Sum("unpriced"))
        .filter(missing__gt=0)
    )
    for number, key, missing in using:
        users.setdefault(number, {})[key] = int(missing)
    merged: dict[tuple[str, str, str], list[tuple[int, ...]]] = {}
    agents: dict[tuple[str, str, str], dict[str, int]] = {}
    for number, *sums in rows:
        one = series[number]
        name = one.cost_type, one.provider, one.model
        merged.setdefault(name, []).append(tuple(map(int, sums)))
        counts = agents.setdefault(name, {})
        for key, missing in users.get(number, {}).items():
            counts[key] = counts.get(key, 0) + missing
    found = [
        UnpricedModel(
            *name,
            events=sum(row[0] for row in sums),
            input_tokens=sum(row[1] for row in sums),
            output_tokens=sum(row[2] for row in sums),
            first=_day(min(row[3] for row in sums)),
            last=_day(max(row[4] for row in sums)),
            agents=tuple(sorted(agents[name].items(), key=lambda item: (-item[1], item[0]))),
        )
        for name, sums in merged.items()
    ]
    return sorted(found, key=lambda row: (-row.events, row.provider, row.model))


def _day(number: int) -> date:
    return datetime.fromtimestamp(number * DAY, UTC).date()
