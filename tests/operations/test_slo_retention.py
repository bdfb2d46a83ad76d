"""What is removed in time, and windows that reach back to where only hours are left."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from agent_factory_site.common.models import Job
from agent_factory_site.common.services.jobs import run_job
from operations.slo.models import SloHour, SloMinute, SloObjective, SloSample
from operations.slo.services import recount
from operations.slo.services.maintenance import archive_maintenance_window, create_maintenance_window
from operations.slo.services.record_samples import record_samples
from operations.slo.services.retention import remove_expired
from operations.slo.services.slis import change_sli
from tests.operations.slo_setup import make_slo, recent_hour, rows_of, sample, valued

pytestmark = pytest.mark.django_db
HOUR = recent_hour(24)


def window(**more: Any) -> dict[str, Any]:
    return {"name": "Move", "starts_at": HOUR.isoformat(), "duration": "40m", "all_slos": True, **more}


def test_minutes_go_after_35_days_hours_after_13_months_and_days_stay() -> None:
    slo = make_slo()
    record_samples(sli="answers", samples=[sample(f"{n}", HOUR + timedelta(minutes=n)) for n in range(60)])
    hours, days = rows_of(slo, "hour"), rows_of(slo, "day")
    now = timezone.now()
    assert remove_expired(now=now + timedelta(days=33)).samples == 0
    removed = remove_expired(now=now + timedelta(days=36))
    assert (removed.samples, removed.minutes, removed.hours) == (60, 60, 0)
    assert (SloSample.objects.count(), SloMinute.objects.count(), rows_of(slo, "hour")) == (0, 0, hours)
    assert remove_expired(now=now + timedelta(days=400)).hours == 1
    assert (rows_of(slo, "hour"), rows_of(slo, "day")) == ({}, days)


def test_where_minutes_are_gone_whole_hours_are_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    slo = make_slo()
    record_samples(sli="answers", samples=[sample(f"{n}", HOUR + timedelta(minutes=n)) for n in range(120)])
    monkeypatch.setattr(recount, "minutes_from", lambda now: HOUR + timedelta(hours=2))
    # 40 minutes of the first hour are more than half of it; 10 of the second are not.
    made = create_maintenance_window(body=window(duration="70m"))
    assert [row[6] for _, row in sorted(rows_of(slo, "hour").items())] == [60, 0]
    assert sum(row[6] for row in rows_of(slo, "day").values()) == 60
    archive_maintenance_window(window=made.pk)
    assert [row[6] for row in rows_of(slo, "hour").values()] == [0, 0]


def test_much_is_counted_anew_by_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    slo = make_slo()
    record_samples(sli="answers", samples=[sample(f"{n}", HOUR + timedelta(minutes=n)) for n in range(60)])
    monkeypatch.setattr(recount, "AT_ONCE", 10)
    create_maintenance_window(body=window())
    assert sum(row[6] for row in rows_of(slo).values()) == 0
    job = Job.objects.get(kind=recount.JOB)
    assert run_job(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"changed": 40})
    assert sum(row[6] for row in rows_of(slo, "day").values()) == 40


def test_an_event_that_comes_again_after_its_sample_expired_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slo = make_slo()
    first = sample("a", HOUR, 1, 2)
    record_samples(sli="answers", samples=[first])
    hours, days = rows_of(slo, "hour"), rows_of(slo, "day")
    later = timezone.now() + timedelta(days=36)
    remove_expired(now=later)
    assert SloSample.objects.count() == 0
    monkeypatch.setattr(timezone, "now", lambda: later)
    outcome = record_samples(sli="answers", samples=[first, sample("a", HOUR, 2, 2, revision=7)])
    assert [error.code for errors in outcome.rejected.values() for error in errors] == ["too_old"] * 2
    assert (outcome.accepted, rows_of(slo, "hour"), rows_of(slo, "day")) == ([], hours, days)


def test_an_objective_that_has_ended_stays_as_it_was_counted() -> None:
    slo = make_slo(kind="threshold", threshold=Decimal(1))
    record_samples(sli="answers", samples=[valued(f"{n}", HOUR + timedelta(minutes=n), n) for n in range(60)])
    ended = SloObjective.objects.get()
    change_sli(sli="answers", changes={"threshold": Decimal(3)})
    create_maintenance_window(body=window())
    assert sum(row[6] for row in rows_of(slo, "day").values()) == 40
    kept = SloHour.objects.filter(series__objective=ended).values_list("good", "total", "excluded_total")
    assert list(kept) == [(2, 60, 0)]
