"""``manage.py verify_ledger``: prove that the books agree, and repair rollups on request."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from agent_factory_site.common.management.base import ServiceCommand
from financial.management.times import moment
from financial.services.verify_ledger import verify_ledger


class Command(ServiceCommand):
    help = (
        "Recompute every ledger row from its price and its exchange, and compare every rollup with the sum of "
        "its rows. Exits 0 when all agree (or only rollups did not, and were repaired), 1 when something differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--start", type=moment, help="From the UTC day of this date or time on.")
        parser.add_argument("--end", type=moment, help="To the UTC day before this date, or of this time.")
        parser.add_argument(
            "--repair-rollups",
            action="store_true",
            help="Work the rollups that differ out again. Recording costs waits meanwhile; rows are never changed.",
        )

    def handle(self, **options: Any) -> None:
        with self.progress("rows") as progress:
            outcome = verify_ledger(
                start=options["start"],
                end=options["end"],
                repair_rollups=options["repair_rollups"],
                progress=progress.move_to,
            )
        findings = outcome.findings
        self.stdout.write(f"{outcome.rows:,} rows recomputed, the rollups of {outcome.days:,} days compared")
        if outcome.archived:
            self.stdout.write(f"compared with their archives as a whole: {', '.join(outcome.archived)}")
        if outcome.skipped:
            self.stdout.write(f"not compared, because they are being archived: {', '.join(outcome.skipped)}")
        for kind, count in sorted(findings.unchecked.items()):
            self.stdout.write(f"{count:,} not recomputed ({kind}): the exchange rate of their price is gone")
        for difference in findings.listed:
            self.stdout.write(str(difference))
        if more := findings.counts.total() - len(findings.listed):
            self.stdout.write(f"and {more:,} more")
        for kind, count in sorted(findings.counts.items()):
            self.stdout.write(f"{kind}: {count:,} found")
        if outcome.repaired:
            self.stdout.write(f"{outcome.repaired:,} rollups repaired")
        if not findings.counts:
            self.stdout.write("All agree.")
        if not outcome.agrees:
            sys.exit(1)
