"""Which budgets are in a state: the few that can be are found by the database, and judged one by one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from financial.domain.budget_state import State
from financial.models import Budget, BudgetCrossing, BudgetPeriod
from financial.models.budget import ROLLING

from .budgets import BudgetStatus, budget_statuses

MOST: Final = 2000
"""Budgets that are judged at most, the newest; among more, some may be missed."""
_DAY: Final = timedelta(days=1)


def pressed_budgets(*, now: datetime | None = None, most: int = MOST) -> list[BudgetStatus]:
    """The budgets in warning or exceeded, the latter first, then by how much of them is used."""
    moment = now or timezone.now()
    rows = list(_candidates(moment).select_related("entity", "parent").order_by("-id")[:most])
    statuses = [
        each for each in budget_statuses(rows, now=moment).values() if each.state in ("warning", "exceeded")
    ]
    return sorted(statuses, key=_urgency)


def _urgency(status: BudgetStatus) -> tuple[bool, float, str]:
    used = status.period.utilisation if status.period is not None else None
    return status.state != "exceeded", -(used if used is not None else 1.0), status.budget.name


def in_state(rows: QuerySet[Budget], state: State, *, now: datetime | None = None) -> QuerySet[Budget]:
    """Those of ``rows`` that are in ``state``, archived ones included among the closed."""
    moment = now or timezone.now()
    if state == "closed":
        return rows.filter(Q(archived_at__isnull=False) | Q(pk__in=_ended(moment)))
    pressed = {status.budget.pk: status.state for status in pressed_budgets(now=moment)}
    if state == "ok":
        gone = {*pressed, *_ended(moment)}
        return rows.filter(archived_at=None).exclude(pk__in=gone)
    return rows.filter(pk__in=[pk for pk, found in pressed.items() if found == state])


def _candidates(now: datetime) -> QuerySet[Budget]:
    """The budgets in use that may be in warning or exceeded: too many rather than too few."""
    noted = BudgetCrossing.objects.filter(period=OuterRef("pk"))
    used = F("settled") + F("held")
    current = BudgetPeriod.objects.filter(
        # A window that moves forgets which thresholds were told, and has a row each: all of them are judged.
        Q(alert_at__lte=used)
        | Q(settled__gte=F("limit"))
        | Q(good_until__lte=now)
        | Q(budget__period__startswith=ROLLING)
        | Exists(noted),
        Q(ends_at=None) | Q(ends_at__gt=now) | Q(good_until__lte=now),
        starts_at__lte=now,
    )
    rows: QuerySet[Budget] = Budget.objects.filter(
        Q(pk__in=current.values("budget")) | Q(limit=0, entity__isnull=False), archived_at=None
    )
    return rows


def _ended(now: datetime) -> Collection[UUID]:
    """Budgets past their last day, each by its own zone."""
    near = Budget.objects.filter(archived_at=None, ends_on__lte=(now + _DAY).date())
    statuses = budget_statuses(list(near.select_related("entity", "parent").order_by("-id")[:MOST]), now=now)
    return [pk for pk, status in statuses.items() if status.state == "closed"]
