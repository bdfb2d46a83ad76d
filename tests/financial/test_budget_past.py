"""The past of budgets' numbers: what had been spent at each instant, against the limit that held then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.metrics import find_metric
from agent_factory_site.common.models import MetricSample
from agent_factory_site.common.services.metric_samples import sample_metrics, watch
from financial.domain.cost_input import UsageInput
from financial.models import Budget
from financial.selectors.budgets import budget_status
from financial.services.budget_overrides import approve_override, request_override
from financial.services.budgets import archive_budget, change_budget
from financial.services.exchange_rates import add_exchange_rate
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import place_hold

from .test_budget_creation import NOON, budget, noon, spend
from .test_holds import request

pytestmark = pytest.mark.django_db
__all__ = ["noon"]
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def labels_of(row: Budget, key: str = "2026-11", entity: str = "bot", kind: str = "agent") -> dict[str, str]:
    return {
        "budget": str(row.pk), "name": row.name, "entity_type": kind, "entity_id": entity, "period": key,
        "currency": row.currency,
    }  # fmt: skip


def past(
    name: str, labels: dict[str, str], start: datetime, points: int, step: timedelta = DAY
) -> Sequence[Any]:
    metric = find_metric(f"agent_factory_budget_{name}")
    assert metric is not None
    found = metric.history(labels, start, start + points * step, step)
    assert [point.at for point in found] == [start + number * step for number in range(points)]
    return [point.value for point in found]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_spent_to_date_against_the_limit_that_held_then(noon: Any) -> None:
    noon(at(3))
    row = budget("10")
    spend("1.5", at(2, 9))
    noon(at(6, 12))
    spend("0.5", at(4, 23, 59))
    change_budget(budget_id=row.pk, limit="20")
    noon(NOON)
    spend("3", at(6, 23), source="other")
    spend("9", at(7), entity_id="somebody")
    change_budget(budget_id=row.pk, limit="40")
    labels = labels_of(row)
    spent = [0, 0, Decimal("1.5"), Decimal("1.5"), 2, 2, 5, 5]
    assert past("settled", labels, at(1), 8) == spent
    assert past("limit", labels, at(1), 8) == [None, None, 10, 10, 10, 10, 20, 20]
    assert past("limit", labels, at(18, 11), 3, HOUR) == [20, 40, None]
    assert past("spent_ratio", labels, at(3), 6) == [0.15, 0.15, 0.2, 0.2, 0.25, 0.25]
    # Within a quarter hour the ledger's own rows decide.
    assert past("settled", labels, at(4, 23, 58), 3, timedelta(minutes=1)) == [Decimal("1.5")] * 2 + [2]
    now = {
        name: {
            s.labels["budget"]: s.value for s in find_metric(f"agent_factory_budget_{name}").current().samples
        }
        for name in ("settled", "limit", "spent_ratio")
    }  # type: ignore[union-attr]
    assert [values[str(row.pk)] for values in now.values()] == [5, 40, 0.125]


def test_before_and_after_its_period_a_series_is_unknown(noon: Any) -> None:
    row = budget("10", timezone="America/New_York")
    spend("2", at(18, 1))
    noon(datetime(2026, 12, 1, 12, tzinfo=UTC))
    begin = at(1, 4)
    assert past("settled", labels_of(row), begin - HOUR, 3, HOUR) == [None, 0, 0]
    last = datetime(2026, 12, 1, 4, tzinfo=UTC)
    assert past("settled", labels_of(row), last, 3, HOUR) == [2, None, None]
    assert past("limit", labels_of(row), last, 3, HOUR) == [10, None, None]
    assert past("limit", labels_of(row, "2026-10"), at(18), 1) == [None]
    assert past("settled", {**labels_of(row), "budget": "none"}, at(18), 1) == [None]


def test_an_archived_budget_and_one_past_its_last_day(noon: Any) -> None:
    row = budget("10", ends_on=at(19).date())
    spend("2", at(18, 1))
    noon(at(21))
    spend("4", at(20, 3))
    archive_budget(budget_id=row.pk)
    noon(at(25))
    assert past("settled", labels_of(row), at(18), 5) == [0, 2, 2, None, None]


def test_overrides_raise_the_limit_while_they_are_in_force(noon: Any) -> None:
    people = [get_user_model().objects.create_user(username=name) for name in ("ada", "bob")]
    row = budget("10")
    with acting(Actor.user(people[0].pk)):
        asked = request_override(budget_id=row.pk, amount="5", until=at(20), reason="Sale")
    noon(at(19))
    with acting(Actor.user(people[1].pk)):
        approve_override(override_id=asked.pk)
    noon(at(22))
    assert past("limit", labels_of(row), at(18, 18), 6, 6 * HOUR) == [10, 15, 15, 15, 15, 10]


def test_carried_money_is_part_of_the_limit(noon: Any) -> None:
    row = budget("10", rollover="all")
    spend("4")
    noon(datetime(2026, 12, 5, tzinfo=UTC))
    spend("1", datetime(2026, 12, 2, tzinfo=UTC))
    labels = labels_of(row, "2026-12")
    start = datetime(2026, 12, 1, tzinfo=UTC)
    assert past("limit", labels, start, 2) == [16, 16]
    assert past("settled", labels, start, 3) == [0, 0, 1]


def test_a_window_that_moves_lets_days_go(noon: Any) -> None:
    row = budget("10", period="rolling:2d", timezone="Europe/Berlin")
    noon(at(21, 12))
    spend("1", at(18, 22, 59))
    spend("2", at(18, 23))
    spend("4", at(20, 12))
    labels = labels_of(row, "rolling:2d")
    # Days of Berlin begin at 23:00 UTC: 1 is of the 18th, 2 of the 19th, 4 of the 20th.
    assert past("settled", labels, at(18, 23), 6, 12 * HOUR) == [1, 3, 2, 2, 4, 4]
    assert budget_status(row.pk).period.settled == 4 * 10**9


def test_a_budget_of_each_entity_and_one_of_the_fleet() -> None:
    each = budget("10", entity_id="*")
    fleet = budget("100", entity_type="*", entity_id="*", name="Fleet")
    budget("5", name="Below", parent=fleet.pk)
    spend("1", at(18, 1))
    spend("2", at(18, 2), entity_id="other")
    assert past("settled", labels_of(each), at(18), 4, HOUR) == [0, 0, 1, 1]
    assert past("settled", labels_of(each, entity="other"), at(18), 4, HOUR) == [0, 0, 0, 2]
    assert past("settled", labels_of(fleet, entity="*", kind="*"), at(18), 4, HOUR) == [0, 0, 1, 3]


@pytest.mark.parametrize(("period", "key"), [("month", "2026-11"), ("rolling:30d", "rolling:30d")])
def test_what_is_kept_for_a_call_without_a_price_counts_from_when_it_was_made(
    noon: Any, period: str, key: str
) -> None:
    row = budget("10", period=period)
    spend("1", at(18, 11))
    placed = place_hold(request=request(4, provider="nobody", model="unheard-of"))
    noon(NOON + 2 * HOUR)
    settling = Settling(usage=UsageInput(input_tokens=10, output_tokens=2))
    settle_hold(hold_id=placed.hold.id, owner=None, settling=settling)
    place_hold(request=request(2))
    assert past("settled", labels_of(row, key), NOON - HOUR, 4, HOUR) == [0, 1, 5, 5]
    status = budget_status(row.pk).period
    assert status is not None
    assert (status.settled, status.held) == (5 * 10**9, 2 * 10**9)


def test_filters_of_rollups_are_followed() -> None:
    row = budget("10", filters={"model": ["gpt-4o"], "cost_type": ["llm"]})
    spend("1", at(18, 1))
    spend("2", at(18, 1), model="other")
    assert past("settled", labels_of(row), at(18), 3, HOUR) == [0, 0, 1]


def test_what_rollups_cannot_tell_is_sampled_and_says_why() -> None:
    add_exchange_rate(base="EUR", quote="USD", day=NOON.date(), rate="1.25")
    reasons = {
        "rate of its day": budget("10", currency="EUR"),
        "by tags": budget("10", filters={"tags": {"env": "prod"}}),
        "budgets below": budget("10", entity_type="team", entity_id="care"),
    }
    budget("5", parent=reasons["budgets below"].pk)
    metric = find_metric("agent_factory_budget_settled")
    assert metric is not None
    assert (metric.has_history, metric.always) == (True, False)
    for reason, row in reasons.items():
        kind, entity = ("team", "care") if reason == "budgets below" else ("agent", "bot")
        labels = labels_of(row, entity=entity, kind=kind)
        with pytest.raises(LookupError, match=reason):
            metric.history(labels, at(18), at(19), HOUR)
        assert past("limit", labels, at(18, 12), 2, HOUR) == [10, None]
    told = budget("7", name="Told")
    for row in (*reasons.values(), told):
        watch(metric=metric.name, labels={"budget": str(row.pk)}, by="a test")
    spend("2.5", tags={"env": "prod"})
    assert sample_metrics(now=NOON).series == 3
    assert MetricSample.objects.count() == 3
    assert past("settled", labels_of(reasons["rate of its day"]), NOON, 1) == [2.0]
    assert past("settled", labels_of(told), NOON, 1) == [0]


@pytest.mark.parametrize("name", ["held", "remaining", "utilisation_ratio"])
def test_what_depends_on_holds_says_that_it_is_sampled(name: str) -> None:
    row = budget("10")
    metric = find_metric(f"agent_factory_budget_{name}")
    assert metric is not None
    assert not metric.has_history
    with pytest.raises(LookupError, match="sampled each minute only while something watches it"):
        metric.history(labels_of(row), at(18), at(19), HOUR)


def test_queries_do_not_grow_with_the_costs_behind_a_point() -> None:
    row = budget("1000")
    counts = []
    for _ in range(2):
        for number in range(12):
            spend("1", at(17, number))
        with CaptureQueriesContext(
            connection,
        ) as captured:
            past("settled", labels_of(row), at(17), 5, 6 * HOUR)
        counts.append(len(captured))
    assert counts[0] == counts[1]
