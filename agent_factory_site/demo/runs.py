"""The runs behind the demo's latest costs, step by step, and the agents that made them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from random import Random
from typing import Final

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.models import Team
from financial.domain.cost_input import CostInput
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import Agent, Run, run_key
from operations.fleet.services.agent_changes import change_agent, merge_agents
from operations.fleet.services.agents import register_agents
from operations.fleet.services.record_runs import finish_recording, record_runs
from operations.fleet.services.record_steps import record_steps
from operations.fleet.services.run_costs import recompute_costs
from operations.fleet.services.run_rows import micros
from operations.fleet.services.switch import pause_agent
from operations.telemetry.models import TelemetrySource
from research.models import Experiment
from research.services.assign import Unit, assign_units

from .fleet import AGENTS, DemoAgent
from .traffic import SOURCE, demo_events

DAYS: Final = 7
"""So many days back runs are known; of the costs before them there are no traces."""
BATCH: Final = 250
SECOND: Final = 1_000_000
STILL_RUNNING: Final = timedelta(seconds=12)
UNCLAIMED: Final = frozenset({"night-digest", "onboarding-guide"})
PAUSED: Final = ("sales-writer", "Two drafts went out to the same customer; being looked at.")
FORMER: Final = ("support-bot-beta", "support-bot")
"""An agent that was merged, and the one that took it over."""
ERRORS: Final = (
    ("RateLimitError", "429: too many requests, try again in 20 s"),
    ("APITimeoutError", "Request timed out."),
    ("InternalServerError", "500: the server had an error while processing your request"),
)
ATTRIBUTES: Final = {"country": "DE"}
_BY_KEY: Final[Mapping[str, DemoAgent]] = {agent.key: agent for agent in AGENTS}


def seed_runs(*, seed: int, beginning: date, now: datetime) -> int:
    """Record the runs of the last days that are missing; how many were recorded."""
    _register(now)
    first = max(beginning, now.date() - timedelta(days=DAYS - 1))
    runs = _runs(demo_events(seed=seed, beginning=beginning, first=first, until=now))
    known = set(
        Run.objects.exclude(status=Run.Status.RUNNING)
        .filter(started_at__gte=now - timedelta(days=DAYS + 1))
        .values_list("pk", flat=True)
    )
    missing = (events for run_id, events in runs.items() if run_key(run_id) not in known)
    served = _variants(runs.values())
    recorded = 0
    while batch := list(islice(missing, BATCH)):
        _record([_told(events, served, now) for events in batch])
        recorded += len(batch)
    _name_sources(now)
    return recorded


def _register(now: datetime) -> None:
    known = set(Agent.objects.values_list("key", flat=True))
    if new := [agent for agent in AGENTS if agent.key not in known]:
        former, into = FORMER
        names = [agent.key for agent in new] + ([former] if into not in known else [])
        register_agents(names=names, seen_by="opentelemetry")
        for agent in new:
            owner = (
                None
                if agent.key in UNCLAIMED or not Team.objects.filter(key=agent.team).exists()
                else agent.team
            )
            change_agent(agent=agent.key, changes={"name": agent.name, "owner": owner})
        if into not in known:
            merge_agents(agent=former, into=into)
        key, reason = PAUSED
        if key not in known:
            pause_agent(agent=key, reason=reason)


def _runs(events: Iterable[CostInput]) -> dict[str, list[CostInput]]:
    """The events of each run, in order of time."""
    runs: dict[str, list[CostInput]] = {}
    for event in events:
        if event.run_id:
            runs.setdefault(event.run_id, []).append(event)
    return runs


def _variants(runs: Iterable[list[CostInput]]) -> dict[tuple[str, str], str]:
    """The arm that the experiments of agents assign to their users, by experiment and user."""
    users: dict[str, set[str]] = {}
    for events in runs:
        agent = _BY_KEY[events[0].entity_id]
        if agent.experiment and (user := (events[0].entities or {}).get("user")):
            users.setdefault(agent.experiment, set()).add(user)
    found: dict[tuple[str, str], str] = {}
    for row in Experiment.objects.filter(key__in=list(users)):
        units = [Unit(user, ATTRIBUTES) for user in sorted(users[row.key])]
        for one in assign_units(experiment=row.pk, units=units, expose=False):
            if one.decision.assigned is not None:
                found[row.key, one.unit] = one.decision.assigned.key
    return found


@dataclass(frozen=True, slots=True)
class _Told:
    run: RunSaid
    steps: list[StepSaid]


def _told(events: list[CostInput], served: Mapping[tuple[str, str], str], now: datetime) -> _Told:
    """What a trace would have told of a run: times that the ledger does not know are made up from its id."""
    first = events[0]
    agent = _BY_KEY[first.entity_id]
    run_id = first.run_id or ""
    digest = hashlib.sha256(run_id.encode()).digest()
    trace, root = digest[:16], digest[16:24]
    dice = Random(run_id)  # noqa: S311  # nosec B311
    steps = list(_steps(events, trace, root, dice))
    start = min(step.start for step in steps) - dice.randrange(20_000, 90_000)
    end = max(step.end or step.start for step in steps) + dice.randrange(5_000, 60_000)
    calls = [step for step in steps if step.kind == "inference"]
    running = now - max(event.occurred_at for event in events) < STILL_RUNNING
    failed = calls[-1] if calls and calls[-1].failed else None
    user = (first.entities or {}).get("user", "")
    variant = served.get((agent.experiment, user))
    tags = first.tags or {}
    root_step = StepSaid(
        run_id=run_id,
        kind="agent",
        start=start,
        end=None if running else end,
        trace_id=trace,
        span_id=root,
        name=f"invoke_agent {agent.key}",
        failed=failed is not None,
        error_type=failed.error_type if failed else "",
    )
    answered = next((call for call in calls if not call.failed and call.first_token is not None), None)
    run = RunSaid(
        run_id=run_id,
        agent=agent.key,
        status="running" if running else "failed" if failed else "ok",
        start=start,
        last=end,
        trace_id=trace,
        span_id=root,
        end=None if running else end,
        latency=None if running else end - start,
        first_token=answered.start - start + (answered.first_token or 0) if answered else None,
        seen=not running,
        error_type=failed.error_type if failed else "",
        error_message=failed.error_message if failed else "",
        session=f"{user}/{start // (1800 * SECOND)}" if user else "",
        user=user,
        environment=tags.get("env", ""),
        release="2026.11",
        experiments=((agent.experiment, variant),) if variant else (),
        calls=len(calls),
        failed_calls=sum(call.failed for call in calls),
        tool_calls=len(steps) - len(calls),
    )
    return _Told(run, [] if running else [root_step, *steps])


def _steps(events: list[CostInput], trace: bytes, root: bytes, dice: Random) -> Iterator[StepSaid]:
    starts = [micros(event.occurred_at) for event in events]
    for index, event in enumerate(events):
        span = hashlib.sha256(f"{SOURCE}/{event.event_id}".encode()).digest()[:8]
        start = starts[index]
        later = [at for at in starts[index + 1 :] if at > start]
        room = min(later) - start - 20_000 if later else 60 * SECOND
        tags = event.tags or {}
        if event.cost_type == "llm":
            usage = event.usage
            failed = tags.get("outcome") == "failed"
            written = usage.output_tokens if usage is not None else 0
            # So many tokens a second, after a while of thinking.
            length = dice.uniform(0.25, 0.9) + written / dice.uniform(140, 420)
            error_type, message = dice.choice(ERRORS) if failed else ("", "")
            took = max(60_000, min(int(length * SECOND), room))
            yield StepSaid(
                run_id=event.run_id or "",
                kind="inference",
                start=start,
                end=start + took,
                trace_id=trace,
                span_id=span,
                parent_span_id=root,
                name=f"chat {event.model}",
                failed=failed,
                error_type=error_type,
                error_message=message,
                provider=event.provider or "",
                model=event.model or "",
                usage={
                    name: count
                    for name in usage.__struct_fields__
                    if isinstance(count := getattr(usage, name), int) and count
                }
                if usage is not None
                else None,
                first_token=None if failed else min(took, int(dice.uniform(0.18, 0.7) * SECOND)),
                charged=True,
                cost_source=SOURCE,
                cost_event=event.event_id,
            )
        else:
            took = max(15_000, min(int(dice.lognormvariate(-1.2, 0.6) * SECOND), 8 * SECOND))
            yield StepSaid(
                run_id=event.run_id or "",
                kind="tool",
                start=start,
                end=start + took,
                trace_id=trace,
                span_id=span,
                parent_span_id=root,
                name=f"execute_tool {tags.get('tool', '')}",
                tool=tags.get("tool", ""),
                charged=True,
                cost_source=SOURCE,
                cost_event=event.event_id,
            )


def _record(told: list[_Told]) -> None:
    with transaction.atomic():
        outcome = record_runs(said=[one.run for one in told], seen_by="opentelemetry")
        agents = {one.run.run_id: outcome.agents[one.run.agent] for one in told}
        record_steps(steps=[step for one in told for step in one.steps], agents=agents)
        recompute_costs(run_ids=[one.run.run_id for one in told])
        finish_recording(outcome)


def _name_sources(now: datetime) -> None:
    """Who has sent the demo's traces; counts as they might be."""
    if TelemetrySource.objects.exists():
        TelemetrySource.objects.filter(service="customer-care").update(last_seen_at=timezone.now())
        return
    TelemetrySource.objects.bulk_create(
        [
            TelemetrySource(
                key="af_demo0care", service="customer-care", sdk="opentelemetry-python", sdk_version="1.38.0",
                last_seen_at=now, requests=5_120, accepted=18_340, ignored=9_212, duplicates=57,
                ignored_by={"not an agent's span": 9_104, "logs": 108},
            ),
            TelemetrySource(
                key="af_demo0plat", service="code-reviewer", sdk="opentelemetry-js", sdk_version="2.2.0",
                last_seen_at=now - timedelta(minutes=14), requests=1_407, accepted=6_220, rejected=12,
                ignored=2_040, ignored_by={"not an agent's span": 1_988, "metrics": 52},
                remark="12 spans end before they begin: the clock of its machine jumps.",
            ),
            TelemetrySource(
                key="af_demo0batch", service="night-digest", sdk="openinference", sdk_version="0.1.43",
                last_seen_at=now - timedelta(days=2, hours=3), requests=212, accepted=980, ignored=40,
                ignored_by={"not an agent's span": 40},
            ),
        ]
    )  # fmt: skip
