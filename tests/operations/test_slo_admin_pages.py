"""The list and the page of SLOs: what they tell, to whom, and at which cost."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from operations.slo.models import Slo, SloSeries
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.maintenance import create_maintenance_window
from operations.slo.services.record_samples import record_samples
from operations.slo.services.remarks import adjust_budget, annotate
from operations.slo.services.slos import archive_slo, create_slo

from .slo_setup import sample
from .test_health_admin import signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/operations/slo/"


def slo_of(key: str, **changes: Any) -> Slo:
    body = {
        "key": key, "name": f"Promise {key}", "sli": {"key": f"{key}-events", "kind": "ratio"}, "target": 0.9,
        "window": {"rolling": "30d"},
    } | changes  # fmt: skip
    return create_slo(body=body)


def count(slo: Slo, good: int, total: int, minutes_ago: int = 90, **labels: str) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    event = f"{minutes_ago}-{labels}"
    outcome = record_samples(sli=slo.sli.key, samples=[sample(event, at, good, total, labels=labels)])
    assert not outcome.rejected


def url(slo: Slo, more: str = "") -> str:
    return reverse("admin:operations_slo_change", args=[slo.pk]) + more


def test_who_sees_and_who_changes(client: Client) -> None:
    slo = slo_of("answers")
    pages = (LIST, url(slo), "/admin/operations/sli/", "/admin/operations/maintenancewindow/")
    steps = (f"{LIST}new/", f"{LIST}{slo.pk}/edit/", f"{LIST}{slo.pk}/adjust/", f"{LIST}{slo.pk}/annotate/",
             f"{LIST}preview/?target=99", "/admin/operations/sli/new/", "/admin/operations/maintenancewindow/new/",
             "/admin/operations/maintenancewindow/preview/")  # fmt: skip
    for scope, seen, done in (
        ("operations:read", 200, 403),
        ("operations:write", 200, 200),
        ("metrics:read", 403, 403),
    ):
        signed_in(client, scope)
        assert {client.get(page).status_code for page in pages} == {seen}, scope
        # What a person may not do is either refused or leads back to the sign-in page.
        answers = {client.get(page).status_code for page in steps}
        assert answers == {done} if done == 200 else answers <= {302, 403}, scope


def test_the_worst_comes_first_and_no_data_last(client: Client) -> None:
    signed_in(client, "operations:read")
    for key, good in (("fine", 100), ("half", 95), ("over", 80)):
        count(slo_of(key), good, 100)
    slo_of("empty")
    page = text_of(client.get(LIST))
    places = [page.index(f"Promise {key}") for key in ("over", "half", "fine", "empty")]
    assert places == sorted(places)
    row = page[places[0] : places[1]]
    assert "80 %" in row
    assert "\N{MINUS SIGN}100 %" in row
    assert "missed" in row
    assert "no data" in page[places[3] :]


def test_filters_choose_among_what_was_judged(client: Client) -> None:
    signed_in(client, "operations:read")
    for key, good in (("fine", 100), ("over", 80)):
        count(slo_of(key), good, 100)
    slo_of("empty", window={"calendar": "month", "timezone": "UTC"})
    gone = slo_of("gone")
    archive_slo(slo=gone.pk)
    evaluate_slos()

    def named(query: str) -> set[str]:
        return set(re.findall(r"Promise (\w+)", text_of(client.get(f"{LIST}?{query}"))))

    assert named("") == {"fine", "over", "empty"}
    assert named("state=missed") == {"over"}
    assert named("state=met") == {"fine"}
    assert named("state=no_data") == {"empty"}
    assert named("state=archived") == {"gone"}
    assert named("window=month") == {"empty"}
    assert named("window=rolling&state=missed") == {"over"}
    assert named("source=http") == set()
    assert named("owner=team/nobody") == set()


def test_the_list_costs_the_same_however_many_there_are(client: Client) -> None:
    signed_in(client, "operations:read")
    count(slo_of("s0"), 9, 10)
    client.get(LIST)
    counts = []
    for numbers in (range(1, 1), range(1, 100)):
        for number in numbers:
            count(slo_of(f"s{number}"), 9, 10)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    page = client.get(f"{LIST}?p=2")
    assert len(re.findall(r"Promise s\d+<", page.content.decode())) == 50


def test_the_page_tells_the_sentence_and_every_number(client: Client) -> None:
    signed_in(client, "operations:read")
    slo = slo_of("answers", group_by=["agent"], description="Line <1>")
    count(slo, 940, 1000, agent="a<b>")
    count(slo, 50, 100, minutes_ago=95, agent="worse")
    adjust_budget(slo=slo.pk, events=20, reason="Not <ours>")
    annotate(slo=slo.pk, text="Deployed <v2>")
    evaluate_slos()
    answer = client.get(url(slo))
    page = text_of(answer)
    # 110 events of budget and 20 given back, 110 spent.
    assert "Met: 90 %, objective 90 %. 990 of 1,100 good; budget 110, 110 used, 20 given back." in page
    assert "20 events given back" in page
    assert page.index("agent=worse") < page.index("agent=a&lt;b&gt;")
    html = answer.content.decode()
    for escaped in ("a<b>", "Not <ours>", "Deployed <v2>", "Line <1>"):
        assert escaped not in html
    assert html.count('class="af-chart af-chart-heat"') == 2
    # All four lanes stand below the level, once for each width.
    for lane in ("Burn alerts", "Maintenance (excluded)", "Budget adjusted", "Annotations"):
        assert len(re.findall(rf">{re.escape(lane)}(?:: none)?</text>", html)) == 2
    assert f"/api/v1/operations/slos/{slo.key}/prometheus-rules" in html
    assert "None yet: the first is written" in page


def test_one_group_has_a_page_of_its_own(client: Client) -> None:
    signed_in(client, "operations:read")
    slo, other = slo_of("answers", group_by=["agent"]), slo_of("others", group_by=["agent"])
    count(slo, 10, 10, agent="good")
    count(slo, 5, 10, minutes_ago=95, agent="bad")
    count(other, 5, 10, agent="bad")
    bad = SloSeries.objects.get(objective__slo=slo, labels={"agent": "bad"})
    page = text_of(client.get(url(slo, f"?group={bad.pk}")))
    assert "Missed: 50 %, objective 90 %. 5 of 10 good" in page
    foreign = SloSeries.objects.get(objective__slo=other, labels={"agent": "bad"})
    for wrong in (str(foreign.pk), "999999"):
        assert client.get(url(slo, f"?group={wrong}")).status_code == 404
    # What is no number is left out.
    assert "15 of 20 good" in text_of(client.get(url(slo, "?group=x'<&view=?&back=-1")))


def test_both_views_are_shown(client: Client) -> None:
    signed_in(client, "operations:read")
    slo = slo_of("answers")
    count(slo, 90, 100, minutes_ago=600)
    count(slo, 0, 50, minutes_ago=120)
    start = (timezone.now() - timedelta(minutes=130)).replace(second=0, microsecond=0)
    create_maintenance_window(
        body={"name": "Works <now>", "starts_at": start.isoformat(), "duration": "30m", "slos": [slo.key]}
    )
    after = client.get(url(slo))
    assert "90 of 100 good" in text_of(after)
    assert "Works &lt;now&gt;" in after.content.decode()
    assert "90 of 150 good" in text_of(client.get(url(slo, "?view=before")))


def test_periods_of_the_calendar_can_be_gone_back_to(client: Client) -> None:
    signed_in(client, "operations:read")
    slo = slo_of("answers", window={"calendar": "week", "timezone": "Europe/Berlin"})
    count(slo, 10, 10, minutes_ago=1)
    count(slo, 1, 10, minutes_ago=7 * 1440)
    now, before = text_of(client.get(url(slo))), text_of(client.get(url(slo, "?back=1")))
    assert "Met: 100 %" in now
    assert "Missed: 10 %, objective 90 %. 1 of 10 good" in before
    assert "Burn rates" not in before
    # Nothing lies further back, and the links say so.
    assert len(re.findall("Week of ", now)) == 2
    assert "No data in this window" in text_of(client.get(url(slo, "?back=5")))


def test_a_page_without_data_says_so_and_a_rule_that_cannot_fire_too(client: Client) -> None:
    signed_in(client, "operations:read")
    page = text_of(client.get(url(slo_of("answers"))))
    assert "No data in this window: it is neither met nor missed." in page
    assert "Rule 1h_5m can never fire: with a target of 90 % a full outage burns the budget 10 times" in page


def test_the_page_costs_the_same_with_more_groups_and_remarks(client: Client) -> None:
    signed_in(client, "operations:read")
    slo = slo_of("answers", group_by=["agent"])
    count(slo, 9, 10, agent="a0")
    annotate(slo=slo.pk, text="one")
    client.get(url(slo))
    counts = []
    for numbers in (range(1, 1), range(1, 40)):
        for number in numbers:
            count(slo, 9, 10, minutes_ago=90 + number, agent=f"a{number}")
            annotate(slo=slo.pk, text="more")
        with CaptureQueriesContext(connection) as queries:
            page = text_of(client.get(url(slo)))
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert "the 25 worst of 40" in page


def test_a_burning_slo_stands_on_the_landing_page(client: Client) -> None:
    signed_in(client, "operations:read")
    slo = slo_of("answers", target=float(Decimal("0.999")))
    count(slo, 100, 100, minutes_ago=600)
    assert "None of 1 SLOs burns its budget or is missed." in text_of(client.get("/admin/"))
    for minute in range(1, 5):
        count(slo, 0, 10, minutes_ago=minute)
    evaluate_slos()
    page = text_of(client.get("/admin/"))
    assert "1 burning 1 missed" in page
    assert "firing 1h (page)" in page
    signed_in(client, "metrics:read")
    assert "Service levels" not in text_of(client.get("/admin/"))
