"""``manage.py import_unit_prices FILE``: unit prices from CSV."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from agent_factory_site.common.management.base import ServiceCommand
from financial.management.text_files import text_lines
from financial.services.import_unit_prices import OPTIONAL, REQUIRED, import_unit_prices


class Command(ServiceCommand):
    help = (
        f"Set unit prices from a CSV file with the columns {', '.join(REQUIRED)} and, where there are any, "
        f"{', '.join(OPTIONAL)}. All rows or none; a repeat changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="A CSV file, UTF-8.")

    def handle(self, *, file: Path, **options: Any) -> None:
        done = import_unit_prices(lines=text_lines(file))
        self.stdout.write(f"{done.added} added, {done.known} there already")
