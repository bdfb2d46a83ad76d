"""How often limits were passed and thresholds reached by each instant: both leave dated rows that never change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import accumulate
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from financial.models import Budget, BudgetCrossing, BudgetOverrun


def overruns_at(budget: str, cause: str, instants: Sequence[datetime]) -> list[int | None]:
    """The overruns of a cause before each instant; None before the budget was made, and in the future."""
    return _counts(budget, BudgetOverrun.objects.filter(cause=cause), instants)


def crossings_at(budget: str, threshold: Decimal, instants: Sequence[datetime]) -> list[int | None]:
    """The crossings of a threshold before each instant; None before the budget was made, and in the future."""
    return _counts(budget, BudgetCrossing.objects.filter(threshold=threshold), instants)


def _counts(
    budget: str, rows: QuerySet[BudgetOverrun] | QuerySet[BudgetCrossing], instants: Sequence[datetime]
) -> list[int | None]:
    try:
        key = UUID(budget)
    except ValueError:
        return [None] * len(instants)
    made = Budget.objects.filter(pk=key).values_list("created_at", flat=True).first()
    if made is None or not instants:
        return [None] * len(instants)
    own = rows.filter(period__budget=key).order_by()
    between = [0] * (len(instants) + 1)
    between[0] = own.filter(at__lt=instants[0]).count()
    for at in own.filter(at__gte=instants[0], at__lt=instants[-1]).values_list("at", flat=True).iterator():
        # Not before the instant that is the same: counted is what was before.
        place = bisect_left(instants, at)
        between[place + (instants[place] == at)] += 1
    now = timezone.now()
    return [
        count if made <= at <= now else None for at, count in zip(instants, accumulate(between), strict=False)
    ]
