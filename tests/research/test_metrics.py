"""The numbers of experiments: what runs, what was stopped, whose arms hold other shares than they were given."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.metrics import find_metric
from research.services.analyse import analyse_experiment
from research.services.flags import create_flag
from research.services.lifecycle import stop_arm
from tests.research.experiment_setup import ARMS, draft, running
from tests.research.results_world import expose

pytestmark = pytest.mark.django_db


def read(name: str) -> dict[str, object]:
    metric = find_metric(f"agent_factory_{name}")
    assert metric is not None
    with CaptureQueriesContext(connection) as queries:
        reading = metric.current()
    assert (reading.error, reading.dropped) == ("", 0)
    assert len(queries) <= 2
    return {"/".join(sample.labels.values()): sample.value for sample in reading.samples}


def test_experiments_and_flags_by_state() -> None:
    draft("a")
    running("b")
    running("c")
    create_flag(
        body={"key": "f", "type": "boolean", "default_variant": "off", "unit": "user", "enabled": True}
    )
    assert read("experiments") == {"draft": 1, "running": 2, "paused": 0, "stopped": 0, "archived": 0}
    assert read("feature_flags") == {"on": 1, "off": 0}


def test_single_experiments_that_run() -> None:
    draft("planned")
    even = running("even")
    skewed = running("skewed", [*ARMS, ("third", 0.0, {})])
    running("empty")
    for arm in ("control", "treatment"):
        expose(even, [f"{arm}-{number}" for number in range(60)], arm)
    expose(skewed, [f"s-{number}" for number in range(100)], "control")
    expose(skewed, ["other"], "treatment")
    assert read("experiment_sample_ratio_mismatch") == {"even": None, "skewed": None, "empty": None}
    for row in (even, skewed):
        analyse_experiment(experiment=row.pk)
    stop_arm(experiment=skewed.pk, variant="third", reason="too slow")
    assert read("experiment_sample_ratio_mismatch") == {"even": 0, "skewed": 1, "empty": None}
    assert read("experiment_exposed_units") == {"even": 120, "skewed": 101, "empty": 0}
    assert read("experiment_stopped_arms") == {"even": 0, "skewed": 1, "empty": 0}
    analysed = read("experiment_last_analysis_timestamp_seconds")
    assert {key for key, at in analysed.items() if at is not None} == {"even", "skewed"}
