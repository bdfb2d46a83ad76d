"""Runs over the API: begun and finished."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.db.bulk import Write, write_all
from agent_factory_site.common.db.prepared import Asked, ask_all
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid, Locked
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.services.entities import resolve_entities
from financial.services.rollups import RollupOutOfRange, naming_sums
from operations.fleet.domain.comparing import Compared
from operations.fleet.domain.run_input import FinishInput, RunInput, check_finish, check_run
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.models import Agent, Run, run_key
from operations.fleet.selectors.runs import get_run_row
from research.domain.assignment import Reason
from research.domain.values import unit_error
from research.selectors.definitions import Definitions, definitions
from research.services.assign import Assigned, assign_unit

from .agents import KnownAgent, agent_for_run, touch_agents
from .call_costs import (
    charge,
    cost_of,
    digest,
    give_back,
    is_settled,
    nano,
    settle_with_cost,
    worth_of,
)
from .charge_names import cost_event
from .one_run import begin_recording, books_asked, books_of, model_of, names_of, told_row
from .open_runs import Control, OpenRun, api_part, control_of, open_run, time_errors
from .record_runs import RecordedRuns, finish_recording, record_runs
from .run_costs import Reported
from .run_results import ended_run, send_run, served_asked, settle_runs
from .run_rows import RunRow, locked_run, micros, moment, run_update
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
    """A run that ended, with its agent and user loaded; ``replayed`` when the same request had ended it."""

    run: Run
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
        key = run_key(run_id)
        agent, maybe_known = agent_for_run(name=run.agent, run=key, seen_by=seen_by)
        if maybe_known and (before := _begun(run, run_id, key, begun, agent)) is not None:
            return before
        if agent.state != Agent.State.ACTIVE:
            why = f": {agent.state_reason}" if agent.state_reason else "."
            raise Locked(
                f"agent_{agent.state}",
                f"The agent is {agent.state}{why}",
                extensions={"control": {"state": agent.state, "reason": agent.state_reason}},
            )
        said = _said(run, run_id, begun, now)
        # Before its units are looked for: who is new is known from here on.
        resolve_entities(names_of(said))
        known = definitions()
        later: list[Write] = []
        variants = _served(run, said, agent, known, later)
        said = msgspec.structs.replace(
            said,
            experiments=tuple(
                (one.definition.key, one.decision.assigned.key)
                for one in variants
                if one.decision.in_experiment and one.decision.assigned is not None
            ),
        )
        touch_agents([agent])
        if maybe_known or not begin_recording(said=said, agent=agent, known=known, first=later):
            # Spans told of it before, or somebody was quicker.
            write_all(connection, later)
            if not maybe_known and (before := _begun(run, run_id, key, begun, agent)) is not None:
                return before
            recorded = record_runs(said=[said], agents={run.agent: agent})
            # A run that is over may be another unit's now, or of an experiment.
            settle_runs(run_ids=(), ended=recorded.ended, relinked=recorded.relinked)
            finish_recording(recorded)
    return StartedRun(run_id, agent, variants, control_of(agent))


def _begun(run: RunInput, run_id: str, key: UUID, begun: str, agent: KnownAgent) -> StartedRun | None:
    """The answer to a run that was begun in the same words; raises :class:`Conflict` for other words."""
    known = api_part(key) if locked_run(key) is not None else None
    if known is None:
        return None
    if known.begun != begun:
        raise Conflict("run_exists", "Another run has this id.", extensions={"run_id": run_id})
    return StartedRun(
        run_id, agent, _served(run, known, agent, definitions()), control_of(agent), replayed=True
    )


def _said(run: RunInput, run_id: str, begun: str, now: datetime) -> RunSaid:
    unit = run.unit
    at = micros(run.started_at or now)
    return RunSaid(
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


def _served(
    run: RunInput,
    said: RunSaid,
    agent: KnownAgent,
    known: Definitions,
    later: list[Write] | None = None,
) -> list[Assigned]:
    found = []
    for definition in sorted(known.by_id.values(), key=lambda one: one.key):
        unit = unit_of(said, definition.unit, agent.key) if definition.status == "running" else ""
        if unit and unit_error(unit) is None:
            attributes = {**run.attributes, "agent": agent.key}
            one = assign_unit(
                experiment=definition.id, unit=unit, attributes=attributes, at=run.started_at, later=later
            )
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
    with naming_sums():
        return retry_conflicts(lambda: _finish(run_id, finish, digest(finish), owner))


def _finish(run_id: str, finish: FinishInput, finished: str, owner: str | None) -> FinishedRun:
    now = timezone.now()
    with transaction.atomic():
        run = open_run(run_id)
        part, agent = run.part, run.agent
        if part.finished:
            if part.finished != finished:
                raise Conflict("run_finished", "This run was finished otherwise.")
            return FinishedRun(get_run_row(run_id), control_of(agent), replayed=True)
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
            hold_id=finish.hold_id or part.hold_id,
            finished=finished,
        )
        row, writes = told_row(run, said)
        if finish.usage is not None and not row.costs_from:
            row = row._replace(costs_from="api")
        if run.row.hold != row.hold:
            # The run ends on another hold than it began with, which nothing will settle.
            give_back(hold_id=run.row.hold, owner=owner)
        related = run.related(row)
        asked = books_asked(run)
        width = len(asked)
        if run.served and not related:
            asked += served_asked(row.id)
        said_of_cost, answers = _charge(finish, run, row, moment(end), owner, asked)
        books, slot = books_of(run, said_of_cost, row.hold, answers[:width])
        ended = ended_run(row, books, agent.key, related=related)
        later = send_run(key=row.id, run=ended, served=answers[width:])
        outcome = RecordedRuns({row.id: (run.row, row)})
        finish_recording(outcome, [*later, *writes, run_update(row, books, now)], slot)
    return FinishedRun(model_of(run, row, books, now), control_of(agent))


def _charge(
    finish: FinishInput,
    run: OpenRun,
    row: RunRow,
    at: datetime,
    owner: str | None,
    asked: Sequence[Asked],
) -> tuple[Reported, list[list[tuple[Any, ...]]]]:
    """Charge what the whole run used, or else compare it; what that adds to the run, and the answers to ``asked``."""
    hold, other = row.hold, None
    answers: list[list[tuple[Any, ...]]] = []
    charged = False
    if finish.usage is not None:
        cost = cost_of(
            call=finish.usage,
            event_id=cost_event(row.run_id),
            occurred_at=at,
            run_id=row.run_id,
            agent=run.agent,
            entities=dict(run.entities.keys()),
        )
        if row.costs_from == "api" and not run.charged and not is_settled(hold):
            answers = _under("/usage", cost, hold, owner, run.prices, asked)
            charged = True
        else:
            other = worth_of([cost])[0]
    if not charged:
        give_back(hold_id=hold, owner=owner)
    return Reported(0, nano(finish.reported_cost), Compared(whole=other)), answers or ask_all(*asked)


def _under(
    pointer: str,
    cost: Any,
    hold: UUID | None,
    owner: str | None,
    prices: Hashable,
    asked: Sequence[Asked],
) -> list[list[tuple[Any, ...]]]:
    try:
        if hold is None:
            return charge(cost, savepoint=False, prices=prices, asked=asked)
        settle_with_cost(hold_id=hold, owner=owner, cost=cost)
        return []
    except RollupOutOfRange:
        raise
    except Invalid as refusal:
        raise Invalid.fields(
            *(FieldError(f"{pointer}{each.pointer}", each.code, each.detail) for each in refusal.errors)
        ) from refusal
