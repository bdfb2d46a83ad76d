"""Making, changing and archiving indicators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from operations.slo.domain.definitions import SliInput, parse_sli
from operations.slo.models import Sli
from operations.slo.selectors.sources import forget_sources

from .definition_parts import Check, check_free, key_fixed, refuse_archived, taken
from .objectives import renew_objective
from .sli_lock import lock_sli

FIXED = ("kind", "source")


def create_sli(*, body: Mapping[str, Any]) -> Sli:
    """Make an indicator of the fields of the API.

    Raises :class:`Invalid` with every bad field, :class:`Conflict` where another has the key.
    """
    errors: list[FieldError] = []
    parsed = parse_sli(body, errors)
    if parsed is None:
        raise Invalid.fields(*errors)
    try:
        with transaction.atomic():
            return insert_sli(parsed)
    except IntegrityError:
        # Somebody else was faster by less than the time between looking and writing.
        raise taken(Sli, parsed.key) from None


def insert_sli(parsed: SliInput) -> Sli:
    """Make an indicator in the caller's transaction."""
    check_free(Sli, parsed.key)
    row = Sli(key=parsed.key, kind=parsed.kind, source=parsed.source)
    _fill(row, parsed)
    row.save(force_insert=True)
    forget_sources()
    return row


def change_sli(*, sli: str, changes: Mapping[str, Any], check: Check | None = None) -> Sli:
    """Change what is named of an indicator and nothing else.

    Where what is good changes, every SLO of it begins a new objective, into which the samples still kept are
    counted. Kind and source never change. ``check`` is called with the locked row, and may raise to refuse.
    """

    def store() -> Sli:
        with transaction.atomic():
            row = lock_sli(sli)
            if check is not None:
                check(row)
            refuse_archived(row, "SLI")
            before = sli_body(row)
            errors: list[FieldError] = []
            key_fixed(row, changes, errors)
            # Durations that this service measures are stored in the unit, which their samples do not say.
            for name in FIXED if row.source == Sli.Source.SAMPLES else (*FIXED, "unit"):
                if name in changes and changes[name] != before[name]:
                    errors.append(FieldError(f"/{name}", "fixed", "Never changes: make another SLI."))
            parsed = parse_sli({**before, **changes}, errors)
            if parsed is not None and parsed.threshold is None and row.threshold is not None:
                detail = "Values were judged by it: make another SLI to count without a threshold."
                errors.append(FieldError("/threshold", "fixed", detail))
            sliced = row.slos.filter(archived_at__isnull=True, budgeting="timeslices")
            if parsed is not None and parsed.slice_target is None and sliced.exists():
                detail = "An SLO budgets by time slices of it."
                errors.append(FieldError("/slice_target", "required", detail))
            if errors or parsed is None:
                raise Invalid.fields(*errors)
            _fill(row, parsed)
            if sli_body(row) != before:
                row.version += 1
                row.save()
                forget_sources()
                for slo in row.slos.filter(archived_at__isnull=True).order_by("pk"):
                    slo.sli = row
                    renew_objective(slo)
        return row

    return retry_conflicts(store)


def archive_sli(*, sli: str) -> Sli:
    """Take no more samples of an indicator; a repeat changes nothing.

    Raises :class:`Conflict` while an SLO uses it.
    """

    def store() -> Sli:
        with transaction.atomic():
            row = lock_sli(sli)
            if row.archived_at is None:
                users = list(row.slos.filter(archived_at__isnull=True).values_list("key", flat=True)[:5])
                if users:
                    raise Conflict("in_use", f"Archive the SLOs that use it first: {', '.join(users)}.")
                row.archived_at = timezone.now()
                row.version += 1
                row.save()
                forget_sources()
        return row

    return retry_conflicts(store)


def sli_body(row: Sli) -> dict[str, Any]:
    """An indicator in the fields of the API that can be written."""
    return {
        "key": row.key,
        "name": row.name,
        "description": row.description,
        "kind": row.kind,
        "source": row.source,
        "source_filter": row.source_filter,
        "unit": row.unit,
        "threshold": None if row.threshold is None else row.threshold.normalize(),
        "op": row.op,
        "slice_target": None if row.slice_target is None else row.slice_target.normalize(),
    }


def _fill(row: Sli, parsed: SliInput) -> None:
    row.name = parsed.name
    row.description = parsed.description
    row.source_filter = parsed.source_filter
    row.unit = parsed.unit
    row.threshold = parsed.threshold
    row.op = parsed.op
    row.slice_target = parsed.slice_target
