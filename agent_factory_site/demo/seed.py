"""Filling a demo database, or bringing it up to date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from django.conf import settings
from django.db.models import Max, Min

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import Entity, Team
from financial.models import CostEvent
from financial.services.record_costs import CONFLICT, record_costs

from .budgets import seed_budgets
from .experiments import seed_experiments
from .fleet import AGENTS, TEAMS
from .runs import seed_runs
from .service_levels import seed_service_levels
from .traffic import SOURCE, demo_events

DAYS: Final = 90
MAX_DAYS: Final = 730
SEED: Final = 2026
BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Seeded:
    """What there is: the first day of the demo, and how much of each this call has added."""

    beginning: date
    added: int
    budgets: int
    experiments: int
    service_levels: int
    runs: int


def seed_demo(
    *,
    now: datetime,
    days: int = DAYS,
    seed: int = SEED,
    on_batch: Callable[[int], None] = lambda added: None,
) -> Seeded:
    """Record the demo fleet's costs of the last ``days`` days, or of the time since the last call, its budgets,
    its experiments, its service levels, and the runs of the last week.

    Repeating it adds nothing but the time that has passed; after a kill it completes what is missing.
    Raises :class:`Conflict` outside of a demo, and for a database that holds costs but no demo's.
    """
    if not settings.DEMO:
        raise Conflict("not_a_demo", "Demo data is made with DEMO=1 alone, in a database of its own.")
    if not 1 <= days <= MAX_DAYS:
        raise Invalid.field_error("/days", "out_of_range", f"A demo has 1 to {MAX_DAYS} days.")
    recorded = CostEvent.objects.filter(source=SOURCE).aggregate(
        first=Min("occurred_at"), last=Max("occurred_at")
    )
    if recorded["first"] is None and CostEvent.objects.exists():
        raise Conflict("not_a_demo", "This database holds the costs of a real fleet: nothing was added.")
    _name_the_fleet()
    beginning = recorded["first"].date() if recorded["first"] else now.date() - timedelta(days=days - 1)
    # The last day may be there in part, and runs of the day before may reach into it: both again.
    first = max(beginning, recorded["last"].date() - timedelta(days=1)) if recorded["last"] else beginning
    events = demo_events(seed=seed, beginning=beginning, first=first, until=now)
    added = 0
    while batch := list(islice(events, BATCH)):
        outcome = record_costs(costs=batch)
        # Days that an earlier version of the fleet, or another seed, has made stay as they are.
        refused = {index: errors for index, errors in outcome.rejected.items() if CONFLICT not in errors}
        if refused:
            raise AssertionError(f"demo events were refused: {refused}")
        added += len(outcome.accepted)
        on_batch(added)
    budgets, experiments = seed_budgets(), seed_experiments(seed=seed)
    service_levels = seed_service_levels(seed=seed, days=days)
    # Last: runs are served what the experiments assign.
    runs = seed_runs(seed=seed, beginning=beginning, now=now)
    return Seeded(beginning, added, budgets, experiments, service_levels, runs)


def _name_the_fleet() -> None:
    for key, name in TEAMS.items():
        Team.objects.get_or_create(key=key, defaults={"name": name})
    names = {("agent", agent.key): agent.name for agent in AGENTS}
    names |= {("team", key): name for key, name in TEAMS.items()}
    for (kind, key), name in names.items():
        entity, created = Entity.objects.get_or_create(type=kind, key=key, defaults={"name": name})
        if not created and not entity.name:
            entity.name = name
            entity.save(update_fields=["name"])
