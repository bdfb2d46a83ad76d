"""What service levels publish, and the check that they are watched."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from agent_factory_site.common.health_checks import all_checks
from agent_factory_site.common.metrics import find_metric
from agent_factory_site.common.models import TaskOutcome
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.record_samples import record_samples
from operations.slo.services.slos import create_slo
from tests.operations.slo_setup import sample

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def now() -> datetime:
    """The moment of the test, up to which there are samples."""
    moment = timezone.now()
    for key in ("busy", "empty"):
        body = {
            "key": key,
            "sli": {"key": key, "kind": "ratio"},
            "target": 0.99,
            "window": {"rolling": "30d"},
        }
        create_slo(body=body)
    samples = [
        sample("old", moment - timedelta(days=3), 90, 100),
        sample("new", moment - 2 * MINUTE, 100, 100),
    ]
    assert record_samples(sli="busy", samples=samples).accepted == [0, 1]
    return moment


def values(name: str) -> dict[tuple[str, ...], object]:
    metric = find_metric(f"agent_factory_{name}")
    assert metric is not None
    reading = metric.current()
    assert reading.error == ""
    return {tuple(one.labels.values()): one.value for one in reading.samples}


def test_levels_budgets_and_rates_are_those_of_the_status() -> None:
    assert values("sli_ratio") == {("busy",): 0.95, ("empty",): None}
    assert {key: float(value) for key, value in values("slo_target_ratio").items()} == {  # type: ignore[arg-type]
        ("busy",): 0.99, ("empty",): 0.99,
    }  # fmt: skip
    assert values("slo_error_budget_remaining_ratio") == {("busy",): -4.0, ("empty",): None}
    rates = values("slo_burn_rate")
    assert (rates["busy", "5m"], rates["busy", "3d"], rates["empty", "5m"]) == (0.0, 0.0, None)
    assert values("sli_events_total") == {("busy",): 200}
    assert values("sli_good_total") == {("busy",): 190}


def test_conditions_are_published_once_evaluated(now: datetime) -> None:
    assert values("slo_burn_condition") == {}
    record_samples(sli="busy", samples=[sample("bad", now - MINUTE, 0, 100)])
    evaluate_slos()
    assert values("slo_burn_condition") == {
        ("busy", "1h_5m", "page"): 1, ("busy", "6h_30m", "page"): 0, ("busy", "3d_6h", "ticket"): 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels", "before", "after"),
    [
        ("sli_ratio", {}, None, 0.9),
        ("slo_error_budget_remaining_ratio", {}, None, -9.0),
        ("slo_burn_rate", {"window": "1d"}, None, 10.0),
        ("sli_events_total", {}, 0, 100),
        ("sli_good_total", {}, 0, 90),
    ],
)
def test_the_past_is_read_from_buckets(
    now: datetime, name: str, labels: dict[str, str], before: float | None, after: float | None
) -> None:
    metric = find_metric(f"agent_factory_{name}")
    assert metric is not None
    start = now - timedelta(days=3, hours=2)
    points = metric.history({"slo": "busy", **labels}, start, start + timedelta(hours=8), timedelta(hours=1))
    assert [point.at for point in points] == [start + timedelta(hours=n) for n in range(8)]
    assert [point.value for point in points[:2]] == [before] * 2
    assert [point.value for point in points[4:]] == [after] * 4


def test_the_health_check_knows_when_burn_conditions_were_evaluated() -> None:
    (check,) = [one for one in all_checks() if one.name == "slo_evaluation"]
    assert check.check().status == "warn"
    for age, status in ((10, "pass"), (100, "warn"), (400, "fail")):
        at = timezone.now() - timedelta(seconds=age)
        TaskOutcome.objects.update_or_create(task="operations.evaluate_slos", defaults={"succeeded_at": at})
        assert check.check().status == status
