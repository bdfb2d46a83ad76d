"""``manage.py check_slos``: prove that buckets of service levels are the sums of their samples."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from agent_factory_site.common.management.base import ServiceCommand
from operations.slo.selectors.slos import counting_slos
from operations.slo.services.check_slo import check_slo


class Command(ServiceCommand):
    help = (
        "Recompute minutes from the samples still kept, hours from minutes and days from hours, and name each "
        "difference. Exits 0 when all agree or was repaired, 1 when something differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slo", nargs="?", help="The key of an SLO.")
        parser.add_argument("--all", action="store_true", help="Every SLO in use.")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="Put what is right in the place of what differs. Samples of its SLI wait for each hour meanwhile.",
        )

    def handle(self, **options: Any) -> None:
        if bool(options["slo"]) == options["all"]:
            raise CommandError("Name one SLO, or say --all.")
        differs = False
        for slo in counting_slos() if options["all"] else [options["slo"]]:
            with self.progress("hours") as progress:
                found = check_slo(slo=slo, repair=options["repair"], progress=progress.move_to)
            self.stdout.write(f"{slo}: {found.samples:,} samples and {found.buckets:,} buckets compared")
            for difference in found.listed:
                self.stdout.write(f"  {difference}")
            if more := found.differences - len(found.listed):
                self.stdout.write(f"  and {more:,} more")
            if found.repaired:
                self.stdout.write("  repaired")
            differs = differs or (found.differences > 0 and not found.repaired)
        if differs:
            sys.exit(1)
        self.stdout.write("All agree.")
