"""How many statements a run's beginning and its end take: each wakes up two processes, in every request."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.research.experiment_setup import running

from .fleet_world import Api, booked, run_of

pytestmark = pytest.mark.django_db(transaction=True)

USAGE = {"provider": "openai", "model": "gpt-4o", "usage": {"input_tokens": 12, "output_tokens": 3}}


def _counted(api: Api, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    with CaptureQueriesContext(connection) as captured:
        response = api.post(path, body)
    assert response.status_code in (200, 201), response.content
    # A message of several statements is one.
    counted = [one for one in captured.captured_queries if not one["sql"].startswith(("BEGIN", "COMMIT"))]
    return len(counted), response.json()


def _one_run(api: Api, user: str) -> tuple[int, int, str]:
    started, run = _counted(api, "/runs", {"agent": "bot", "user": user})
    ended, _ = _counted(api, f"/runs/{run['run_id']}/finish", {"status": "ok", "usage": USAGE})
    return started, ended, run["run_id"]


def _expected(postgres: tuple[int, int], sqlite: tuple[int, int]) -> tuple[int, int]:
    return postgres if connection.vendor == "postgresql" else sqlite


def test_a_run_begins_and_ends_in_few_statements():
    api = Api("ingest")
    for _ in range(2):
        _one_run(api, "first")
    # The key, the agent, experiments, the user (asked for, inserted, audited), the run, a slot, all the rest.
    # The key, the run, what hangs on it with the prices, the cost (two, the second with the sum of the run's costs
    # and a slot), all the rest. SQLite has no slots, and no messages of several statements.
    assert _one_run(api, "new")[:2] == _expected((9, 6), (12, 21))
    started, ended, run_id = _one_run(api, "new")
    assert (started, ended) == _expected((6, 6), (9, 21))
    row = run_of(run_id)
    assert (row.cost * 4, row.revision, row.costs) == (booked(), 2, 1)


def test_an_experiment_adds_a_fixed_number_of_statements():
    running(metrics=[{"key": "success", "kind": "proportion", "role": "primary", "direction": "increase"}])
    api = Api("ingest")
    for _ in range(2):
        _one_run(api, "first")
    # The unit's assignment, its row and a slot; the unit under lock, its results.
    assert _one_run(api, "new")[:2] == _expected((12, 8), (17, 31))
