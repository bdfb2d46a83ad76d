"""Making the demo's service levels, and counting on where they stopped."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.utils import timezone

from operations.slo.models import (
    MaintenanceWindow,
    Slo,
    SloAnnotation,
    SloObjective,
    SloSeries,
    bucket_number,
)
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.maintenance import create_maintenance_window
from operations.slo.services.remarks import adjust_budget, annotate
from operations.slo.services.reports import freeze_report
from operations.slo.services.sli_lock import lock_slis
from operations.slo.services.slos import create_slo

from .alert_past import tell_past_alerts
from .service_level_minutes import MINUTES_A_DAY, Counting
from .service_level_plans import LEVELS, WINDOWS, DemoLevel

DAYS: Final = 34


def seed_service_levels(*, seed: int, days: int = DAYS) -> int:
    """Make the service levels that are missing, of at most ``days`` days, and count what has happened since the last
    call; how many were made.
    """
    now = timezone.now()
    known = set(Slo.objects.values_list("key", flat=True))
    made = [level for level in LEVELS if level.body["key"] not in known]
    for level in made:
        # All of one or nothing: after a kill the next call makes it whole.
        with transaction.atomic():
            create_slo(body=level.body)
    _make_windows(now)
    for level in LEVELS:
        slo = Slo.objects.select_related("sli").get(key=level.body["key"])
        if slo.archived_at is None and level.traffic:
            _count(level, slo, now, seed, min(days, DAYS))
            tell_past_alerts(slo, bucket_number(now, "minute"))
        _remark(level, slo)
        if level.traffic and slo.archived_at is None:
            _report(slo, now)
    evaluate_slos()
    return len(made)


def _report(slo: Slo, now: datetime) -> None:
    """Freeze last month, which a demo that began in it has seen in part."""
    last_month = now.replace(day=1) - timedelta(days=1)
    first = (
        SloSeries.objects.filter(objective__slo=slo, labels={}).values_list("first_minute", flat=True).first()
    )
    if first is not None and first < bucket_number(now.replace(day=1, hour=0, minute=0), "minute"):
        freeze_report(slo=slo.pk, period="month", at=last_month)


def _make_windows(now: datetime) -> None:
    known = set(MaintenanceWindow.objects.values_list("name", flat=True))
    begin = now - timedelta(days=DAYS)
    for wanted in WINDOWS:
        if wanted["name"] in known:
            continue
        body = {name: value for name, value in wanted.items() if name != "hour"}
        day = begin if wanted["rrule"] else now - timedelta(days=10)
        at = day.replace(hour=int(str(wanted["hour"])), minute=0, second=0, microsecond=0)
        if wanted["rrule"] == "FREQ=WEEKLY;BYDAY=SU":
            at += timedelta(days=6 - at.weekday())
        create_maintenance_window(body={**body, "starts_at": at.isoformat()})


def _remark(level: DemoLevel, slo: Slo) -> None:
    if SloAnnotation.objects.filter(slo=slo).exists() or slo.archived_at is not None:
        return
    for hours_ago, lasts, words in level.notes:
        at = slo.created_at - timedelta(hours=hours_ago)
        annotate(slo=slo.pk, text=words, at=at, until=at + timedelta(hours=lasts) if lasts else None)
    if level.given_back is not None and not slo.adjustments.exists():
        minutes, reason = level.given_back
        adjust_budget(slo=slo.pk, minutes=Decimal(minutes), reason=reason)


def _count(level: DemoLevel, slo: Slo, now: datetime, seed: int, days: int) -> None:
    with transaction.atomic():
        lock_slis([slo.sli_id])
        objective = SloObjective.objects.select_related("slo").get(slo=slo, ended_at=None)
        whole = SloSeries.objects.filter(objective=objective, labels={}).first()
        last = None if whole is None else whole.last_minute
        first = (bucket_number(slo.created_at, "day") - days) * MINUTES_A_DAY if last is None else last + 1
        end = bucket_number(now, "minute") + 1
        if first >= end:
            return
        Counting(level, slo, objective, seed).add(first, end)
