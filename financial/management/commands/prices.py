"""``manage.py prices MODEL``: what a model costs, and cost when."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from django.core.management.base import CommandError

from agent_factory_site.common.management.base import ServiceCommand
from financial.domain.model_names import normalise
from financial.models import PriceVersion
from financial.services.prices import known_prices


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f'"{text}" is neither a date nor a time such as 2026-11-02T10:00:00Z'
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(ServiceCommand):
    """Reads only: a model that no cost has named yet is shown from the catalogue."""

    help = "Show the dated prices of a model, in currency units per million."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", metavar="MODEL", help="in any spelling, such as gpt-4o or azure/gpt-4o")
        parser.add_argument("--provider", default="", help="who is paid; needed where the name does not tell")
        parser.add_argument("--at", type=_moment, help="only what holds at this date or time (UTC)")

    def handle(self, *, model: str, provider: str, at: datetime | None, **options: Any) -> None:
        name = normalise(provider, model)
        if not name.provider:
            raise CommandError(f"Who sells {name.model}? Name the provider with --provider.")
        rows = [row for row in known_prices(name=name) if at is None or _holds(row, at)]
        if not rows:
            when = f" at {at:%Y-%m-%d %H:%M} UTC" if at else ""
            raise CommandError(f"There is no price for {name.provider}/{name.model}{when}.")
        tiers = PriceVersion.ServiceTier.values
        rows.sort(key=lambda row: tiers.index(row.service_tier))
        for tier, versions in groupby(rows, key=lambda row: row.service_tier):
            self.stdout.write(f"{name.provider}/{name.model} {tier}")
            for row in _that_count(list(versions), at):
                self.stdout.write(f"  {_dates(row)}, {row.currency} per million, {_origin(row)}")
                for line in _rates(row):
                    self.stdout.write(f"    {line}")
        for note in dict.fromkeys(row.note for row in rows if row.note):
            self.stdout.write(note)


def _holds(row: PriceVersion, at: datetime) -> bool:
    return row.valid_from <= at and (row.valid_to is None or at < row.valid_to)


def _that_count(rows: list[PriceVersion], at: datetime | None) -> list[PriceVersion]:
    """All of ``rows``, which stand in order of precedence; at one moment those of the first kind alone."""
    if at is None:
        return rows
    return [row for row in rows if (row.source, row.model) == (rows[0].source, rows[0].model)]


def _dates(row: PriceVersion) -> str:
    start = "always" if row.valid_from.year == 1970 else f"from {_day(row.valid_from)}"
    end = f" until {_day(row.valid_to)}" if row.valid_to else ""
    window = f", {row.daily_from:%H:%M}-{row.daily_to:%H:%M} UTC" if row.daily_from and row.daily_to else ""
    return (start + end).removeprefix("always ") + window


def _day(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%d}" if (utc.hour, utc.minute) == (0, 0) else f"{utc:%Y-%m-%d %H:%M} UTC"


def _origin(row: PriceVersion) -> str:
    return f"{row.source} {row.source_version}".strip()


def _rates(row: PriceVersion) -> Iterator[str]:
    width = max(map(len, row.rates))
    for part, rate in row.rates.items():
        tiers = "".join(
            f", {tier['per_million']} above {tier['above']:,} input tokens" for tier in rate.get("tiers", ())
        )
        yield f"{part:<{width}}  {rate['per_million']}{tiers}"
