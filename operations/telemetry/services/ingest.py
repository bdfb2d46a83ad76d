"""Taking in a batch of spans: runs, steps and costs in one transaction.

The way of a batch: classify -> lock its traces -> work out what changes -> agents, runs, steps -> costs ->
counters. Rows are locked in this order and each kind in the order of its keys; sums that writers share
come last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from financial.services.rollups import naming_sums
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import span_step_key
from operations.fleet.services.agents import KnownAgent, register_agents, touch_agents
from operations.fleet.services.record_runs import finish_recording, record_runs
from operations.fleet.services.record_steps import MovedStep, move_steps, record_steps
from operations.fleet.services.run_costs import Reported
from operations.fleet.services.run_results import settle_runs
from operations.telemetry.domain.content import content_of
from operations.telemetry.domain.costs import SOURCE
from operations.telemetry.domain.reading import Reading, read_spans
from operations.telemetry.domain.runs import Changes, Step, cost_event_id, derive_changes, first_known
from operations.telemetry.domain.spans import Decoded, Origin, Rejected, Span
from operations.telemetry.domain.trace_view import Run

from .charging import (
    PATH,
    Due,
    compare_steps,
    due_of,
    put_off,
    record_due,
    record_settled,
    settle_at,
    split_by_path,
    take_waiting,
    worths,
)
from .kept_content import content_is_kept
from .moving import Target, move_costs
from .sources import Counts, Ignored, SourceName, note_sources, source_name
from .traces import lock_traces, remember

MAX_RUN_ID: Final = 200
_NANO: Final = 10**9
_LARGEST: Final = 2**62


@dataclass(slots=True)
class Ingested:
    """What became of a batch. ``rejected`` are spans beyond those that did not decode."""

    accepted: int = 0
    duplicates: int = 0
    refused_costs: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    warning: str = ""


def ingest_spans(*, decoded: Decoded, key: str = "") -> Ingested:
    """Record what a request says: all of it, or nothing when this raises.

    ``key`` is the prefix of the API key that sent it. A span that is known changes nothing.
    """
    readings = [_bounded(reading) for reading in read_spans(decoded.spans)]
    with naming_sums():
        return retry_conflicts(lambda: _store(decoded, readings, key))


def _bounded(reading: Reading) -> Reading:
    """With an id of its run that can be stored; two long ones that begin alike stay two."""
    if len(reading.run_id) <= MAX_RUN_ID:
        return reading
    digest = hashlib.sha256(reading.run_id.encode()).hexdigest()[:32]
    return msgspec.structs.replace(reading, run_id=f"{reading.run_id[: MAX_RUN_ID - 33]}~{digest}")


def _store(decoded: Decoded, readings: Sequence[Reading], key: str) -> Ingested:
    now = timezone.now()
    outcome = Ingested(accepted=len(readings))
    with transaction.atomic():
        refused: set[str] = set()
        if readings:
            known = lock_traces(first_known(readings), now)
            changes = derive_changes(readings, known)
            outcome.duplicates = changes.duplicates
            refused = _record(changes, _spans(decoded, readings), outcome, now)
            remember([one for key, one in changes.traces.items() if key in known], now)
        note_sources(counts=_counts(decoded, readings, key, outcome, refused))
    if refused:
        outcome.warning = "There are more agents than AGENT_LIMIT: the runs of further names go to (other)."
    return outcome


def _spans(decoded: Decoded, readings: Sequence[Reading]) -> dict[tuple[bytes, bytes], Span]:
    """The spans by their ids while content is kept, which is read from them."""
    if not content_is_kept():
        return {}
    return {(one.trace_id, one.span_id): span for one, span in zip(readings, decoded.spans, strict=True)}


def _record(
    changes: Changes, spans: Mapping[tuple[bytes, bytes], Span], outcome: Ingested, now: datetime
) -> set[str]:
    """Carry out what a batch changes; the names of agents that are too many."""
    names = {run.agent for run in changes.runs}
    names.update(charge.agent for charge in changes.charges if charge.agent)
    names.update(moved.to_agent for moved in changes.moved if moved.to_agent)
    registered = register_agents(names=names, seen_by=SOURCE)
    agents = registered.agents
    runs = record_runs(
        said=[_said(run) for run in changes.runs],
        gone=_gone(changes),
        agents=agents,
        seen_by=SOURCE,
    )
    now_due = [due_of(charge, agents, now) for charge in changes.charges if charge.settled]
    decided = {
        after.run_id for _, after in runs.changed.values() if after is not None and after.costs_from == PATH
    }
    ours, compared = split_by_path(now_due, decided)
    waiting = [due_of(charge, agents, now) for charge in changes.charges if not charge.settled]
    reported: dict[UUID, Reported] = {}
    charges = {*(one.step for one in ours), *(one.step for one in waiting)}
    _record_steps(changes, agents, spans, charges, compared, reported)
    if changes.moved:
        move_steps(
            moved=[
                MovedStep(one.trace_id, one.span_id, one.from_run_id, one.to_run_id) for one in changes.moved
            ]
        )
    if waiting:
        put_off(waiting, settle_at())
    elsewhere, outcome.refused_costs = record_due(ours, now)
    if elsewhere:
        compare_steps(elsewhere)
    followed = _follow(changes, agents, now)
    touch_agents(agents.values())
    charged = {one.cost.run_id for one in ours if one.cost.run_id}
    settle_runs(run_ids=charged | followed, ended=runs.ended, relinked=runs.relinked, reported=reported)
    finish_recording(runs)
    return registered.refused


def _gone(changes: Changes) -> list[tuple[str, bytes]]:
    """Runs that their trace tells of no more."""
    if not changes.gone:
        return []
    traces = {one.from_run_id: one.trace_id for one in changes.moved}
    return [(run_id, traces[run_id]) for run_id in changes.gone if run_id in traces]


def _follow(changes: Changes, agents: Mapping[str, KnownAgent], now: datetime) -> set[str]:
    """Have the costs of earlier batches follow what this one says of their calls; the runs that this concerns."""
    moved = {(one.trace_id, one.span_id): one for one in changes.moved if one.charged}
    withdrawn = {(one.trace_id, one.span_id): one for one in changes.withdrawn}
    settled = set(changes.settled)
    places = {*moved, *withdrawn, *settled}
    if not places:
        return set()
    waiting = take_waiting([span_step_key(*place) for place in places])
    at_once: list[Due] = []
    again: list[Due] = []
    targets: dict[str, Target | None] = {}
    for place in sorted(places):
        due = waiting.get(span_step_key(*place))
        to = moved.get(place)
        agent = agents[to.to_agent].entity_key if to is not None and to.to_agent else ""
        if place in withdrawn:
            if due is None:
                targets[cost_event_id(*place)] = None
            continue
        if due is None:
            if to is not None:
                targets[cost_event_id(*place)] = Target(to.to_run_id, agent)
            continue
        if to is not None:
            cost = msgspec.structs.replace(
                due.cost, run_id=to.to_run_id or None, entity_id=agent or due.cost.entity_id
            )
            due = due._replace(cost=cost)
        (at_once if place in settled else again).append(due)
    if again:
        put_off(again, settle_at())
    record_settled(at_once, now)
    move_costs(targets, now)
    concerned = {one.cost.run_id for one in at_once if one.cost.run_id}
    concerned.update(run_id for one in moved.values() for run_id in (one.from_run_id, one.to_run_id))
    concerned.update(one.run_id for one in withdrawn.values())
    return concerned - {""}


def _record_steps(
    changes: Changes,
    agents: Mapping[str, KnownAgent],
    spans: Mapping[tuple[bytes, bytes], Span],
    charged: set[UUID],
    compared: Sequence[Due],
    reported: dict[UUID, Reported],
) -> None:
    others = worths(compared) if compared else {}
    keepers: dict[str, KnownAgent] = {}
    if spans:
        keepers = {run.run_id: agents[run.agent] for run in changes.runs}
    said = []
    for step in changes.steps:
        one = step.reading
        key = span_step_key(one.trace_id, one.span_id)
        content = ("", "")
        if spans and step.run_id in keepers and keepers[step.run_id].keep_content:
            span = spans[one.trace_id, one.span_id]
            content = content_of(span.attributes, span.events)
        said.append(_step(step, key in charged, others.get(key), content))
    # Their traces are locked.
    record_steps(steps=said, agents=keepers, reported=reported, alone=True)


def _step(step: Step, charged: bool, other_cost: int | None, content: tuple[str, str]) -> StepSaid:
    one = step.reading
    usage = None
    if one.usage is not None:
        usage = {name: value for name, value in msgspec.structs.asdict(one.usage).items() if value}
    return StepSaid(
        run_id=step.run_id,
        kind=one.kind,
        start=one.start // 1000,
        trace_id=one.trace_id,
        span_id=one.span_id,
        parent_span_id=one.parent_id,
        end=one.end // 1000,
        name=one.name,
        tool=one.tool,
        failed=one.failed,
        error_type=one.error_type,
        error_message=one.error_message,
        provider=one.provider,
        model=one.model,
        usage=usage,
        first_token=None if one.first_token is None else one.first_token // 1000,
        counted=step.counted,
        charged=charged,
        cost_source=SOURCE if charged else "",
        cost_event=cost_event_id(one.trace_id, one.span_id) if charged else "",
        other_cost=other_cost,
        reported_cost=None if one.reported_cost is None else min(int(one.reported_cost * _NANO), _LARGEST),
        input=content[0],
        output=content[1],
    )


def _said(run: Run) -> RunSaid:
    return RunSaid(
        run_id=run.run_id,
        agent=run.agent,
        status="failed" if run.status == "error" else run.status,
        start=run.start // 1000,
        last=run.last // 1000,
        trace_id=run.trace_id,
        span_id=run.span_id,
        agent_named=run.agent_named,
        end=None if run.end is None else run.end // 1000,
        latency=None if run.latency is None else run.latency // 1000,
        first_token=None if run.first_token is None else run.first_token // 1000,
        seen=run.seen,
        shared=run.given,
        agent_version=run.agent_version,
        parent_run_id=run.parent_run_id,
        error_type=run.error_type,
        error_message=run.error_message,
        session=run.session,
        user=run.user,
        hold_id=run.hold_id,
        environment=run.environment,
        release=run.release,
        experiments=run.experiments,
        inherited=run.inherited,
        calls=run.calls,
        failed_calls=run.failed_calls,
        tool_calls=run.tool_calls,
        # A total of calls that nobody tells of is usage without a cost as well.
        calls_without_usage=run.calls_without_usage + run.total_without_calls,
    )


def _counts(
    decoded: Decoded, readings: Sequence[Reading], key: str, outcome: Ingested, refused: set[str]
) -> dict[SourceName, Counts]:
    """What became of the spans by source; what cannot be told apart is counted with the first of them."""
    counts: dict[SourceName, Counts] = {}
    by_origin: dict[int, Counts] = {}
    for reading, span in zip(readings, decoded.spans, strict=True):
        have = by_origin.get(id(span.origin))
        if have is None:
            have = counts.setdefault(source_name(key, span.origin), Counts())
            by_origin[id(span.origin)] = have
        have.accepted += 1
        if reading.kind == "other":
            have.reasons[Ignored.OTHER] += 1
        elif reading.usage_problem is not None:
            have.reasons[f"usage_{reading.usage_problem.code}"] += 1
    if not counts:
        counts[source_name(key, Origin({}))] = Counts()
    first = next(iter(counts.values()))
    first.rejected = len(decoded.rejected) + len(outcome.rejected)
    first.duplicates = outcome.duplicates
    for one in decoded.rejected:
        first.reasons[one.code] += 1
    if decoded.cut:
        first.reasons["attributes_cut"] += decoded.cut
    if outcome.refused_costs:
        first.reasons["costs_put_off"] += outcome.refused_costs
    if refused:
        first.remark = f"Named {len(refused)} agents beyond AGENT_LIMIT, such as {min(refused)}."[:500]
    return counts
