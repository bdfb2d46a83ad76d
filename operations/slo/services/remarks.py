"""What people do to an error budget and write on its timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.errors import FieldError
from operations.slo.domain.sample_input import MAX_COUNT, label_errors
from operations.slo.models import BudgetAdjustment, Slo, SloAnnotation
from operations.slo.selectors.slos import find_slo

from .definition_parts import refuse, refuse_archived

MAX_MINUTES = Decimal(60 * 24 * 366)


def adjust_budget(
    *,
    slo: UUID | str,
    reason: str,
    events: int | None = None,
    minutes: Decimal | None = None,
    at: datetime | None = None,
    labels: Mapping[str, str] | None = None,
) -> BudgetAdjustment:
    """Give budget back (above 0) or take it away (below 0), for a reason that stays.

    In ``events`` where the SLO budgets by occurrences, in ``minutes`` where by time slices. It counts in windows
    that hold ``at`` (now), for all events or the group that bears exactly these ``labels``.
    """
    row = find_slo(slo)
    refuse_archived(row, "SLO")
    moment = at or timezone.now()
    errors = label_errors(labels or {})
    wanted, other = ("events", "minutes")
    if row.budgeting == Slo.Budgeting.TIMESLICES:
        wanted, other = other, wanted
    given: dict[str, int | Decimal | None] = {"events": events, "minutes": minutes}
    amount = given[wanted]
    most: int | Decimal = MAX_COUNT if wanted == "events" else MAX_MINUTES
    if given[other] is not None:
        errors.append(FieldError(f"/{other}", "unexpected", f"This SLO budgets in {wanted}."))
    if amount is None:
        errors.append(FieldError(f"/{wanted}", "required", "Is needed."))
    elif not amount or not -most <= amount <= most:
        errors.append(FieldError(f"/{wanted}", "out_of_range", f"Is not 0, and at most {most}."))
    if not reason.strip():
        errors.append(FieldError("/reason", "required", "Is needed."))
    if moment > timezone.now():
        errors.append(FieldError("/at", "in_the_future", "Lies in the future."))
    if labels and set(labels) != set(row.group_by):
        detail = "Are those that the SLO groups by, or none."
        errors.append(FieldError("/labels", "unknown_group", detail))
    refuse(errors)
    actor = current_actor()
    with transaction.atomic():
        found: BudgetAdjustment = BudgetAdjustment.objects.create(
            slo=row,
            labels=dict(labels or {}),
            at=moment,
            events=events,
            minutes=minutes,
            reason=reason.strip(),
            actor_kind=actor.kind,
            actor_id=actor.id,
        )
    return found


def annotate(
    *, slo: UUID | str, text: str, at: datetime | None = None, until: datetime | None = None
) -> SloAnnotation:
    """Write a remark on the timeline of an SLO, at a time (now) or until another."""
    row = find_slo(slo)
    moment = at or timezone.now()
    errors = []
    if not text.strip():
        errors.append(FieldError("/text", "required", "Is needed."))
    if until is not None and until <= moment:
        errors.append(FieldError("/until", "out_of_range", "Comes after at."))
    refuse(errors)
    actor = current_actor()
    with transaction.atomic():
        found: SloAnnotation = SloAnnotation.objects.create(
            slo=row, at=moment, until=until, text=text.strip(), actor_kind=actor.kind, actor_id=actor.id
        )
    return found
