"""Deciding what comes of an experiment."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.outbox import publish
from research.domain.decision import OUTCOMES, ROLL_BACK, SHIP, decision_words
from research.domain.values import text_error
from research.events import ExperimentStateChanged
from research.models import Experiment, Variant
from research.selectors.analysis import analysed_results
from research.selectors.experiments import find_experiment, get_experiment

from .experiments import invalid_state, lock_experiment
from .lifecycle import MAX_DECISION, MAX_REASON
from .phases import end_phase, end_running

State = Experiment.State
DECIDABLE = (State.RUNNING, State.PAUSED, State.STOPPED)


def decide_experiment(
    *, experiment: UUID | str, outcome: str, reason: str, variant: str | None = None
) -> Experiment:
    """Ship ``variant``, roll back to the baseline, or find it inconclusive; one that runs is stopped with it.

    One that has been stopped is decided, or decided anew: its results stay as they are. The audit event keeps the
    verdict that there was, so that a decision against it can be seen. Raises :class:`Invalid`, and
    :class:`Conflict` for a draft, an archived experiment, and an arm that was stopped.
    """
    if fault := text_error("/reason", reason, MAX_REASON):
        raise Invalid.fields(fault)
    if outcome not in OUTCOMES:
        raise Invalid.field_error("/outcome", "unknown_outcome", f"Is one of {', '.join(OUTCOMES)}.")
    pk = find_experiment(experiment).pk
    verdict = analysed_results(str(pk)).judged["verdict"]["code"]

    def store() -> UUID:
        with transaction.atomic():
            row = lock_experiment(pk)
            if row.state not in DECIDABLE:
                raise invalid_state(row, "be decided")
            arms = list(row.variants.order_by("position"))
            words = decision_words(outcome, _shipped(arms, outcome, variant), arms[0].key)
            if fault := text_error("/variant", words, MAX_DECISION):
                raise Invalid.fields(fault)
            ended = row.state != State.STOPPED
            if ended:
                now = timezone.now()
                end_running(row, now)
                end_phase(row, now)
                row.state, row.stopped_at = State.STOPPED, now
            row.decision, row.reason = words, reason.strip()
            row.save(update_fields=["state", "stopped_at", "decision", "reason", "updated_at"])
            Experiment.objects.filter(pk=pk).update(version=F("version") + 1)
            record_audit(
                action="decide",
                target_type="research.Experiment",
                target_id=str(pk),
                changes={"decision": words, "outcome": outcome, "verdict": verdict},
            )
            if ended:
                publish(ExperimentStateChanged(str(pk), row.key, State.STOPPED.value, row.reason))
        return pk

    return get_experiment(retry_conflicts(store))


def _shipped(arms: list[Variant], outcome: str, variant: str | None) -> str | None:
    if outcome != SHIP:
        if variant:
            raise Invalid.field_error("/variant", "not_shipped", "Goes with ship alone.")
        return None
    if not variant:
        raise Invalid.field_error("/variant", "required", "Says which arm is shipped.")
    arm = next((each for each in arms if each.key == variant), None)
    if arm is None:
        raise Invalid.field_error("/variant", "unknown_variant", "There is no such variant.")
    if arm == arms[0]:
        raise Invalid.field_error("/variant", "baseline", f"It is the baseline: that is {ROLL_BACK}.")
    if arm.stopped_at is not None:
        raise Conflict("arm_stopped", f"The arm {variant} was stopped: it cannot be shipped.")
    return variant
