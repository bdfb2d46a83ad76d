"""Background jobs over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from agent_factory_site.common.models import Job
from tests.common.callers import key_headers

pytestmark = pytest.mark.django_db

URL = "/api/v1/common/jobs"
START = datetime(2026, 11, 2, 10, tzinfo=UTC)


def make_job(**fields: Any) -> Job:
    return Job.objects.create(**({"kind": "import", "actor_kind": "user", "actor_id": "7"} | fields))


def test_a_job_tells_how_far_it_is(client: Client) -> None:
    job = make_job(
        state="succeeded", done=500, total=500, attempts=2, result={"accepted": 500}, progress_note="done",
        started_at=START, finished_at=START + timedelta(seconds=50),
    )  # fmt: skip
    response = client.get(f"{URL}/{job.pk}", headers=key_headers("common:read"))
    assert response.status_code == 200
    assert response.json() == {
        "id": str(job.pk),
        "kind": "import",
        "state": "succeeded",
        "done": 500,
        "total": 500,
        "share": 1.0,
        "rate": 10.0,
        "seconds_left": None,
        "note": "done",
        "result": {"accepted": 500},
        "error": "",
        "attempts": 2,
        "created_at": job.created_at.isoformat().replace("+00:00", "Z"),
        "started_at": "2026-11-02T10:00:00Z",
        "finished_at": "2026-11-02T10:00:50Z",
    }


def test_a_waiting_job_says_unknown_not_zero(client: Client) -> None:
    job = make_job()
    answer = client.get(f"{URL}/{job.pk}", headers=key_headers("common:read")).json()
    assert (answer["state"], answer["share"], answer["rate"], answer["total"]) == ("queued", None, None, None)


def test_jobs_are_listed_newest_first_and_filtered(client: Client) -> None:
    first, second = make_job(), make_job(kind="report", state="failed")
    headers = key_headers("common:read")

    def ids(query: str) -> list[str]:
        return [job["id"] for job in client.get(f"{URL}?{query}", headers=headers).json()["results"]]

    assert ids("") == [str(second.pk), str(first.pk)]
    assert ids("kind=report") == ids("state=failed") == [str(second.pk)]
    assert client.get(f"{URL}?state=odd", headers=headers).status_code == 400


def test_cancelling_stops_a_job_once(client: Client) -> None:
    job = make_job()
    headers = key_headers("common:write")
    response = client.post(f"{URL}/{job.pk}/cancel", headers=headers)
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    again = client.post(f"{URL}/{job.pk}/cancel", headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "job_finished")
    assert client.post(f"{URL}/{uuid4()}/cancel", headers=headers).status_code == 404
    assert client.get(f"{URL}/{uuid4()}", headers=key_headers("common:read")).status_code == 404


def test_a_reader_cannot_cancel(client: Client) -> None:
    job = make_job()
    assert client.post(f"{URL}/{job.pk}/cancel", headers=key_headers("common:read")).status_code == 403
    job.refresh_from_db()
    assert job.state == "queued"
