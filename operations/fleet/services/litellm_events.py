"""Calls that LiteLLM's generic logger tells of: each once by its id, as a step and a cost of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from django.db import transaction

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError
from financial.services.record_costs import record_costs
from operations.fleet.domain.litellm_payload import LiteLLMCall
from operations.fleet.domain.run_input import CallCost
from operations.fleet.domain.run_said import RunSaid, RunStatus, unpack
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import API_PART, RunPart, Step, own_step_key, run_key

from .agents import KnownAgent, register_agents, touch_agents
from .call_costs import cost_of, worth_of
from .charge_names import LITELLM as SOURCE
from .charge_names import charged_as_whole
from .record_runs import finish_recording, record_runs
from .record_steps import record_steps
from .run_costs import claim_charging
from .run_results import settle_runs
from .run_rows import locked_rows, moment


@dataclass(slots=True)
class RecordedEvents:
    """What became of a batch, by position."""

    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)


def record_litellm_events(*, events: Sequence[LiteLLMCall | list[FieldError]]) -> RecordedEvents:
    """Record calls, each once by its id, with the runs that they belong to.

    An item that is a list of errors is passed through as rejected. Calls of one LiteLLM trace are one run, unless
    the caller named the run in the request's metadata (``agent_factory.run_id``).
    """
    return retry_conflicts(lambda: _record(events))


def _record(events: Sequence[LiteLLMCall | list[FieldError]]) -> RecordedEvents:
    outcome = RecordedEvents()
    calls: dict[int, LiteLLMCall] = {}
    for index, event in enumerate(events):
        if isinstance(event, list):
            outcome.rejected[index] = event
        else:
            calls[index] = event
    if not calls:
        return outcome
    with transaction.atomic():
        agents = register_agents(names={one.agent for one in calls.values()}, seen_by=SOURCE).agents
        keys = {run_key(one.run_id) for one in calls.values()}
        locked_rows(keys)
        fresh = _fresh(calls, outcome)
        runs = record_runs(said=_runs(list(fresh.values())), agents=agents)
        charged = _charge(fresh, agents, outcome)
        record_steps(
            steps=[
                _step(one, charged.get(index))
                for index, one in fresh.items()
                if index not in outcome.rejected
            ],
            agents={one.run_id: agents[one.agent] for one in fresh.values()},
        )
        settle_runs(run_ids={one.run_id for one in fresh.values()}, ended=runs.ended, relinked=runs.relinked)
        touch_agents(list(agents.values()))
        finish_recording(runs)
    outcome.accepted = sorted(index for index in fresh if index not in outcome.rejected)
    outcome.duplicates.sort()
    return outcome


def _fresh(calls: Mapping[int, LiteLLMCall], outcome: RecordedEvents) -> dict[int, LiteLLMCall]:
    keys = {index: own_step_key(one.run_id, one.id) for index, one in calls.items()}
    known = set(Step.objects.filter(pk__in=list(keys.values())).values_list("pk", flat=True))
    fresh = {}
    for index, one in calls.items():
        if keys[index] in known:
            outcome.duplicates.append(index)
        else:
            known.add(keys[index])
            fresh[index] = one
    return fresh


def _part_id(run_id: str) -> bytes:
    """What stands for a trace id: this source's part of a run."""
    return hashlib.sha256(f"{SOURCE}:{run_id}".encode()).digest()[:16]


