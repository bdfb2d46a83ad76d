"""Finding runs: by what is asked, and by an index whatever the number of runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from operations.fleet.models import Agent, Run, run_key
from operations.fleet.selectors.runs import list_runs

from .fleet_world import Api, span_run, tell

pytestmark = pytest.mark.django_db

PLENTY = 4000
RARE = 40


@pytest.fixture
def plenty() -> None:
    """Thousands of runs, some of which are what people look for."""
    tell(span_run("first"))
    agent = Agent.objects.get()
    now = timezone.now()
    rows = [
        Run(
            id=run_key(f"r-{number}"),
            run_id=f"r-{number}",
            agent=agent,
            trace_id=UUID(int=number // 2),
            started_at=now - timedelta(seconds=number),
            last_at=now,
            status="ok",
            source="spans",
            costs_from="spans",
            cost=12 * 10**8 if number % (PLENTY // RARE) == 3 else 10**6,
            unpriced=int(number % (PLENTY // RARE) == 1),
            under_reported=number % (PLENTY // RARE) == 2,
            changed_at=now,
        )
        for number in range(PLENTY)
    ]
    Run.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE operations_run")


def filters() -> list[Any]:
    return [
        pytest.param({"trace_id": UUID(int=77)}, "operations_run_trace", 2, id="trace"),
        pytest.param({"unpriced": True}, "operations_run_unpriced", RARE, id="unpriced"),
        pytest.param({"under_reported": True}, "operations_run_reports", RARE, id="under_reported"),
        pytest.param({"min_cost": 10**9 + 1}, "operations_run_cost1", RARE, id="cost"),
        pytest.param(
            {"min_cost": 2 * 10**8, "max_cost": 10**12}, "operations_run_cost0", RARE, id="cost_range"
        ),
    ]


@pytest.mark.parametrize(("asked", "index", "count"), filters())
def test_what_is_looked_for_is_found_by_an_index(
    plenty: None, asked: dict[str, Any], index: str, count: int
) -> None:
    rows = list_runs(**asked).order_by("-started_at", "-id")
    assert rows.count() == count
    assert index in str(rows.select_related(None)[:51].explain())


def test_runs_are_listed_by_trace_price_and_variant() -> None:
    tell(span_run("served", experiments=(("prompt", "v1"),), trace_id=b"\1" * 16))
    tell(span_run("other", experiments=(("prompt", "v2"),), trace_id=b"\2" * 16))
    Run.objects.filter(run_id="served").update(cost=1_500_000_000, unpriced=1)
    Run.objects.filter(run_id="other").update(cost=500_000_000)
    api = Api("operations:read")

    def ids(query: str) -> list[str]:
        response = api.get(f"/runs?{query}")
        assert response.status_code == 200, response.content
        return sorted(one["run_id"] for one in response.json()["results"])

    assert ids("") == ids("experiment=prompt") == ids("min_cost=0.5") == ["other", "served"]
    assert ids("experiment=prompt&variant=v1") == ["served"]
    assert ids(f"trace_id={'01' * 16}") == ids("unpriced=true") == ids("min_cost=0.500000001") == ["served"]
    assert ids("unpriced=false") == ids("max_cost=1.499999999") == ["other"]
    assert ids("min_cost=0.5&max_cost=1.5") == ["other", "served"]
    for query in ("min_cost=much", "max_cost=1e3", "trace_id=xyz", "unpriced=yes"):
        assert api.get(f"/runs?{query}").status_code == 400
    for query, parameter in (
        ("start=2026-11-02T00:00:00Z&end=2026-11-02T00:00:00Z", "end"),
        ("min_cost=2&max_cost=1.999999999", "max_cost"),
        ("variant=v1", "variant"),
    ):
        response = api.get(f"/runs?{query}")
        assert response.status_code == 400
        assert [error["parameter"] for error in response.json()["errors"]] == [parameter]
    assert ids("min_cost=0.5&max_cost=0.5") == ["other"]
