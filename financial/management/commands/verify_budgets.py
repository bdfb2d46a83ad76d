"""``manage.py verify_budgets``: prove that budgets agree with the ledger, and repair them on request."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any, Final

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import format_amount
from financial.services.verify_budgets import verify_budgets

MAX_LISTED: Final = 200


class Command(ServiceCommand):
    help = (
        "Recompute every period of every budget from the ledger, the holds and the overruns. Exits 0 when all "
        "agree (or what did not was repaired), 1 when something differs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--repair",
            action="store_true",
            help="Write what differs anew. Recording costs and holds waits meanwhile; the ledger is never changed.",
        )

    def handle(self, **options: Any) -> None:
        with self.progress("rows") as progress:
            outcome = verify_budgets(repair=options["repair"], progress=progress.move_to)
        self.stdout.write(
            f"{outcome.periods:,} periods of {outcome.budgets:,} budgets compared with {outcome.rows:,} rows"
        )
        if outcome.skipped:
            self.stdout.write(
                f"{outcome.skipped:,} periods not compared: their costs are archived, or an exchange rate is gone"
            )
        listed = outcome.differences[:MAX_LISTED]
        names = {
            pk: f"{kind}/{key}"
            for pk, kind, key in Entity.objects.filter(pk__in={each.entity for each in listed}).values_list(
                "pk", "type", "key"
            )
        }
        for each in listed:
            stored = "missing" if each.stored is None else format_amount(each.stored)
            self.stdout.write(
                f"{each.budget}: {names.get(each.entity, each.entity)}, {each.period}: "
                f"{each.figure} is {stored}, its books {format_amount(each.expected)}"
            )
        if more := len(outcome.differences) - len(listed):
            self.stdout.write(f"and {more:,} more")
        for figure, count in sorted(outcome.counts.items()):
            self.stdout.write(f"{figure}: {count:,} found")
        if outcome.repaired is not None:
            self.stdout.write(f"{outcome.repaired:,} figures repaired")
        if not outcome.differences:
            self.stdout.write("All agree.")
        if not outcome.agrees:
            sys.exit(1)
