"""Archiving indicators and objectives for a reason that stays."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.errors import FieldError
from operations.slo.models import Sli, Slo
from operations.slo.selectors.slos import get_sli, get_slo

from .definition_parts import refuse
from .remarks import annotate
from .slis import archive_sli
from .slos import archive_slo


def archive_slo_because(*, slo: UUID | str, reason: str) -> Slo:
    """Archive an SLO, with the reason on its timeline; a repeat changes nothing."""
    _needed(reason)
    with transaction.atomic():
        row = get_slo(slo)
        if row.archived_at is None:
            annotate(slo=row.pk, text=f"Archived: {reason.strip()}")
        return archive_slo(slo=row.pk)


def archive_sli_because(*, sli: str, reason: str) -> Sli:
    """Archive an indicator, with the reason in the audit trail; a repeat changes nothing.

    Raises :class:`Conflict` while an SLO uses it.
    """
    _needed(reason)
    with transaction.atomic():
        before = get_sli(sli)
        row = archive_sli(sli=sli)
        if before.archived_at is None:
            record_audit(
                action="archive",
                target_type=Sli._meta.label,
                target_id=str(row.pk),
                changes={"reason": [None, reason.strip()]},
            )
        return row


def _needed(reason: str) -> None:
    if not reason.strip():
        refuse([FieldError("/reason", "required", "Is needed.")])
