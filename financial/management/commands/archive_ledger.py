"""``manage.py archive_ledger``: write old months of ledger rows to files, and take them out of the database."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.money import format_amount
from financial.services.archive_ledger import archive_ledger


def month(text: str) -> datetime:
    """``2026-08`` as the beginning of that month, UTC."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError(f'"{text}" is not a month such as 2026-08') from None


class Command(ServiceCommand):
    help = (
        "Archive the rows of whole months (UTC): each month is written to a file, read back and compared, and "
        "only then taken out of the database. Totals and rollups stay. A repeat finishes what was interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--before", type=month, required=True, metavar="YYYY-MM", help="Months before this one."
        )
        parser.add_argument("--to", type=Path, metavar="DIR", help="Default: archives in VAR_DIR.")
        parser.add_argument("--dry-run", action="store_true", help="Show the months and write nothing.")

    def handle(self, **options: Any) -> None:
        with self.progress("costs") as progress:
            done = archive_ledger(
                before=options["before"],
                folder=options["to"],
                dry_run=options["dry_run"],
                progress=lambda step, rows: progress.move_to(rows),
            )
        for item in done:
            amount = f"{format_amount(item.sums.base_amount)} {settings.BASE_CURRENCY}"
            where = f"  {item.file}" if item.file else ""
            self.stdout.write(f"{item.month}  {item.sums.rows:,} rows  {amount}{where}")
        if not done:
            self.stdout.write("No month before that has rows.")
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was written")
