"""Reads of health checks."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from django.db.models import Q, QuerySet

from agent_factory_site.common.errors import NotFound
from operations.health.models import HealthCheck, HealthCheckResult


def list_health_checks(
    *,
    q: str = "",
    kind: str | None = None,
    state: str | None = None,
    entity_type: str | None = None,
    entity_id: str | None = None,
    archived: bool = False,
) -> QuerySet[HealthCheck]:
    """Checks; ``q`` is looked for in key and name, archived ones are left out unless asked for."""
    rows: QuerySet[HealthCheck] = HealthCheck.objects.select_related("entity")
    if not archived:
        rows = rows.filter(archived_at=None)
    if q:
        rows = rows.filter(Q(key__icontains=q) | Q(name__icontains=q))
    if kind is not None:
        rows = rows.filter(kind=kind)
    if state is not None:
        rows = rows.filter(state=state)
    if entity_type is not None:
        rows = rows.filter(entity__type=entity_type)
    if entity_id is not None:
        rows = rows.filter(entity__key=entity_id)
    return rows


def get_health_check(name: UUID | str) -> HealthCheck:
    """The check of a key or an id; raises :class:`NotFound`."""
    wanted = Q(key=str(name))
    with suppress(ValueError):
        wanted |= Q(pk=name if isinstance(name, UUID) else UUID(name))
    found: HealthCheck | None = HealthCheck.objects.select_related("entity").filter(wanted).first()
    if found is None:
        raise NotFound("not_found", "There is no such health check.")
    return found


def results_of(check: HealthCheck) -> QuerySet[HealthCheckResult]:
    """What came of a check in the last week, in any order."""
    rows: QuerySet[HealthCheckResult] = HealthCheckResult.objects.filter(health_check=check)
    return rows


def entity_name(check: HealthCheck) -> str:
    """``type/key`` of what is checked, or empty."""
    return f"{check.entity.type}/{check.entity.key}" if check.entity is not None else ""
