"""The page of an experiment with very many arms and metrics: a page of metrics at a time, the urgent first."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research.admin.experiment_view import ROWS, View
from research.models import Experiment
from research.services.analyse import analyse_experiment
from research.services.record_results import record_results
from tests.admin_data import staff
from tests.research.results_world import expose, make_experiment, result

ARMS = ["control", *(f"arm-{number:02}" for number in range(49))]
KEYS = [f"m{number}" for number in range(20)]


def wide(key: str, arms: list[str], keys: list[str]) -> Experiment:
    metrics = [
        {"key": name, "kind": "mean", "role": "guardrail" if place > 15 else "secondary", "margin": 0.01}
        if place
        else {"key": name, "kind": "mean", "role": "primary"}
        for place, name in enumerate(keys)
    ]
    row = make_experiment(key, metrics, arms)
    items = []
    for arm in dict.fromkeys((arms[0], *arms[-2:])):
        units = [f"{arm}-{number}" for number in range(40)]
        expose(row, units, arm)
        items += [result(unit, keys[-1], 5.0 + number % 2, unit) for number, unit in enumerate(units)]
    assert record_results(experiment=row.pk, results=items).rejected == {}
    analyse_experiment(experiment=row.pk)
    return row


def test_metrics_are_paged_by_the_rows_they_take() -> None:
    view = View.asked({"page": "2", "engine": "fixed"})
    page = view.metrics(KEYS, 50)
    assert (page.keys, page.first, page.last, page.total) == (("m2", "m3"), 3, 4, 20)
    assert (page.earlier, page.later) == ("?engine=fixed", "?engine=fixed&page=3")
    assert view.metrics(KEYS, 6).keys == tuple(KEYS)
    last = View.asked({"page": "99"}).metrics(KEYS, 50)
    assert (last.keys, last.later) == (("m18", "m19"), "")
    assert View.asked({"page": "x"}).metrics(KEYS, 500).keys == ("m0",)
    assert View().metrics([], 2).keys == ()


@pytest.mark.django_db
def test_fifty_arms_of_twenty_metrics_are_shown_in_parts(client: Client) -> None:
    client.force_login(staff("research:read"))
    few, many = wide("few", ARMS[:2], KEYS[:3]), wide("many", ARMS, KEYS)
    address = f"/admin/research/experiment/{many.pk}/change/"
    client.get(address)
    with CaptureQueriesContext(connection) as small:
        client.get(f"/admin/research/experiment/{few.pk}/change/")
    with CaptureQueriesContext(connection) as large:
        response = client.get(address)
    assert len(small) == len(large)
    seen: list[str] = []
    query = ""
    while True:
        words = client.get(address + query).content.decode()
        assert len(words) < 700_000
        panel = words[words.index('id="metrics"') :]
        panel = panel[: panel.index("</section>")]
        seen += re.findall(r'rowspan="50"><code class="af-code">([^<]+)<', panel)
        later = re.search(r'href="([^"]+)#metrics">Later<', panel)
        if later is None:
            break
        query = unescape(later[1])
    assert seen == KEYS
    # Guardrails: those that something is to be done about come before those of which nothing is known.
    page = response.content.decode()
    panel = page[page.index('id="guardrails"') :]
    panel = panel[: panel.index("</section>")]
    assert len(re.findall(r"<tr><th scope=\"row\"", panel)) == ROWS
    assert f"{4 * 49 - ROWS} more in the JSON" in panel
    states = re.findall(r">(breached|undecided|unknown|held)<", panel)
    assert states == sorted(states, key=["breached", "undecided", "unknown", "held"].index)
    assert states.count("undecided") == 2
