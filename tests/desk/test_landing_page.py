"""The landing page as it is rendered: full, empty and closed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from research.services.analyse import analyse_experiment
from research.services.lifecycle import stop_experiment
from tests.admin_data import cost, record, staff
from tests.research.results_world import make_experiment

pytestmark = pytest.mark.django_db


@pytest.fixture
def signed_in(client: Client) -> Client:
    client.force_login(staff("financial:write", "common:read"))
    return client


def page(client: Client, query: str = "") -> str:
    response = client.get(f"/admin/{query}")
    assert response.status_code == 200
    return response.content.decode()


def links(html: str) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="(/admin/financial/costevent/\?[^"]*)"', html)]


def test_the_root_leads_here_and_strangers_sign_in_first(client: Client) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=/")
    client.force_login(staff("financial:read"))
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_an_empty_ledger_says_what_to_do_first(signed_in: Client) -> None:
    html = page(signed_in)
    assert "Nothing has been recorded yet" in html
    assert '/admin/common/apikey/add/"' in html
    assert '/admin/financial/costimport/upload/"' in html
    assert "curl -sS http://testserver/api/v1/financial/costs" in html
    assert "create_api_key first-steps" in html
    assert "<svg" not in html


def test_every_number_leads_to_the_costs_behind_it(signed_in: Client) -> None:
    now = timezone.now()
    record(
        cost(now, amount="1.2345", cost_type="tool"),
        cost(now - timedelta(days=2), provider="selfhosted", model="llama-x"),
        cost(now - timedelta(days=3)),
        cost(now - timedelta(days=40), amount="5", cost_type="tool"),
    )
    html = page(signed_in)
    assert "Nothing has been recorded yet" not in html
    assert 'title="1.2345 USD">$1.23<' in html
    assert html.count('<svg xmlns="http://www.w3.org/2000/svg"') == 2
    found = links(html)
    today = now.astimezone(UTC).date()
    window = f"from={today - timedelta(days=29)}&to={today}"
    assert f"/admin/financial/costevent/?from={today}&to={today}" in found
    assert f"/admin/financial/costevent/?{window}&unpriced=yes" in found
    assert f"/admin/financial/costevent/?model=gpt-4o&provider=openai&{window}" in found
    assert f"/admin/financial/costevent/?entity=agent%2Fsupport-bot&{window}" in found
    for link in set(found):
        assert signed_in.get(link).status_code == 200, link


def test_the_chart_is_stacked_as_asked(signed_in: Client) -> None:
    record(cost(timezone.now()), cost(timezone.now(), amount="3", cost_type="human"))
    assert ">Human<" in page(signed_in)
    assert ">openai<" in page(signed_in, "?by=provider")
    assert ">no provider<" in page(signed_in, "?by=provider")
    # A stack that does not exist is the usual one.
    assert ">Human<" in page(signed_in, "?by=<script>")


def test_who_may_not_read_money_sees_none(client: Client) -> None:
    record(cost(timezone.now(), amount="123", cost_type="tool"))
    client.force_login(staff("common:read"))
    html = page(client)
    assert "123" not in html
    assert "/admin/financial/" not in html
    assert "API: read money" in html


def test_the_page_takes_a_fixed_number_of_queries(
    signed_in: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    # Early in a month and just after midnight there is less of last month to compare with.
    record(cost(timezone.now()))
    with django_assert_max_num_queries(22):
        page(signed_in)
    record(*(cost(timezone.now(), entity_id=f"agent-{number}", model=f"m-{number}") for number in range(100)))
    with django_assert_max_num_queries(22):
        page(signed_in)


def test_demo_and_production_are_marked_on_every_page(client: Client, settings: Settings) -> None:
    mark = "everything you see is made up"
    assert mark not in client.get("/admin/login/").content.decode()
    settings.DEMO = True
    assert mark in client.get("/admin/login/").content.decode()
    client.force_login(staff("financial:read"))
    assert mark in page(client)
    assert mark in client.get("/admin/financial/costevent/").content.decode()


@pytest.mark.parametrize(
    ("debug", "production", "demo", "badge"),
    [
        (False, False, False, ("Development", "info")),
        (True, False, False, ("Debug", "info")),
        (False, True, False, ("Production", "danger")),
        (False, False, True, ("Demo data", "warning")),
        (False, True, True, ("Demo data", "warning")),
    ],
)
def test_the_badge_says_what_system_this_is(
    debug: bool, production: bool, demo: bool, badge: tuple[str, str]
) -> None:
    from agent_factory_site.unfold_config import unfold_config

    config = unfold_config(debug=debug, production=production, demo=demo)
    assert config["ENVIRONMENT"](None) == list(badge)


def test_freshness_is_told(signed_in: Client) -> None:
    record(cost(datetime(2026, 11, 1, tzinfo=UTC)))
    html = page(signed_in)
    assert re.search(r"Last cost recorded <time [^>]+>just now</time>", html)


def test_experiments_that_run_stand_there_with_the_verdict_of_their_last_analysis(client: Client) -> None:
    client.force_login(staff("research:read"))
    assert "None runs." in page(client)
    analysed = make_experiment("analysed")
    analyse_experiment(experiment=analysed.pk)
    make_experiment("fresh")
    stop_experiment(experiment=make_experiment("ended").pk, decision="later", reason="Enough.")
    html = page(client)
    panel = html[html.index('id="experiments"') :]
    rows = re.findall(r'<th scope="row"><a href="([^"]+)">(\w+)</a></th>(.*?)</tr>', panel, re.S)
    assert [name for _, name, _ in rows] == ["fresh", "analysed"]
    assert "Not analysed yet" in rows[0][2]
    assert "Not started" in rows[1][2]
    assert client.get(rows[1][0]).status_code == 200
    assert "To see spend here" in html


def test_experiments_are_not_shown_to_who_may_not_see_them(signed_in: Client) -> None:
    make_experiment("secret")
    assert "secret" not in page(signed_in)


def test_more_experiments_take_no_more_queries(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(staff("research:read"))
    make_experiment("first")
    page(client)
    with CaptureQueriesContext(connection) as one:
        page(client)
    for number in range(8):
        analyse_experiment(experiment=make_experiment(f"experiment-{number}").pk)
    with django_assert_num_queries(len(one)):
        assert "And others that run." in page(client)
