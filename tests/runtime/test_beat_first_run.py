"""When a task is due that has never run: our own at once, whatever often beat is started."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from agent_factory_site.common.beat import ScheduledTask

pytestmark = pytest.mark.django_db


def daily(name: str) -> PeriodicTask:
    every_day = IntervalSchedule.objects.create(every=86_400, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(name=name, task="financial.check_prices", interval=every_day)


def test_a_daily_task_that_never_ran_is_due_at_the_first_start() -> None:
    task = daily("check-prices")
    assert ScheduledTask(task).is_due().is_due is True
    # Celery's own rule, which every start puts off by a day.
    task.last_run_at = timezone.now() - timedelta(hours=23)
    entry = ScheduledTask(task)
    assert entry.is_due().is_due is False
    assert 3500 < entry.is_due().next <= 3600
    task.last_run_at = timezone.now() - timedelta(hours=25)
    assert ScheduledTask(task).is_due().is_due is True


def test_a_task_that_somebody_adds_waits_for_its_first_interval() -> None:
    assert ScheduledTask(daily("a task of my own")).is_due().is_due is False
