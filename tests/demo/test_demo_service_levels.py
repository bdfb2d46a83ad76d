"""The demo's service levels: one of each kind, counted again only for the time that has passed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from agent_factory_site.common.models import Entity, Team
from agent_factory_site.demo.fleet import AGENTS, TEAMS
from agent_factory_site.demo.service_level_plans import LEVELS, WINDOWS
from agent_factory_site.demo.service_levels import seed_service_levels
from operations.slo.models import MaintenanceWindow, Slo, SloDay, SloHour, SloMinute, SloSeries, bucket_number

pytestmark = [pytest.mark.once, pytest.mark.django_db]

SEED = 7


@pytest.fixture(autouse=True)
def named_fleet() -> None:
    for key, name in TEAMS.items():
        Team.objects.create(key=key, name=name)
        Entity.objects.create(type="team", key=key, name=name)
    for agent in AGENTS:
        Entity.objects.create(type="agent", key=agent.key, name=agent.name)


def test_the_demo_has_one_of_each_and_adds_only_what_has_passed() -> None:
    assert seed_service_levels(seed=SEED) == len(LEVELS) == 9
    assert set(Slo.objects.values_list("key", flat=True)) == {level.body["key"] for level in LEVELS}
    assert MaintenanceWindow.objects.count() == len(WINDOWS)
    gateway = SloSeries.objects.get(objective__slo__key="desk-availability", labels={})
    minutes = SloMinute.objects.filter(series=gateway)
    days = sum(SloDay.objects.filter(series=gateway).values_list("total", flat=True))
    hours = sum(SloHour.objects.filter(series=gateway).values_list("total", flat=True))
    assert days == hours == sum(minutes.values_list("total", flat=True)) > 1_000_000
    assert minutes.filter(excluded_total__gt=0).count() >= 4 * 90
    # Nothing was measured for three hours.
    assert minutes.count() < gateway.last_minute - gateway.first_minute + 1 - 170
    tools = SloSeries.objects.filter(objective__slo__key="tool-calls")
    assert sorted(row.labels.get("tool", "") for row in tools) == [
        "",
        "calculator",
        "crm",
        "mail",
        "sql",
        "web-search",
    ]
    assert not SloSeries.objects.filter(objective__slo__key="ledger-freshness").exists()

    # A second call, after some minutes were lost: the same numbers again, and nothing but them.
    last = minutes.latest("bucket")
    before = (last.good, last.total)
    assert seed_service_levels(seed=SEED) == 0
    again = minutes.get(bucket=last.bucket)
    assert (again.good, again.total) == before
    assert minutes.latest("bucket").bucket <= bucket_number(timezone.now(), "minute")
