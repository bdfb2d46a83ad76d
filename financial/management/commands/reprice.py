"""``manage.py reprice``: book what recorded costs differ from the prices of now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.money import format_amount
from financial.management.times import moment
from financial.services.reprice import Repriced, reprice

REASONS: Final = {
    "corrected": "left alone, because they were corrected by hand (--include-corrected takes them as well)",
    "voided": "left alone, because they were taken back",
    "below_zero": "left alone, because less is left of them than the difference",
    "no_price": "left alone, because no price covers their time any more",
    "other_currency": "left alone, because the price is in another currency than they are booked in",
    "no_exchange_rate": "left alone, because there is no exchange rate for their day",
    "too_large": "left alone, because they would come to more than COST_MAX_AMOUNT",
    "archived_event": "left alone, because they were archived meanwhile",
    "conflict": "left alone, because another event bears the name of their repricing",
}


class Command(ServiceCommand):
    help = (
        "Price recorded costs again, each for its own time, and book the differences as corrections: when a "
        "price appeared, changed or was archived. Nothing is edited; a repeat changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--start", type=moment, help="Only costs of this date or time (UTC) and later.")
        parser.add_argument("--end", type=moment, help="Only costs before this date or time (UTC).")
        parser.add_argument("--provider", default="", help="Only this provider, in any spelling.")
        parser.add_argument("--model", default="", help="Only this model, in any spelling.")
        parser.add_argument("--dry-run", action="store_true", help="Show the differences and write nothing.")
        parser.add_argument(
            "--include-corrected", action="store_true", help="Also costs that were corrected by hand."
        )

    def handle(self, **options: Any) -> None:
        with self.progress("costs") as progress:
            outcome = reprice(
                **{name: options[name] for name in ("start", "end", "provider", "model", "dry_run")},
                include_corrected=options["include_corrected"],
                progress=progress.move_to,
            )
        self.stdout.write(repriced_table(outcome))
        for reason, count in sorted(outcome.left_alone.items()):
            self.stdout.write(f"{count:,} {REASONS[reason]}")
        if outcome.archived:
            self.stdout.write(f"left alone, because their costs are archived: {', '.join(outcome.archived)}")
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was written")


def repriced_table(outcome: Repriced) -> str:
    """The differences by model and in total, in columns."""
    named = {"/".join(filter(None, name)) or "-": change for name, change in outcome.changes.items()}
    rows = [("model", "costs", "newly priced", f"amount ({settings.BASE_CURRENCY})")]
    rows += [
        (name, f"{change.events:,}", f"{change.newly_priced:,}", format_amount(change.amount))
        for name, change in sorted(named.items())
    ]
    rows.append(("total", f"{outcome.events:,}", f"{outcome.newly_priced:,}", format_amount(outcome.amount)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {events:>{widths[1]}}  {new:>{widths[2]}}  {amount:>{widths[3]}}"
        for name, events, new, amount in rows
    )
