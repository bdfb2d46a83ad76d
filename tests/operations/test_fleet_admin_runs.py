"""The screens of runs, of those of the moment and of sources."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from financial.models import CostEvent
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import Agent, Run, Step, run_key
from operations.fleet.selectors.run_page import in_tree_order, run_facts
from operations.fleet.services.agents import find_agents
from operations.fleet.services.record_steps import record_steps
from operations.fleet.services.run_costs import recompute_costs
from operations.telemetry.models import TelemetrySource
from tests.admin_data import cost, record
from tests.common.test_admin_pages import html_of
from tests.operations.fleet_world import charge, correct, now_micros, span_run, tell
from tests.operations.test_fleet_admin_agents import EVIL, signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "operations/run/"


def run(run_id: str, agent: str = "bot", **changes: Any) -> RunSaid:
    said = span_run(run_id, agent, **{"trace_id": hashlib.sha256(run_id.encode()).digest()[:16], **changes})
    tell(said)
    return said


def steps(run_id: str, agent: str, *said: dict[str, Any]) -> None:
    with transaction.atomic():
        record_steps(
            steps=[
                StepSaid(
                    **{
                        "run_id": run_id,
                        "kind": "tool",
                        "start": now_micros(60),
                        "step_id": str(number),
                        **one,
                    }
                )
                for number, one in enumerate(said)
            ],
            agents={run_id: find_agents([agent])[agent]},
        )


def page(run_id: str) -> str:
    return f"{LIST}{run_key(run_id)}/change/"


def ids(html: str) -> set[str]:
    by_key = {str(row.pk): row.run_id for row in Run.objects.all()}
    return {by_key[key] for key in re.findall(r"/admin/operations/run/([0-9a-f-]{36})/change/", html)}


def test_the_page_of_a_run_joins_its_books(client: Client) -> None:
    run("r-1", status="failed", error_type="Timeout", error_message="It took too long.", session="s-9",
        user="u-1", experiments=(("prompt", "v2"),), scores={"helpful": 0.5})  # fmt: skip
    event = charge("r-1", "0.50")
    start = now_micros(60)
    steps(
        "r-1", "bot",
        {"kind": "agent", "name": "whole", "start": start, "end": start + 2_000_000},
        {"kind": "inference", "parent": "0", "name": "ask", "model": "gpt-4o", "provider": "openai",
         "start": start, "end": start + 1_500_000, "usage": {"input_tokens": 1200, "output_tokens": 310},
         "charged": True, "cost_source": "tests", "cost_event": "c-1"},
        {"kind": "tool", "parent": "1", "tool": "search", "failed": True, "error_type": "Boom", "start": start + 9},
    )  # fmt: skip
    correct(event, "-0.10")
    run("r-child", agent="helper", parent_run_id="r-1")
    with transaction.atomic():
        recompute_costs(run_ids=["r-1"])
    text = text_of(signed_in(client, "operations:read"), page("r-1"))
    for words in ("Timeout : It took too long.", "s-9", "u-1", "prompt v2", "helpful 0.5", "Child runs", "helper",
                  "1.2k in , 310 out", "Boom", "The run, by the ledger $0.40", "active what it knows"):  # fmt: skip
        assert words in text, words
    html = html_of(client, page("r-1"))
    assert f"/admin/financial/costevent/{event}/change/" in html
    assert html.count("af-chart-timeline") == 2
    facts = run_facts(Run.objects.get(pk=run_key("r-1")))
    assert [(line.step.step_id, line.depth, line.cost) for line in facts.steps] == [
        ("0", 0, None),
        ("1", 1, 400_000_000),
        ("2", 2, None),
    ]
    assert "Called by" in text_of(client, page("r-child"))


def test_a_step_without_a_price_is_unknown_and_not_zero(client: Client) -> None:
    run("r-1")
    record(
        cost(
            timezone.now(), provider="house", model="nobody-knows", run_id="r-1", source="tests", event_id="c"
        )
    )
    with transaction.atomic():
        recompute_costs(run_ids=["r-1"])
    steps("r-1", "bot", {"kind": "inference", "cost_source": "tests", "cost_event": "c", "charged": True})
    assert CostEvent.objects.get().unpriced == 1
    text = text_of(signed_in(client, "operations:read"), page("r-1"))
    assert text.count("unpriced") == 3
    assert "$0" not in text


def test_steps_in_a_circle_and_of_unknown_parents_are_shown_once() -> None:
    run("r-1")
    steps("r-1", "bot", {"parent": "1"}, {"parent": "0"}, {"parent": "nowhere"}, {"parent": "3"})
    rows = list(Step.objects.order_by("started_at", "id"))
    assert sorted(step.step_id for step, _ in in_tree_order(rows)) == ["0", "1", "2", "3"]


def test_the_number_of_statements_does_not_grow_with_steps(client: Client) -> None:
    signed_in(client, "operations:read")
    run("r-1")
    run("r-2")
    steps("r-1", "bot", {"kind": "inference"})
    steps("r-2", "bot", *({"kind": "inference", "tool": f"t{number}"} for number in range(120)))

    def statements(path: str) -> int:
        with CaptureQueriesContext(connection) as found:
            client.get(f"/admin/{path}")
        return len(found)

    statements(page("r-1"))
    assert statements(page("r-2")) == statements(page("r-1"))
    few = statements(LIST), statements(f"{LIST}live/rows/")
    for number in range(100):
        run(f"more-{number}", agent=f"bot-{number}")
    assert (statements(LIST), statements(f"{LIST}live/rows/")) == few


def test_more_steps_than_are_shown_are_counted(client: Client) -> None:
    run("r-1")
    steps("r-1", "bot", *({} for _ in range(510)))
    facts = run_facts(Run.objects.get())
    assert (len(facts.steps), facts.left_out) == (500, 10)
    text = text_of(signed_in(client, "operations:read"), page("r-1"))
    assert "the first 500; 10 more" in text
    assert "and 360 more" in html_of(client, page("r-1"))


def test_pages_follow_a_key(client: Client) -> None:
    start = now_micros(3600)
    for number in range(130):
        run(f"r-{number}", start=start + number, end=start + number + 5, last=start + number + 5)
    signed_in(client, "operations:read")
    first = html_of(client, LIST)
    assert ids(first) == {f"r-{number}" for number in range(30, 130)}
    (older,) = re.findall(r'href="(\?cursor=[^"]+)" rel="next"', first)
    assert ids(html_of(client, f"{LIST}{older}")) == {f"r-{number}" for number in range(30)}


def test_the_page_of_a_run_shows_what_it_cost_with_those_that_it_called(client: Client) -> None:
    now = now_micros()
    tell(span_run("top", experiments=(("prompt", "v1"),), start=now, end=now, last=now))
    below = {"parent_run_id": "top", "start": now, "end": now, "last": now, "inherited": (("prompt", "v1"),)}
    tell(span_run("below", trace_id=b"\1" * 16, **below))
    tell(span_run("deep", trace_id=b"\2" * 16, **{**below, "parent_run_id": "below"}))
    for name, amount in (("top", "1"), ("below", "2"), ("deep", "4")):
        charge(name, amount, event_id=name)
    with transaction.atomic():
        recompute_costs(run_ids=["top", "below", "deep"])
    signed_in(client, "operations:read")
    assert "$7.00 with child runs" in text_of(client, page("top"))
    top, deep = (html_of(client, page(name)) for name in ("top", "deep"))
    assert "with child runs" not in deep
    assert "of the run that called it" in deep
    assert "of the run that called it" not in top


def test_filters(client: Client) -> None:
    run("good", user="u-1", session="s-1")
    run("bad", agent="other", status="failed")
    run("served", experiments=(("prompt", "v1"),))
    run("served-too", experiments=(("prompt", "v2"),))
    run("old", start=now_micros(86_400 * 3), end=now_micros(86_400 * 3), last=now_micros(86_400 * 3))
    Run.objects.filter(run_id="good").update(unpriced=1, cost=2_000_000_000)
    Run.objects.filter(run_id="bad").update(under_reported=True)
    signed_in(client, "operations:read")

    def shown(query: str) -> set[str]:
        return ids(html_of(client, f"{LIST}?{query}"))

    assert len(shown("")) == 5
    assert shown("agent=other") == shown("status=bad") == shown("under_reported=yes") == {"bad"}
    assert shown("status=failed") == {"bad"}
    assert shown("unpriced=yes") == shown("user=u-1") == shown("session=s-1") == {"good"}
    assert shown("min_cost=2") == {"good"}
    assert shown("variant=prompt") == {"served", "served-too"}
    assert shown("variant=prompt%3Dv2") == {"served-too"}
    assert shown(f"trace={hashlib.sha256(b'old').hexdigest()[:32]}") == {"old"}
    before = (timezone.now() - timedelta(days=2)).date()
    assert shown(f"to={before}") == {"old"}
    for query, sentence in (
        ("agent=nobody", "No agent goes by this name."),
        ("user=nobody", "No user of this id is known."),
        ("trace=xyz", "A trace id is 32 hexadecimal digits."),
        ("min_cost=much", "This is no amount"),
    ):
        assert shown(query) == set()
        assert sentence in html_of(client, f"{LIST}?{query}")
    answer = client.get(f"/admin/{LIST}?q=good")
    assert answer["Location"] == f"/admin/{page('good')}"
    assert shown("q=nothing-like-it") == set()


def test_live_rows_are_the_newest_and_are_not_sent_twice(client: Client) -> None:
    start = now_micros(3600)
    for number in range(60):
        run(f"r-{number}", start=start + number, end=start + number, last=start + number)
    signed_in(client, "operations:read")
    answer = client.get(f"/admin/{LIST}live/rows/")
    found = answer.json()["runs"]
    assert [row["id"] for row in found] == [str(run_key(f"r-{number}")) for number in range(59, 9, -1)]
    again = client.get(f"/admin/{LIST}live/rows/", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    run("r-59", start=start + 59, end=start + 99, last=start + 99, status="failed", error_type=EVIL)
    changed = client.get(f"/admin/{LIST}live/rows/", headers={"If-None-Match": answer["ETag"]})
    assert changed.status_code == 200
    assert (changed.json()["runs"][0]["status"], changed.json()["runs"][0]["error"]) == ("failed", EVIL)
    only = client.get(f"/admin/{LIST}live/rows/?status=bad").json()["runs"]
    assert [row["id"] for row in only] == [str(run_key("r-59"))]
    assert client.get(f"/admin/{LIST}live/rows/?agent=nobody").json()["runs"] == []


def test_what_was_said_is_shown_to_those_who_may_write(client: Client) -> None:
    run("r-1")
    Agent.objects.update(keep_content=True)
    steps("r-1", "bot", {"kind": "inference", "input": f"Question {EVIL}", "output": "The answer."})
    reader = text_of(signed_in(client, "operations:read"), page("r-1"))
    assert "The answer." not in reader
    assert "takes the scope operations:write" in reader
    signed_in(client, "operations:write", "operations:read")
    html = html_of(client, page("r-1"))
    assert "The answer." in html
    assert "<script>alert" not in html


def test_sources_say_what_became_of_what_they_sent(client: Client) -> None:
    now = timezone.now()
    quiet = TelemetrySource.objects.create(
        key="af_abc", service=EVIL, sdk="js", sdk_version="2", last_seen_at=now - timedelta(days=2), requests=3,
        accepted=40, rejected=2, ignored=7, duplicates=1, ignored_by={"logs": 2, EVIL: 5}, remark="Too many agents.",
    )  # fmt: skip
    TelemetrySource.objects.create(service="well", last_seen_at=now, requests=1, accepted=5)
    signed_in(client, "operations:read")
    html = html_of(client, "operations/telemetrysource/")
    assert "<script>alert" not in html
    for query, count in (("", 2), ("standing=rejected", 1), ("standing=silent", 1), ("standing=remark", 1)):
        rows = re.findall(
            r"/admin/operations/telemetrysource/\d+/change/",
            html_of(client, f"operations/telemetrysource/?{query}"),
        )
        assert len(set(rows)) == count, query
    text = text_of(client, f"operations/telemetrysource/{quiet.pk}/change/")
    for words in ("silent", "Too many agents.", "Rejected 2", "Sent twice 1", "logs 2"):
        assert words in text, words
    assert text.index("alert") < text.index("logs 2"), "the most frequent reason comes first"
