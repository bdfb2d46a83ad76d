"""The numbers of the money side: from rollups, in few queries, the same as in a breakdown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.metrics import find_metric
from financial.models import PriceDifference

from .conftest import COSTS

pytestmark = pytest.mark.django_db
GPT = {"cost_type": "llm", "provider": "openai", "model": "gpt-4o"}
NOTHING = {"cost_type": "llm", "provider": "nobody", "model": "nothing"}
START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def read(name):
    reading = find_metric(f"agent_factory_{name}").current()
    assert (reading.error, reading.dropped) == ("", 0)
    return {tuple(sample.labels.values()): sample.value for sample in reading.samples}


@pytest.fixture
def costs(api, cost):
    event = api.post(COSTS, cost()).json()
    api.post(COSTS, cost(event_id="2", provider="nobody", model="nothing"))
    api.post(
        COSTS,
        cost(event_id="3", usage=..., provider=..., model=..., cost_type="tool", amount="2", currency="USD"),
    )
    api.post(
        COSTS, {"source": "f", "event_id": "1", "corrects": event["id"], "amount": "-0.0001", "reason": "r"}
    )


def test_counts_and_amounts_by_what_they_are_for(costs):
    gpt, nothing, tool = tuple(GPT.values()), tuple(NOTHING.values()), ("tool", "", "")
    assert read("cost_events_total") == {gpt: 1, nothing: 1, tool: 1}
    assert read("cost_amount") == {gpt: Decimal("0.005"), nothing: 0, tool: 2}
    assert read("cost_unpriced_events") == {gpt: 0, nothing: 1, tool: 0}


@pytest.mark.parametrize(
    ("name", "labels", "values"),
    [
        ("cost_events_total", GPT, [0, 0, 1, 1]),
        ("cost_amount", GPT, [0, 0, Decimal("0.005"), Decimal("0.005")]),
        ("cost_unpriced_events", NOTHING, [0, 0, 1, 1]),
    ],
)
def test_the_past_is_all_that_occurred_before(costs, name, labels, values):
    points = find_metric(f"agent_factory_{name}").history(labels, START, START + 4 * DAY, DAY)
    assert [point.at for point in points] == [START + n * DAY for n in range(4)]
    assert [point.value for point in points] == values


def test_reading_costs_few_queries(costs):
    for name in ("cost_events_total", "cost_amount", "cost_unpriced_events", "price_differences"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            read(name)
        assert len(queries) <= 5, name


def test_pending_price_differences(db):
    assert read("price_differences") == {(): 0}
    PriceDifference.objects.create(
        provider="openai", model="gpt-4o", service_tier="standard", valid_from=START, since=START,
        catalogue="1", events=0, newly_priced=0, amount=0, checked_at=START,
    )  # fmt: skip
    assert read("price_differences") == {(): 1}
