"""Indicators and objectives, by key or id, and in lists."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from agent_factory_site.common.errors import NotFound
from operations.slo.models import MaintenanceWindow, Sli, Slo


def get_sli(key: str) -> Sli:
    """An indicator by its key; raises :class:`NotFound`."""
    row: Sli | None = Sli.objects.filter(key=key).first()
    if row is None:
        raise NotFound("not_found", "There is no such SLI.")
    return row


def get_slo(name: UUID | str) -> Slo:
    """An SLO by its key or id, with all that is said of it; raises :class:`NotFound`."""
    return _one(_with_names(Slo.objects.all()), name)


def find_slo(name: UUID | str) -> Slo:
    """An SLO by its key or id with its indicator and team alone, in one query; raises :class:`NotFound`."""
    return _one(Slo.objects.select_related("sli", "team"), name)


def _one(rows: QuerySet[Any], name: UUID | str) -> Slo:
    wanted = Q(pk=name) if isinstance(name, UUID) else Q(key=name)
    if isinstance(name, str):
        with suppress(ValueError):
            wanted |= Q(pk=UUID(name))
    row: Slo | None = rows.filter(wanted).first()
    if row is None:
        raise NotFound("not_found", "There is no such SLO.")
    return row


def get_maintenance_window(window: UUID) -> MaintenanceWindow:
    """A maintenance window; raises :class:`NotFound`."""
    row: MaintenanceWindow | None = (
        MaintenanceWindow.objects.filter(pk=window).prefetch_related("slos").first()
    )
    if row is None:
        raise NotFound("not_found", "There is no such maintenance window.")
    return row


def list_slis(
    *, state: str | None = None, source: str | None = None, kind: str | None = None
) -> QuerySet[Any]:
    """Indicators: ``state`` is active or archived."""
    rows: QuerySet[Any] = Sli.objects.all()
    if state is not None:
        rows = rows.filter(archived_at__isnull=state == "active")
    if source is not None:
        rows = rows.filter(source=source)
    if kind is not None:
        rows = rows.filter(kind=kind)
    return rows


def list_slos(*, state: str | None = None, sli: str | None = None) -> QuerySet[Any]:
    """SLOs: ``state`` is active or archived, ``sli`` the key of an indicator."""
    rows = _with_names(Slo.objects.all())
    if state is not None:
        rows = rows.filter(archived_at__isnull=state == "active")
    if sli is not None:
        rows = rows.filter(sli__key=sli)
    return rows


def list_maintenance_windows(*, state: str | None = None, slo: str | None = None) -> QuerySet[Any]:
    """Maintenance windows: ``state`` is active or archived, ``slo`` the key or id of one they concern."""
    rows: QuerySet[Any] = MaintenanceWindow.objects.prefetch_related("slos")
    if state is not None:
        rows = rows.filter(archived_at__isnull=state == "active")
    if slo is not None:
        rows = rows.filter(Q(all_slos=True) | Q(pk__in=get_slo(slo).maintenance_windows.values("pk")))
    return rows


def counting_slos() -> list[str]:
    """The keys of SLOs that count samples."""
    return list(Slo.objects.filter(archived_at__isnull=True).order_by("key").values_list("key", flat=True))


def _with_names(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.select_related("sli", "team", "owner").prefetch_related("maintenance_windows", "objectives")
