"""Runs over the API: begun and finished."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid, Locked
from agent_factory_site.common.ids import uuid7
from operations.fleet.domain.run_input import FinishInput, RunInput, check_finish, check_run
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.models import Agent, Step, run_key
from research.domain.assignment import Reason
from research.domain.values import unit_error
from research.selectors.definitions import definitions
from research.services.assign import Assigned, assign_unit

from .agents import KnownAgent, register_agents, touch_agents
from .call_costs import (
    charge,
    cost_event,
    cost_of,
    digest,
    give_back,
    is_settled,
    nano,
    settle_with_cost,
    worth_of,
)
from .open_runs import Control, api_part, control_of, open_run, other_entities, tell, time_errors
from .record_runs import finish_recording, record_runs
from .run_costs import Reported, add_reported, claim_charging
from .run_results import settle_runs
from .run_rows import RunRow, as_uuid, locked_rows, micros, moment
from .run_units import unit_of


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that began, with what its units are served; ``replayed`` when the same request had begun it."""

    run_id: str
    agent: KnownAgent
    variants: list[Assigned]
    control: Control
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that ended; ``replayed`` when the same request had ended it."""

    run_id: str
    control: Control
    replayed: bool = False


def start_run(
    *, run: RunInput, traceparent: tuple[bytes, bytes] | None = None, seen_by: str = "api"
) -> StartedRun:
    """Begin a run, and assign the variants of the running experiments to its units.

    Its id is the given one, else ``<trace id>-<span id>`` of ``traceparent``, else a new one. Begun again with
    the same words it answers as before. Raises :class:`Locked` for an agent that is paused or killed,
    :class:`Conflict` for an id that another run has, :class:`Invalid`.
    """
    now = timezone.now()
    errors = check_run(run) + time_errors({"/started_at": run.started_at}, now)
    if errors:
        raise Invalid.fields(*errors)
    run_id = run.run_id or ("-".join(part.hex() for part in traceparent) if traceparent else str(uuid7()))
    begun = digest(run)
    return retry_conflicts(lambda: _start(run, run_id, begun, now, seen_by))


def _start(run: RunInput, run_id: str, begun: str, now: datetime, seen_by: str) -> StartedRun:
    with transaction.atomic():
        agent = register_agents(names=[run.agent], seen_by=seen_by).agents[run.agent]
        key = run_key(run_id)
        known = api_part(key) if locked_rows([key]) else None
        if known is not None:
            if known.begun != begun:
                raise Conflict("run_exists", "Another run has this id.", extensions={"run_id": run_id})
            return StartedRun(run_id, agent, _served(run, known, agent), control_of(agent), replayed=True)
        if agent.state != Agent.State.ACTIVE:
            why = f": {agent.state_reason}" if agent.state_reason else "."
            raise Locked(
                f"agent_{agent.state}",
                f"The agent is {agent.state}{why}",
                extensions={"control": {"state": agent.state, "reason": agent.state_reason}},
            )
        unit = run.unit
        at = micros(run.started_at or now)
        said = RunSaid(
            run_id=run_id,
            agent=run.agent,
            status="running",
            start=at,
            last=max(at, micros(now)),
            source="api",
            shared=True,
            session=run.session or "",
            user=run.user or "",
            unit=("user", unit) if isinstance(unit, str) else None if unit is None else (unit.type, unit.id),
            hold_id=run.hold_id or "",
            costs_from=run.costs_from or "",
            environment=run.environment,
            release=run.release,
            agent_version=run.agent_version,
            parent_run_id=run.parent_run_id or "",
            begun=begun,
        )
        variants = _served(run, said, agent)
        said = msgspec.structs.replace(
            said,
            experiments=tuple(
                (one.definition.key, one.decision.assigned.key)
                for one in variants
                if one.decision.in_experiment and one.decision.assigned is not None
            ),
        )
        outcome = record_runs(said=[said], agents={run.agent: agent})
        touch_agents([agent])
        finish_recording(outcome)
    return StartedRun(run_id, agent, variants, control_of(agent))


def _served(run: RunInput, said: RunSaid, agent: KnownAgent) -> list[Assigned]:
    found = []
    for definition in sorted(definitions().by_id.values(), key=lambda one: one.key):
        unit = unit_of(said, definition.unit, agent.key) if definition.status == "running" else ""
        if unit and unit_error(unit) is None:
            attributes = {**run.attributes, "agent": agent.key}
            one = assign_unit(experiment=definition.id, unit=unit, attributes=attributes)
            if one.decision.reason != Reason.NOT_RUNNING:
                found.append(one)
    return found


def finish_run(*, run_id: str, finish: FinishInput, owner: str | None = None) -> FinishedRun:
    """End a run, charge what it used where the API charges, and carry what came of it into the other books.

    With the same words again it changes nothing. What a whole run used is charged where no step of it was;
    else it is compared. Raises :class:`Conflict` for a run that was ended otherwise, :class:`NotFound`,
    :class:`Invalid`.
    """
    errors = check_finish(finish) + time_errors({"/ended_at": finish.ended_at}, timezone.now())
    if errors:
        raise Invalid.fields(*errors)
    return retry_conflicts(lambda: _finish(run_id, finish, digest(finish), owner))


def _finish(run_id: str, finish: FinishInput, finished: str, owner: str | None) -> FinishedRun:
    now = timezone.now()
    with transaction.atomic():
        row, part, agent = open_run(run_id)
        if part.finished:
            if part.finished != finished:
                raise Conflict("run_finished", "This run was finished otherwise.")
            return FinishedRun(run_id, control_of(agent), replayed=True)
        end = micros(finish.ended_at or now)
        if end < part.start:
            if finish.ended_at is not None:
                raise Invalid.field_error("/ended_at", "before_start", "Is before the run began.")
            end = part.start
        said = msgspec.structs.replace(
            part,
            status=finish.status,
            seen=True,
            end=end,
            last=max(part.last, end),
            latency=None,
            error_type=finish.error_type,
            error_message=finish.error_message[:200],
            scores=finish.scores,
            hold_id=part.hold_id or finish.hold_id or "",
            finished=finished,
        )
        outcome = record_runs(said=[said], agents={part.agent: agent})
        hold = as_uuid(finish.hold_id or "") or row.hold
        _charge(finish, row, agent, hold, moment(end), owner)
        settle_runs(run_ids=[run_id], ended=[row.id])
        tell(row.id, agent)
        finish_recording(outcome)
    return FinishedRun(run_id, control_of(agent))


def _charge(
    finish: FinishInput,
    row: RunRow,
    agent: KnownAgent,
    hold: UUID | None,
    at: datetime,
    owner: str | None,
) -> None:
    ours = bool(claim_charging(run_ids=[row.run_id], path="api")) if finish.usage is not None else False
    reported, other = nano(finish.reported_cost), None
    charged = False
    if finish.usage is not None:
        cost = cost_of(
            call=finish.usage,
            event_id=cost_event(row.run_id),
            occurred_at=at,
            run_id=row.run_id,
            agent=agent,
            entities=other_entities(row),
        )
        by_steps = Step.objects.filter(run=row.id, charged=True).exists()
        if ours and not by_steps and not is_settled(hold):
            _under("/usage", cost, hold, owner)
            charged = True
        else:
            other = worth_of([cost])[0]
    add_reported({row.id: Reported(0, reported, other)})
    if not charged:
        give_back(hold_id=hold, owner=owner)


def _under(pointer: str, cost: Any, hold: UUID | None, owner: str | None) -> None:
    try:
        if hold is None:
            charge(cost)
        else:
            settle_with_cost(hold_id=hold, owner=owner, cost=cost)
    except Invalid as refusal:
        raise Invalid.fields(
            *(FieldError(f"{pointer}{each.pointer}", each.code, each.detail) for each in refusal.errors)
        ) from refusal
