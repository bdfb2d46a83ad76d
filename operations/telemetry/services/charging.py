"""Charges of calls on their way into the ledger: at once, when their place is settled, or moved.

A call whose agent's span has not come may turn out to be another's. Its cost waits for that span, for
``OTLP_SETTLE_SECONDS`` at the longest: then it is recorded where it seems to belong, and a later move is
a correction and a new charge. A cost that the ledger cannot take now waits as well.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.db.bulk import Insert, write_all
from financial.domain.cost_input import CostInput
from financial.models import CostEvent, Hold
from financial.services.entries import Entry, work_out_entries
from financial.services.record_costs import record_costs
from operations.fleet.domain.comparing import Compared, together
from operations.fleet.models import Step, run_key, span_step_key
from operations.fleet.services.agents import KnownAgent
from operations.fleet.services.call_costs import settle_with_cost
from operations.fleet.services.run_costs import Reported, add_reported, claim_charging
from operations.fleet.services.run_rows import as_uuid
from operations.telemetry.domain.costs import SOURCE, to_cost
from operations.telemetry.domain.runs import Charge
from operations.telemetry.models import PendingCharge

from .traces import known_traces

log = logging.getLogger(__name__)

PATH: Final = "spans"
RETRY: Final = timedelta(minutes=10)
"""When a cost that the ledger refused is tried again."""

ATTEMPTS: Final = 500
"""How often: for some three days. Then it stays and is not tried any more."""

_CHUNK: Final = 1000
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(CostInput)


class Due(NamedTuple):
    """A cost that is to be recorded: the key of its step, its trace, the hold that it settles, if any."""

    step: UUID
    trace_id: bytes
    cost: CostInput
    hold_id: str


def due_of(charge: Charge, agents: Mapping[str, KnownAgent], now: datetime) -> Due:
    """A charge as the ledger takes it, booked on the agent that its name leads to."""
    reading = charge.reading
    cost = to_cost(charge, received=now, earliest=settings.COST_EARLIEST)
    agent = agents.get(charge.agent) if charge.agent else None
    if agent is not None and agent.entity_key != cost.entity_id:
        cost = msgspec.structs.replace(cost, entity_id=agent.entity_key)
    step = span_step_key(reading.trace_id, reading.span_id)
    return Due(step, reading.trace_id, cost, charge.hold_id)


def split_by_path(due: Sequence[Due], decided: Collection[str] = ()) -> tuple[list[Due], list[Due]]:
    """Those that spans charge, and those that are only compared because the API charges their run.

    ``decided`` are runs, locked by the caller, of which it is known that spans charge them.
    """
    run_ids = {one.cost.run_id for one in due if one.cost.run_id}
    charging = {run_id for run_id in run_ids if run_id in decided}
    if len(charging) < len(run_ids):
        charging |= claim_charging(run_ids=run_ids - charging, path=PATH)
    ours = [one for one in due if not one.cost.run_id or one.cost.run_id in charging]
    if len(ours) == len(due):
        return ours, []
    return ours, [one for one in due if one.cost.run_id and one.cost.run_id not in charging]


def worths(due: Sequence[Due]) -> dict[UUID, int]:
    """What calls would cost, in nano-units of the base currency by step; those without a price are left out."""
    entries = work_out_entries([one.cost for one in due])
    return {
        one.step: entry.base_amount
        for one, entry in zip(due, entries, strict=True)
        if isinstance(entry, Entry) and not entry.unpriced
    }


def record_due(due: Sequence[Due], now: datetime) -> tuple[list[Due], int]:
    """Record costs, in the caller's transaction.

    Answers those whose hold was settled with something else, which are not charged, and how many the
    ledger refused, which wait to be tried again.
    """
    elsewhere: list[Due] = []
    refused: list[Due] = []
    plain: list[Due] = []
    for one in due:
        hold = as_uuid(one.hold_id)
        if hold is None or _settled_by_a_call(hold):
            plain.append(one)
        elif settle_with_cost(hold_id=hold, owner=None, cost=one.cost) == "elsewhere":
            elsewhere.append(one)
    if plain:
        outcome = record_costs(costs=[one.cost for one in plain], savepoint=False)
        for index, errors in outcome.rejected.items():
            if errors[0].code == "event_conflict":
                # Told again with other words after its trace was forgotten: the first word stands.
                continue
            log.warning("the ledger refused %s: %s", plain[index].cost.event_id, errors[0].detail)
            refused.append(plain[index])
    if refused:
        put_off(refused, now + RETRY)
    return elsewhere, len(refused)


def _settled_by_a_call(hold: UUID) -> bool:
    """Whether another call under the same hold settled it: this one is charged by itself."""
    event = Hold.objects.filter(pk=hold, state=Hold.State.SETTLED).values_list("event", flat=True).first()
    return event is not None and CostEvent.objects.filter(pk=event, source=SOURCE).exists()


def put_off(due: Iterable[Due], until: datetime) -> None:
    """Have costs wait, each once."""
    rows = [
        (one.step, UUID(bytes=one.trace_id), _encoder.encode(one.cost), one.hold_id[:255], 0, until)
        for one in due
    ]
    columns = ("id", "trace_id", "said", "hold", "attempts", "due_at")
    write_all(
        connection, [Insert(PendingCharge._meta.db_table, columns, sorted(rows, key=lambda row: row[0]))]
    )


def take_waiting(steps: Collection[UUID]) -> dict[UUID, Due]:
    """The costs that wait of these steps, which wait no more. Their traces are locked by the caller."""
    found: dict[UUID, Due] = {}
    wanted = sorted(set(steps))
    for start in range(0, len(wanted), _CHUNK):
        rows = PendingCharge.objects.filter(pk__in=wanted[start : start + _CHUNK])
        for row in rows:
            found[row.id] = Due(row.id, row.trace_id.bytes, _decoder.decode(bytes(row.said)), row.hold)
        if found:
            rows.delete()
    return found


def settle_at() -> datetime:
    """When a cost that begins to wait now is recorded at the latest."""
    return timezone.now() + settings.OTLP_SETTLE_AFTER


def record_overdue() -> int:
    """Record the costs that waited long enough; how many. Safe to run beside ingest and itself."""
    recorded = 0
    while traces := _overdue(timezone.now()):
        with transaction.atomic():
            # In the order of ingest: traces first.
            known_traces(traces)
            now = timezone.now()
            rows = PendingCharge.objects.filter(trace_id__in=traces, due_at__lte=now).order_by("pk")
            locked = list(rows.select_for_update())
            due = [
                Due(one.id, one.trace_id.bytes, _decoder.decode(bytes(one.said)), one.hold) for one in locked
            ]
            attempts = {one.id: one.attempts for one in locked}
            PendingCharge.objects.filter(pk__in=[one.id for one in locked]).delete()
            record_settled(due, now)
            for again in PendingCharge.objects.filter(pk__in=list(attempts)):
                again.attempts = attempts[again.id] + 1
                if again.attempts >= ATTEMPTS:
                    again.due_at = now + timedelta(days=3650)
                again.save(update_fields=["attempts", "due_at"])
            recorded += len(locked)
    return recorded


def record_settled(due: Sequence[Due], now: datetime) -> None:
    """Record costs that waited, and tell their steps whether they were charged."""
    if not due:
        return
    ours, compared = split_by_path(due)
    elsewhere, _ = record_due(ours, now)
    if compared or elsewhere:
        compare_steps([*compared, *elsewhere])


def compare_steps(compared: Sequence[Due]) -> None:
    """Have steps that were thought to be charged tell what they would have cost, and add that to their runs."""
    costs = worths(compared)
    reported: dict[UUID, Reported] = {}
    for one in compared:
        worth = costs.get(one.step)
        Step.objects.filter(pk=one.step).update(charged=False, cost_key=None, other_cost=worth)
        if worth is not None and one.cost.run_id:
            key = run_key(one.cost.run_id)
            have = reported.get(key, Reported())
            reported[key] = have._replace(compared=together(have.compared, Compared(spans=worth)))
    add_reported(reported)


def _overdue(now: datetime) -> list[UUID]:
    rows = PendingCharge.objects.filter(due_at__lte=now).order_by("due_at").values_list("trace_id", flat=True)
    return sorted(set(rows[:_CHUNK]))
