"""The past of budgets' counters: overruns and crossings by the instants that they were found at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent_factory_site.common.metrics import find_metric
from financial.services.budgets import change_budget

from .test_budget_creation import NOON, budget, noon, spend

pytestmark = pytest.mark.django_db
__all__ = ["noon"]
HOUR = timedelta(hours=1)


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def past(name: str, labels: dict[str, str], start: datetime, points: int) -> Sequence[Any]:
    metric = find_metric(f"agent_factory_budget_{name}_total")
    assert metric is not None
    assert metric.has_history
    found = metric.history(labels, start, start + points * HOUR, HOUR)
    assert [point.at for point in found] == [start + number * HOUR for number in range(points)]
    return [point.value for point in found]


def test_what_was_found_before_each_instant_counts(noon: Any) -> None:
    noon(at(3, 6))
    row = budget("10", thresholds=[0.5, 1])
    noon(at(3, 8))
    spend("6", at(3, 7))
    noon(at(3, 10))
    change_budget(budget_id=row.pk, limit="4")
    noon(at(3, 12))
    change_budget(budget_id=row.pk, limit="3")
    noon(NOON)
    name = str(row.pk)
    lowered = {"budget": name, "cause": "limit_lowered"}
    # An instant that is that of the overrun itself does not count it yet.
    assert past("overruns", lowered, at(3, 5), 9) == [None, 0, 0, 0, 0, 0, 1, 1, 2]
    assert past("overruns", lowered, at(3, 13), 1) == [2]
    assert past("overruns", {"budget": name, "cause": "late_event"}, at(3, 13), 1) == [0]
    assert past("threshold_crossings", {"budget": name, "threshold": "0.5"}, at(3, 7), 3) == [0, 0, 1]
    assert past("threshold_crossings", {"budget": name, "threshold": "1"}, at(3, 9), 3) == [0, 0, 1]


@pytest.mark.parametrize("name", ["overruns", "threshold_crossings"])
def test_what_the_present_says_the_past_says_until_now(noon: Any, name: str) -> None:
    noon(at(3, 8))
    row = budget("10", thresholds=[0.5, 1])
    spend("6", at(3, 7))
    change_budget(budget_id=row.pk, limit="4")
    noon(NOON)
    metric = find_metric(f"agent_factory_budget_{name}_total")
    assert metric is not None
    samples = [sample for sample in metric.current().samples if sample.labels["budget"] == str(row.pk)]
    assert samples
    for sample in samples:
        assert past(name, dict(sample.labels), NOON, 2) == [sample.value, None], "the future is not known"


@pytest.mark.parametrize("budget_name", ["nobody", "01a20722-4b71-7000-b6f8-bc8e7e1b80e4"])
def test_of_a_budget_that_there_is_not_nothing_is_known(budget_name: str) -> None:
    assert past("overruns", {"budget": budget_name, "cause": "late_event"}, at(3), 2) == [None, None]
    for wrong in ("half", "NaN", "Infinity", "1e9999"):
        threshold = {"budget": budget_name, "threshold": wrong}
        assert past("threshold_crossings", threshold, at(3), 2) == [None, None]
