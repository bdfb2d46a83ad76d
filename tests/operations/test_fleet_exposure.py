"""When the units of runs that begin over the API are exposed, with clocks that go wrong and runs told of later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from research.models import Assignment
from tests.research.results_world import START, make_experiment

from .fleet_world import Api, results

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api() -> Api:
    return Api("ingest", "operations:read")


def told(api: Api, unit: str, began: datetime, took: float = 3) -> str:
    """A run that both began and ended when its client says."""
    made = api.post("/runs", {"agent": "bot", "unit": unit, "started_at": began.isoformat()})
    assert made.status_code == 201, made.content
    run_id = str(made.json()["run_id"])
    ended = (began + timedelta(seconds=took)).isoformat()
    assert api.post(f"/runs/{run_id}/finish", {"status": "ok", "ended_at": ended}).status_code == 200
    return run_id


def test_a_run_told_of_hours_later_counts(api: Api) -> None:
    make_experiment()
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    run_id = told(api, "ann", began)
    assert Assignment.objects.get().first_exposed_at == began
    assert (results()[f"run:{run_id}:success"], results()[f"run:{run_id}:latency"]) == (1, 3)


def test_nothing_is_exposed_before_its_phase(api: Api) -> None:
    make_experiment()
    told(api, "ann", START - timedelta(days=1))
    assert Assignment.objects.get().first_exposed_at == START
    assert results() == {}


def test_a_clock_that_is_ahead_exposes_nobody_in_the_future(api: Api) -> None:
    make_experiment()
    before = timezone.now()
    run_id = told(api, "ann", before.replace(microsecond=0) + timedelta(minutes=4), took=0.5)
    assert before <= Assignment.objects.get().first_exposed_at <= timezone.now()
    assert results()[f"run:{run_id}:success"] == 1


def test_a_unit_that_is_known_stays_exposed_when_it_was(api: Api) -> None:
    make_experiment()
    now = datetime.now(UTC).replace(microsecond=0)
    told(api, "ann", now - timedelta(hours=1))
    earlier = told(api, "ann", now - timedelta(hours=2))
    assert Assignment.objects.get().first_exposed_at == now - timedelta(hours=1)
    # What was before the first exposure cannot have come of it.
    assert f"run:{earlier}:success" not in results()
