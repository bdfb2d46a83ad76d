"""Steps that come over the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError, Invalid
from financial.domain.cost_input import CostInput
from financial.services.record_costs import record_costs
from operations.fleet.domain.run_input import StepInput, check_step
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import Step, own_step_key

from .call_costs import cost_of, is_settled, nano, settle_with_cost, worth_of
from .charge_names import RUNS, charged_as_whole, cost_event
from .open_runs import Control, OpenRun, control_of, open_run, tell, time_errors
from .record_runs import finish_recording, record_runs
from .record_steps import record_steps
from .run_costs import claim_charging
from .run_results import settle_runs
from .run_rows import RunRow, as_uuid, micros

CALLS: Final = frozenset({"inference", "embedding"})


@dataclass(slots=True)
class AddedSteps:
    """What became of a batch of steps, by position; ``duplicates`` were there already."""

    control: Control
    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)


def add_steps(
    *, run_id: str, steps: Sequence[StepInput | list[FieldError]], owner: str | None = None
) -> AddedSteps:
    """Add steps to a run, each once by its id, and charge those with a cost where the API charges.

    An item that is a list of errors is passed through as rejected. ``owner`` is whose holds they may settle;
    None: anybody's. Raises :class:`NotFound` for an unknown run.
    """
    return retry_conflicts(lambda: _add(run_id, steps, owner))


def _add(run_id: str, steps: Sequence[StepInput | list[FieldError]], owner: str | None) -> AddedSteps:
    with transaction.atomic():
        run = open_run(run_id)
        row, part, agent = run.row, run.part, run.agent
        outcome = AddedSteps(control_of(agent))
        fresh = _fresh(run_id, steps, outcome)
        said = _charge(fresh, run, owner, outcome)
        record_steps(steps=[one for _, one in said], agents={run_id: agent})
        outcome.accepted += [index for index, _ in said]
        if said:
            recorded = record_runs(
                said=[_counted(part, [one for _, one in said])], agents={part.agent: agent}
            )
            settle_runs(run_ids=[run_id], ended=recorded.ended, relinked=recorded.relinked)
            finish_recording(recorded)
        tell(row.id, agent)
    outcome.accepted.sort()
    outcome.duplicates.sort()
    return outcome


def _fresh(
    run_id: str, steps: Sequence[StepInput | list[FieldError]], outcome: AddedSteps
) -> list[tuple[int, StepInput]]:
    """The steps that are right by themselves and not known; of repeats in the batch the first."""
    now = timezone.now()
    right: list[tuple[int, StepInput]] = []
    for index, step in enumerate(steps):
        if isinstance(step, list):
            outcome.rejected[index] = step
            continue
        times = {"/started_at": step.started_at, "/ended_at": step.ended_at}
        if errors := check_step(step) + time_errors(times, now):
            outcome.rejected[index] = errors
        else:
            right.append((index, step))
    keys = {own_step_key(run_id, step.step_id) for _, step in right}
    known = set(Step.objects.filter(pk__in=keys).values_list("pk", flat=True))
    fresh = []
    for index, step in right:
        key = own_step_key(run_id, step.step_id)
        if key in known:
            outcome.duplicates.append(index)
        else:
            known.add(key)
            fresh.append((index, step))
    return fresh


def _charge(
    fresh: Sequence[tuple[int, StepInput]],
    run: OpenRun,
    owner: str | None,
    outcome: AddedSteps,
) -> list[tuple[int, StepSaid]]:
    """What is to be recorded of the steps, after their costs were: steps whose cost is refused are left out."""
    now = timezone.now()
    row, entities = run.row, dict(run.entities.keys())
    costs: dict[int, CostInput] = {}
    for index, step in fresh:
        if step.cost is not None:
            costs[index] = cost_of(
                call=step.cost,
                event_id=cost_event(row.run_id, step.step_id),
                occurred_at=step.ended_at or step.started_at or now,
                run_id=row.run_id,
                agent=run.agent,
                entities=entities,
                cost_type="llm" if step.kind in CALLS else "tool" if step.kind == "tool" else "other",
            )
    ours = bool(costs) and bool(claim_charging(run_ids=[row.run_id], path="api"))
    ours = ours and not charged_as_whole([row.run_id])
    charged: set[int] = set()
    if ours:
        charged = _record(fresh, costs, owner, outcome)
    compared = [index for index in costs if index not in charged and index not in outcome.rejected]
    worth = dict(zip(compared, worth_of([costs[index] for index in compared]), strict=True))
    said = []
    # Of steps without times those that come first began first.
    for index, step in fresh:
        if index not in outcome.rejected:
            cost = costs.get(index)
            said.append(
                (index, _said(step, row, micros(now) + index, cost, index in charged, worth.get(index)))
            )
    return said


def _record(
    fresh: Sequence[tuple[int, StepInput]],
    costs: dict[int, CostInput],
    owner: str | None,
    outcome: AddedSteps,
) -> set[int]:
    """Charge costs, through their holds where they name one; the positions of those that were charged."""
    charged: set[int] = set()
    held = {index: hold for index, step in fresh if index in costs and (hold := as_uuid(step.hold_id or ""))}
    for index, hold in sorted(held.items(), key=lambda each: each[1]):
        try:
            with transaction.atomic():
                if is_settled(hold):
                    continue
                settle_with_cost(hold_id=hold, owner=owner, cost=costs[index])
            charged.add(index)
        except Invalid as refusal:
            outcome.rejected[index] = [_inside(each) for each in refusal.errors]
    plain = [index for index in costs if index not in held]
    recorded = record_costs(costs=[costs[index] for index in plain])
    for place, index in enumerate(plain):
        if errors := recorded.rejected.get(place):
            outcome.rejected[index] = [_inside(each) for each in errors]
        else:
            charged.add(index)
    return charged


def _inside(error: FieldError) -> FieldError:
    return FieldError(f"/cost{error.pointer}", error.code, error.detail)


def _said(
    step: StepInput, row: RunRow, now: int, cost: CostInput | None, charged: bool, worth: int | None
) -> StepSaid:
    start = micros(step.started_at) if step.started_at else micros(step.ended_at) if step.ended_at else now
    usage = step.cost.usage if step.cost is not None else None
    return StepSaid(
        run_id=row.run_id,
        step_id=step.step_id,
        kind=step.kind,
        start=start,
        end=micros(step.ended_at) if step.ended_at else None,
        parent=step.parent or "",
        name=step.name,
        tool=step.tool or (step.name if step.kind == "tool" else ""),
        failed=step.status == "failed",
        error_type=step.error_type,
        error_message=step.error_message,
        provider=(cost.provider if cost else None) or "",
        model=(cost.model if cost else None) or "",
        usage=None if usage is None else msgspec.structs.asdict(usage),
        charged=charged,
        cost_source=RUNS if charged else "",
        cost_event=cost.event_id if cost is not None and charged else "",
        other_cost=worth,
        reported_cost=nano(step.reported_cost),
        input=step.input,
        output=step.output,
    )


def _counted(part: RunSaid, steps: Sequence[StepSaid]) -> RunSaid:
    """What the API has said of a run, with these steps counted."""
    calls = [one for one in steps if one.kind in CALLS]
    return msgspec.structs.replace(
        part,
        last=max(part.last, *(one.end or one.start for one in steps)),
        calls=part.calls + len(calls),
        failed_calls=part.failed_calls + sum(one.failed for one in calls),
        tool_calls=part.tool_calls + sum(one.kind == "tool" for one in steps),
        calls_without_usage=part.calls_without_usage
        + sum(not one.failed and one.usage is None for one in calls),
    )