def _runs(calls: Sequence[LiteLLMCall]) -> list[RunSaid]:
    """What the events say of their runs, together with what they said before.

    Of a run that only they know the last call says how it went: one that failed was tried again.
    """
    by_run: dict[str, list[LiteLLMCall]] = {}
    for one in calls:
        by_run.setdefault(one.run_id, []).append(one)
    known: dict[tuple[object, bytes], RunSaid] = {}
    told: set[object] = set()
    rows = RunPart.objects.filter(run__in=[run_key(run_id) for run_id in by_run])
    for run, trace, packed in rows.values_list("run_id", "trace_id", "said"):
        known[run, trace.bytes] = unpack(bytes(packed))
        if trace == API_PART:
            told.add(run)
    made = []
    for run_id, some in by_run.items():
        key, part = run_key(run_id), _part_id(run_id)
        before = known.get((key, part))
        last = max(some, key=lambda one: (one.end, one.id))
        grouped = last.grouped and key not in told
        status: RunStatus = "failed" if last.failed else "ok"
        if before is not None and before.last > last.end:
            status = before.status
        made.append(
            RunSaid(
                run_id=run_id,
                agent=before.agent if before else some[0].agent,
                agent_named=grouped,
                status=status if grouped else "running",
                start=min([one.start for one in some] + ([before.start] if before else [])),
                last=max([one.end for one in some] + ([before.last] if before else [])),
                trace_id=part,
                end=max([one.end for one in some] + ([before.last] if before else [])) if grouped else None,
                seen=grouped,
                shared=True,
                source="events",
                error_type=last.error_type if status == "failed" else "",
                first_token=_first_token(some, before),
                user=next((one.user for one in some if one.user), before.user if before else ""),
                session=next((one.session for one in some if one.session), before.session if before else ""),
                calls=len(some) + (before.calls if before else 0),
                failed_calls=sum(one.failed for one in some) + (before.failed_calls if before else 0),
                calls_without_usage=sum(not one.failed and one.usage is None for one in some)
                + (before.calls_without_usage if before else 0),
            )
        )
    return made


def _first_token(some: Sequence[LiteLLMCall], before: RunSaid | None) -> int | None:
    """From the start of the run to the first token of its first call that streamed, in microseconds."""
    start = min([one.start for one in some] + ([before.start] if before else []))
    at = [one.start + one.first_token for one in some if one.first_token is not None]
    if before is not None and before.first_token is not None:
        at.append(before.start + before.first_token)
    return min(at) - start if at else None


class _Charged(msgspec.Struct, frozen=True):
    charged: bool
    other_cost: int | None = None


def _charge(
    fresh: Mapping[int, LiteLLMCall], agents: Mapping[str, KnownAgent], outcome: RecordedEvents
) -> dict[int, _Charged]:
    costs = {
        index: cost_of(
            call=CallCost(provider=one.provider or None, model=one.model or None, usage=one.usage),
            event_id=one.id,
            occurred_at=moment(one.end),
            run_id=one.run_id,
            agent=agents[one.agent],
            entities={"user": one.user} if one.user else {},
            source=SOURCE,
        )
        for index, one in fresh.items()
        # An answer from LiteLLM's own cache used nothing.
        if one.usage is not None and not one.cached
    }
    ours = claim_charging(run_ids={fresh[index].run_id for index in costs}, path="api")
    ours -= charged_as_whole(ours)
    mine = [index for index in costs if fresh[index].run_id in ours]
    recorded = record_costs(costs=[costs[index] for index in mine])
    for place, errors in recorded.rejected.items():
        outcome.rejected[mine[place]] = errors
    others = [index for index in costs if fresh[index].run_id not in ours]
    worth = worth_of([costs[index] for index in others])
    found = {index: _Charged(True) for index in mine if index not in outcome.rejected}
    found.update({index: _Charged(False, one) for index, one in zip(others, worth, strict=True)})
    return found


def _step(one: LiteLLMCall, charged: _Charged | None) -> StepSaid:
    mine = charged is not None and charged.charged
    return StepSaid(
        run_id=one.run_id,
        step_id=one.id,
        kind="embedding" if one.kind == "embedding" else "inference",
        start=one.start,
        end=one.end,
        name=one.model,
        failed=one.failed,
        error_type=one.error_type,
        provider=one.provider,
        model=one.model,
        usage=None if one.usage is None else msgspec.structs.asdict(one.usage),
        first_token=one.first_token,
        charged=mine,
        cost_source=SOURCE if mine else "",
        cost_event=one.id if mine else "",
        other_cost=charged.other_cost if charged is not None else None,
        reported_cost=one.reported_cost,
    )
