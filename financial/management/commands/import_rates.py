"""``manage.py import_rates FILE``: exchange rates from CSV."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from agent_factory_site.common.management.base import ServiceCommand
from financial.management.text_files import text_lines
from financial.services.import_rates import import_rates


class Command(ServiceCommand):
    help = (
        "Add exchange rates from a CSV file as the European Central Bank publishes them: Date,USD,JPY,… with "
        "N/A for gaps. All rows or none; a repeat changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="A CSV file, UTF-8.")
        parser.add_argument("--base", default="EUR", help="What the rates are against. Default EUR.")
        parser.add_argument("--source", default="", help="Where they are from. Default: the file's name.")

    def handle(self, *, file: Path, base: str, source: str, **options: Any) -> None:
        done = import_rates(lines=text_lines(file), base=base, source=source or file.name[:100])
        self.stdout.write(f"{done.added} added, {done.known} there already, {done.gaps} gaps")
        if done.left_out:
            self.stdout.write(
                f"left out, because they are no currencies of today: {', '.join(done.left_out)}"
            )
