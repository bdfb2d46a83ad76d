"""``manage.py seed_demo``: what ``make demo`` fills its database with."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.demo.seed import DAYS, SEED, seed_demo


class Command(ServiceCommand):
    help = (
        "Fill a demo database (DEMO=1) with 90 days of a made-up fleet's costs, its budgets, experiments and "
        "service levels, or add the days since the last call. Refuses to run anywhere else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=DAYS, help=f"How far back a new demo goes ({DAYS}).")
        parser.add_argument("--seed", type=int, default=SEED, help="Another seed gives another fleet's days.")

    def handle(self, **options: Any) -> None:
        with acting(Actor.command("seed_demo")), self.progress("events") as progress:
            seeded = seed_demo(
                now=timezone.now(),
                days=options["days"],
                seed=options["seed"],
                on_batch=progress.move_to,
            )
        self.note(f"{seeded.added:,} events added; the demo begins on {seeded.beginning}.")
