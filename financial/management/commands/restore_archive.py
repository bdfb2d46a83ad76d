"""``manage.py restore_archive``: put the rows of an archive back into the ledger."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.money import format_amount
from financial.services.restore_archive import restore_archive

BOOKS_DISAGREE = 1


class Command(ServiceCommand):
    help = (
        "Put the rows of an archive back into the ledger exactly as they were, after comparing the file's hash. "
        "A repeat completes what was interrupted. Exits 1 where rows and rollups of the month differ then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "archive", metavar="ARCHIVE", help="The id or file name of an archive, or the path of its file."
        )

    def handle(self, **options: Any) -> None:
        with self.progress("costs") as progress:
            done = restore_archive(
                name=options["archive"], progress=lambda step, rows: progress.move_to(rows)
            )
        archive = done.archive
        amount = f"{format_amount(archive.base_amount)} {settings.BASE_CURRENCY}"
        self.stdout.write(
            f"{archive.month}  {archive.rows:,} rows  {amount}  restored from {archive.file_name}"
        )
        if done.differs:
            self.stdout.write(f"Rows and rollups differ ({done.differs}): run manage.py verify_ledger.")
            sys.exit(BOOKS_DISAGREE)
