"""``manage.py check_results``: prove that sums of arms, values of units and results agree."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from agent_factory_site.common.management.base import ServiceCommand
from research.selectors.experiments import list_experiments
from research.services.check_results import check_results


class Command(ServiceCommand):
    help = (
        "Recompute the value of every unit from its results, and the sums of every arm from the values of its "
        "units, and name each difference. Exits 0 when all agree or was repaired, 1 when something differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("experiment", nargs="?", help="The key or id of an experiment.")
        parser.add_argument("--all", action="store_true", help="Every experiment.")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="Work out anew what differs. Recording results waits meanwhile; results are never changed.",
        )

    def handle(self, **options: Any) -> None:
        if bool(options["experiment"]) == options["all"]:
            raise CommandError("Name one experiment, or say --all.")
        names = [row.key for row in list_experiments()] if options["all"] else [options["experiment"]]
        differs = False
        for name in names:
            with self.progress("units") as progress:
                found = check_results(experiment=name, repair=options["repair"], progress=progress.move_to)
            self.stdout.write(
                f"{found.experiment}: {found.results:,} results of {found.units:,} units and the sums of "
                f"{found.arms:,} arms compared"
            )
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
