"""The life of an experiment: draft, running, paused, stopped, archived.

Each step is one conditional UPDATE on the state it starts from: of racing callers one finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Forbidden, Invalid
from agent_factory_site.common.outbox import publish
from agent_factory_site.common.selectors.people import acting_person
from research.domain.values import text_error
from research.events import ArmStopped, ExperimentStateChanged
from research.models import Experiment, Metric, Variant
from research.selectors.experiments import find_experiment, get_experiment

from .exclusion import allocate_range
from .experiments import Check, invalid_state, lock_experiment
from .phases import begin_running, end_phase, end_running, open_phase

State = Experiment.State
MAX_DECISION: Final = 100
MAX_REASON: Final = 10_000

After = Callable[[Experiment, datetime], None]


def start_experiment(*, experiment: UUID | str, reason: str = "", check: Check | None = None) -> Experiment:
    """Start a draft: open its first phase and, in an exclusion group, take its range.

    Raises :class:`Conflict` from any other state, without an approval where the settings ask for one, and where
    the group has no room; :class:`Invalid` with what is missing. ``check`` is called with the row and may raise.
    """
    _refuse_text("/reason", reason, MAX_REASON, needed=False)

    def begin(row: Experiment, now: datetime) -> None:
        if settings.EXPERIMENTS_NEED_APPROVAL and row.approved_at is None:
            raise Conflict("approval_required", "Another person has to approve it before it starts.")
        if errors := _missing(row):
            raise Invalid.fields(*errors)
        allocate_range(row)
        open_phase(row, now)
        begin_running(row, now)

    return _move(
        experiment,
        (State.DRAFT,),
        State.RUNNING,
        "be started",
        begin,
        check,
        stamp="started_at",
        reason=reason.strip(),
    )


def _missing(row: Experiment) -> list[FieldError]:
    errors = []
    if row.coverage == 0:
        errors.append(FieldError("/coverage", "required", "Is 0: nobody would take part."))
    if row.variants.filter(weight__gt=0).count() < 2:
        errors.append(FieldError("/variants", "required", "Two or more need a weight above 0."))
    if row.analysis.get("engine") == "group_sequential":
        unplanned = row.metrics.filter(role=Metric.Role.PRIMARY, mde__isnull=True)
        errors += [
            FieldError(
                f"/metrics/{place}/mde", "required", "Looks are planned by the mde of the primary metric."
            )
            for place in unplanned.values_list("position", flat=True)
        ]
    return errors


def pause_experiment(*, experiment: UUID | str, reason: str = "", check: Check | None = None) -> Experiment:
    """Serve nobody until :func:`resume_experiment`; units keep their arms."""
    _refuse_text("/reason", reason, MAX_REASON, needed=False)
    return _move(
        experiment, (State.RUNNING,), State.PAUSED, "be paused", end_running, check, reason=reason.strip()
    )


def resume_experiment(*, experiment: UUID | str, reason: str = "", check: Check | None = None) -> Experiment:
    """Go on where it was paused, in the same phase."""
    _refuse_text("/reason", reason, MAX_REASON, needed=False)
    return _move(
        experiment,
        (State.PAUSED,),
        State.RUNNING,
        "be resumed",
        begin_running,
        check,
        reason=reason.strip(),
    )


def stop_experiment(
    *, experiment: UUID | str, decision: str, reason: str, check: Check | None = None
) -> Experiment:
    """End it for good with what was decided and why; its range of an exclusion group becomes free."""
    _refuse_text("/decision", decision, MAX_DECISION)
    _refuse_text("/reason", reason, MAX_REASON)

    def end(row: Experiment, now: datetime) -> None:
        end_running(row, now)
        end_phase(row, now)

    return _move(
        experiment,
        (State.RUNNING, State.PAUSED),
        State.STOPPED,
        "be stopped",
        end,
        check,
        stamp="stopped_at",
        decision=decision.strip(),
        reason=reason.strip(),
    )


def archive_experiment(*, experiment: UUID | str, check: Check | None = None) -> Experiment:
    """Put a draft or a stopped experiment away; one that runs or is paused has to be stopped first."""
    return _move(
        experiment,
        (State.DRAFT, State.STOPPED),
        State.ARCHIVED,
        "be archived",
        lambda row, now: None,
        check,
        stamp="archived_at",
    )


def _move(
    name: UUID | str,
    sources: tuple[State, ...],
    target: State,
    verb: str,
    then: After,
    check: Check | None,
    stamp: str = "",
    **values: Any,
) -> Experiment:
    def store() -> UUID:
        pk = find_experiment(name).pk
        with transaction.atomic():
            now = timezone.now()
            if stamp:
                values[stamp] = now
            moved = Experiment.objects.filter(pk=pk, state__in=sources).update(
                state=target.value, updated_at=now, **values
            )
            row = lock_experiment(pk)
            if not moved:
                raise invalid_state(row, verb)
            if check is not None:
                check(row)
            then(row, now)
            Experiment.objects.filter(pk=pk).update(version=F("version") + 1)
            publish(ExperimentStateChanged(str(pk), row.key, target.value, row.reason))
        return pk

    return get_experiment(retry_conflicts(store))


def approve_experiment(*, experiment: UUID | str) -> Experiment:
    """Approve a draft that another person wrote; a key acts for its owner, one without an owner is nobody.

    Raises :class:`Forbidden` for nobody and for who wrote it last, :class:`Conflict` from any other state and
    for a draft that is approved.
    """
    person = acting_person()
    if person is None:
        raise Forbidden("no_person", "Only a person may approve, or a key that acts for one.")

    def store() -> UUID:
        with transaction.atomic():
            row = lock_experiment(experiment)
            if row.state != State.DRAFT:
                raise invalid_state(row, "be approved")
            if row.approved_at is not None:
                raise Conflict("approved", "It is approved already.")
            if row.requested_by_id == person:
                raise Forbidden("same_person", "Another person than the one who wrote it has to approve it.")
            row.approved_by_id, row.approved_at = person, timezone.now()
            row.version += 1
            row.save(update_fields=["approved_by", "approved_at", "version", "updated_at"])
            return row.pk

    return get_experiment(retry_conflicts(store))


def stop_arm(*, experiment: UUID | str, variant: str, reason: str) -> Experiment:
    """Let an arm take no new units, and serve the baseline to those it has, which stay analysed in it.

    A repeat changes nothing. Raises :class:`Conflict` for the baseline and where nothing runs,
    :class:`Invalid` for a variant there is not.
    """
    _refuse_text("/reason", reason, MAX_REASON)

    def store() -> UUID:
        with transaction.atomic():
            row = lock_experiment(experiment)
            if row.state not in (State.RUNNING, State.PAUSED):
                raise invalid_state(row, "stop an arm")
            arms = list(row.variants.order_by("position"))
            arm: Variant | None = next((each for each in arms if each.key == variant), None)
            if arm is None:
                raise Invalid.field_error("/variant", "unknown_variant", "There is no such variant.")
            if arm == arms[0]:
                raise Conflict("baseline", "The others are compared with the baseline: stop the experiment.")
            if arm.stopped_at is None:
                arm.stopped_at, arm.stop_reason = timezone.now(), reason.strip()
                arm.save(update_fields=["stopped_at", "stop_reason"])
                Experiment.objects.filter(pk=row.pk).update(version=F("version") + 1)
                publish(ArmStopped(str(row.pk), row.key, arm.key, arm.stop_reason))
            return row.pk

    return get_experiment(retry_conflicts(store))


def _refuse_text(pointer: str, text: object, most: int, *, needed: bool = True) -> None:
    if not needed and text == "":
        return
    if fault := text_error(pointer, text, most):
        raise Invalid.fields(fault)
