"""``manage.py update_prices``: what the installed catalogue changes, and taking it over."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.money import format_amount
from financial.domain.pricing import USAGE_PARTS
from financial.models import PriceVersion
from financial.services.price_update import (
    CatalogueDifference,
    PriceChange,
    apply_catalogue,
    check_prices,
    compare_catalogue,
)


class Command(ServiceCommand):
    help = (
        "Show where the installed price catalogue differs from the prices in use, since when, and what "
        "repricing would book. --apply archives those prices and takes the catalogue's; recorded costs "
        "follow with manage.py reprice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--dry-run", action="store_true", help="Write nothing at all.")
        chosen.add_argument("--apply", action="store_true", help="Take the catalogue's prices over.")

    def handle(self, **options: Any) -> None:
        with self.progress("costs") as progress:
            compare = compare_catalogue if options["dry_run"] or options["apply"] else check_prices
            found = compare(progress=progress.move_to)
        self.stdout.write(f"catalogue: genai-prices {found.catalogue}")
        for line in _lines(found):
            self.stdout.write(line)
        if not found.changes:
            self.stdout.write("No price in use differs.")
        elif options["apply"]:
            done = apply_catalogue()
            self.stdout.write(f"{len(done):,} prices taken over. Book the differences: manage.py reprice")
        else:
            self.stdout.write(f"{len(found.changes):,} prices differ; --apply takes them over.")


def _lines(found: CatalogueDifference) -> list[str]:
    lines = []
    for name, effect in found.effects.items():
        changes = [change for change in found.changes if change.name == name]
        since = min(change.since for change in changes)
        when = "always" if since.year == 1970 else f"{since:%Y-%m-%d %H:%M} UTC"
        lines.append(
            f"{name.provider}/{name.model}, since {when}: {effect.events:,} costs would change by "
            f"{format_amount(effect.amount)} {settings.BASE_CURRENCY}"
        )
        lines += [f"  {line}" for change in changes for line in _change(change)]
    return lines


def _change(change: PriceChange) -> list[str]:
    row = change.new or change.old
    assert row is not None
    head = f"{row.service_tier} from {row.valid_from:%Y-%m-%d}"
    if change.old is None:
        return [f"{head}: added, {_rates(row)}"]
    if change.new is None:
        return [f"{head}: dropped, {_rates(row)}"]
    if change.old.rates == change.new.rates:
        return [f"{head}: other dates"]
    return [f"{head}: {_rates(change.old)}", f"{' ' * len(head)}-> {_rates(change.new)}"]


def _rates(row: PriceVersion) -> str:
    # PostgreSQL keeps the keys of JSON in an order of its own.
    return ", ".join(f"{part} {row.rates[part]['per_million']}" for part in USAGE_PARTS if part in row.rates)
