"""``/metrics``: what Prometheus reads, from the registry, for those who may."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

from agent_factory_site.common.api.published_metrics import wants_openmetrics
from agent_factory_site.common.exposition import OPENMETRICS, PROMETHEUS, exposition
from agent_factory_site.common.metrics import Metric, Reading, Sample, all_metrics, register, unregister
from agent_factory_site.common.models import Job
from tests.common.callers import key_headers

NAME = "agent_factory_tests_seen_events"
ACCEPT = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def publish() -> Iterator[Any]:
    names: list[str] = []

    def make(samples: list[Sample] | Exception, **given: Any) -> Metric:
        def current() -> list[Sample]:
            if isinstance(samples, Exception):
                raise samples
            return samples

        values = {"name": NAME, "help": "Seen.", "unit": "events", "labels": ["team"], "current": current}
        metric = register(**(values | given))
        names.append(metric.name)
        return metric

    yield make
    for name in names:
        unregister(name)


def scrape(client: Client, *scopes: str, accept: str = "", **extra: Any) -> Any:
    headers = key_headers(*scopes) if scopes else {}
    return client.get("/metrics", headers={**headers, **({"Accept": accept} if accept else {})}, **extra)


def values(
    text: str, parse: Any = prometheus_families
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_prometheus_text_to_the_byte() -> None:
    metric = Metric(NAME, 'A "b" \\ c.', "events", ("team",), "gauge", 200, list)
    counter = Metric(f"{NAME}_total", "D.", "events", (), "counter", 200, list)
    readings = [
        (
            metric,
            Reading([Sample({"team": 'a"\\\n'}, 3), Sample({"team": "b"}, None), Sample({"team": ""}, 0.5)]),
        ),
        (counter, Reading([Sample({}, Decimal("0.000000001"))])),
    ]
    assert exposition(readings, openmetrics=False) == (
        '# HELP agent_factory_tests_seen_events A "b" \\\\ c.\n'
        "# TYPE agent_factory_tests_seen_events gauge\n"
        'agent_factory_tests_seen_events{team="a\\"\\\\\\n"} 3\n'
        'agent_factory_tests_seen_events{team=""} 0.5\n'
        "# HELP agent_factory_tests_seen_events_total D.\n"
        "# TYPE agent_factory_tests_seen_events_total counter\n"
        "agent_factory_tests_seen_events_total 0.000000001\n"
    )
    assert exposition(readings, openmetrics=True) == (
        '# HELP agent_factory_tests_seen_events A \\"b\\" \\\\ c.\n'
        "# TYPE agent_factory_tests_seen_events gauge\n"
        "# UNIT agent_factory_tests_seen_events events\n"
        'agent_factory_tests_seen_events{team="a\\"\\\\\\n"} 3\n'
        'agent_factory_tests_seen_events{team=""} 0.5\n'
        "# HELP agent_factory_tests_seen_events D.\n"
        "# TYPE agent_factory_tests_seen_events counter\n"
        "# UNIT agent_factory_tests_seen_events events\n"
        "agent_factory_tests_seen_events_total 0.000000001\n"
        "# EOF\n"
    )


@given(
    st.dictionaries(
        st.text(max_size=30), st.integers(-(10**12), 10**12) | st.floats(-1e9, 1e9), min_size=1, max_size=5
    )
)
def test_any_label_value_survives_both_formats(teams: dict[str, float]) -> None:
    metric = Metric(NAME, "Seen.", "events", ("team",), "gauge", 200, list)
    reading = Reading([Sample({"team": team}, value) for team, value in teams.items()])
    for openmetrics, parse in ((False, prometheus_families), (True, openmetrics_families)):
        text = exposition([(metric, reading)], openmetrics=openmetrics).encode().decode()
        assert values(text, parse) == {(NAME, (("team", team),)): value for team, value in teams.items()}


def test_half_a_surrogate_pair_does_not_break_the_scrape() -> None:
    metric = Metric(NAME, "Seen.", "events", ("team",), "gauge", 200, list)
    text = exposition([(metric, Reading([Sample({"team": "a\ud800b"}, 1)]))], openmetrics=False)
    assert text.encode().endswith(b'{team="a?b"} 1\n')


@pytest.mark.django_db
def test_both_formats_say_the_same(client: Client) -> None:
    Job.objects.create(kind="x", actor_kind="system", actor_id="tests", state="failed")
    plain, open_ = scrape(client, "metrics:read"), scrape(client, "metrics:read", accept=ACCEPT)
    assert (plain.status_code, plain["Content-Type"]) == (200, PROMETHEUS)
    assert (open_.status_code, open_["Content-Type"], open_["Vary"]) == (200, OPENMETRICS, "Accept")
    assert plain["Cache-Control"] == "no-store"
    seen, again = values(plain.content.decode()), values(open_.content.decode(), openmetrics_families)
    assert set(seen) == set(again)
    assert seen["agent_factory_jobs", (("state", "failed"),)] == 1
    names = {family.name for family in openmetrics_families(open_.content.decode())}
    assert names == {metric.name.removesuffix("_total") for metric in all_metrics()}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        (ACCEPT, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=2.0.0, text/plain", False),
        ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5", False),
        ("text/plain;q=0.1, application/openmetrics-text;version=1.0.0;q=0.5", True),
        ("application/openmetrics-text;q=0", False),
        ("application/json", False),
        (";;;,q=,/", False),
    ],
)
def test_the_format_is_the_one_that_is_preferred(rf: Any, accept: str, expected: bool) -> None:
    assert wants_openmetrics(rf.get("/metrics", headers={"Accept": accept})) is expected


@pytest.mark.django_db
def test_caps_unknown_values_and_failures_are_said(client: Client, publish: Any) -> None:
    publish([Sample({"team": f"t{number}"}, number) for number in range(10)], max_series=3)
    publish([Sample({"team": "a"}, None)], name="agent_factory_tests_other_events")
    publish(RuntimeError("no disk"), name="agent_factory_tests_broken_events")
    seen = values(scrape(client, "metrics:read").content.decode())
    assert [labels for name, labels in seen if name.startswith("agent_factory_tests_")] == [
        (("team", "t9"),), (("team", "t8"),), (("team", "t7"),),
    ]  # fmt: skip
    assert seen["agent_factory_metric_series_dropped", (("metric", NAME),)] == 7
    assert seen["agent_factory_metric_series_unknown", (("metric", "agent_factory_tests_other_events"),)] == 1
    failed = {
        dict(labels)["metric"]
        for (name, labels), value in seen.items()
        if name == "agent_factory_metric_source_failed" and value == 1
    }
    assert failed == {"agent_factory_tests_broken_events"}


@pytest.mark.django_db
def test_each_source_is_read_once_a_scrape(client: Client, publish: Any) -> None:
    asked: list[int] = []

    def current() -> list[Sample]:
        asked.append(1)
        return [Sample({"team": "a"}, len(asked))]

    publish([], current=current)
    key = (("team", "a"),)
    for expected in (1, 2):
        seen = values(scrape(client, "metrics:read").content.decode())
        assert (seen[NAME, key], len(asked)) == (expected, expected)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("scope", "status"),
    [("metrics:read", 200), ("*", 200), ("common:read", 403), ("operations:admin", 403), ("ingest", 403)],
)
def test_only_a_key_with_the_scope_reads_them(client: Client, scope: str, status: int) -> None:
    answer = scrape(client, scope, accept=ACCEPT)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "missing_scope"
        assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "extra", "status"),
    [
        ("10.2.3.4", {}, 200),
        ("::ffff:10.2.3.4", {}, 200),
        ("2001:db8::7", {}, 200),
        ("10.3.0.1", {}, 401),
        ("2001:db9::7", {}, 401),
        ("", {}, 401),
        ("unix", {}, 401),
        ("10.2.3.4", {"HTTP_X_FORWARDED_FOR": "8.8.8.8"}, 401),
        ("10.2.3.4", {"HTTP_FORWARDED": "for=8.8.8.8"}, 401),
        ("8.8.8.8", {"HTTP_X_FORWARDED_FOR": "10.2.3.4"}, 401),
    ],
)
def test_an_allowed_network_needs_no_key(
    client: Client, settings: Any, address: str, extra: dict[str, str], status: int
) -> None:
    settings.METRICS_ALLOWED_NETWORKS = [ip_network("10.2.0.0/16"), ip_network("2001:db8::/32")]
    assert client.get("/metrics", REMOTE_ADDR=address, **extra).status_code == status
    assert client.post("/metrics", REMOTE_ADDR=address, **extra).status_code in (401, 403, 405)


@pytest.mark.django_db
def test_promtool_has_nothing_to_say(client: Client) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on this machine: it is in Debian's package prometheus")

    def judged(text: str) -> tuple[int, str]:
        done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    assert judged(scrape(client, "metrics:read").content.decode()) == (0, "")
    assert judged("# TYPE a_total gauge\na_total 1\n")[0] == 3
