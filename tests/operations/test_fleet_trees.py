"""Runs that call others in experiments: one result for each unit, whatever comes when."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_factory_site.common.services.outbox import dispatch
from operations.fleet.domain.run_trees import Node, owners
from operations.fleet.models import Run, RunVariant, run_key
from operations.slo.models import SloSample
from operations.slo.selectors.sources import forget_sources
from operations.slo.services.slis import create_sli
from operations.telemetry.domain.spans import Attributes, Span
from research.models import Assignment, ResultEvent
from research.services.assign import assign_unit
from research.services.check_results import check_results
from tests.research.experiment_setup import running

from .fleet_world import TRACE, Api, charge, correct, now_micros, paid, results, run_of, span_run, tell
from .otlp import NOON, agent, chat, run_id, tool
from .otlp_books import settle, take

pytestmark = pytest.mark.django_db(transaction=True)

CALL = 35_000 / 1e9
"""What a call of gpt-4o with ten tokens in and one out costs."""
METRICS = [{"key": "success", "kind": "proportion", "role": "primary", "direction": "increase"}]


def arm_of(unit: str, experiment: str = "prompt-v2") -> str:
    arm = assign_unit(experiment=experiment, unit=unit, attributes={}, expose=False).decision.arm
    assert arm is not None
    return str(arm.key)


def served(unit: str) -> Attributes:
    """What says that a unit was served its variant."""
    return {"agent_factory.user": unit, "agent_factory.experiment.prompt-v2": arm_of(unit)}


def drain() -> None:
    """Deliver what is published, and what that publishes."""
    while (done := dispatch()).delivered:
        assert done.failed == 0


def agrees() -> None:
    assert [str(each) for each in check_results(experiment="prompt-v2").listed] == []


def story(inherits: bool) -> list[Span]:
    """A run of ann's that goes well with a call that fails in a run below, and a run of bob's below that.

    ``inherits``: the run in between names no variant; else it names ann's, as a resource's attributes do.
    """
    at = now_micros() // 1000 - NOON // 1_000_000 + 1000
    between: Attributes = {} if inherits else served("ann")
    return [
        agent(1, attributes=served("ann"), start=at, end=at + 9000),
        agent(2, parent=1, name="helper", attributes=between, start=at + 1, end=at + 8000, status=2),
        chat(3, parent=2, start=at + 2, end=at + 10),
        chat(4, parent=1, start=at + 20, end=at + 30),
        tool(5, parent=2, start=at + 40, end=at + 6000),
        agent(6, parent=5, name="scout", attributes=served("bob"), start=at + 50, end=at + 5000),
        chat(7, parent=6, start=at + 60, end=at + 70),
    ]


def expected() -> dict[str, float]:
    root, below = f"run:{run_id(1)}", f"run:{run_id(6)}"
    return {
        f"{root}:success": 1, f"{root}:error": 0, f"{root}:latency": 9.0, f"{root}:cost": pytest.approx(2 * CALL),
        f"{below}:success": 1, f"{below}:error": 0, f"{below}:latency": 4.95, f"{below}:cost": pytest.approx(CALL),
    }  # fmt: skip


@pytest.mark.parametrize("inherits", [True, False], ids=["inherited", "named again"])
def test_in_any_order_a_unit_has_one_result_of_the_topmost_run(inherits: bool) -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    spans = story(inherits)
    orders = [list(spans), spans[::-1]]
    for seed in range(10):
        orders.append(random.Random(seed).sample(spans, len(spans)))
    for number, order in enumerate(orders):
        chooser = random.Random(number)
        with transaction.atomic():
            left = list(order)
            while left:
                size = chooser.randint(1, 3)
                take(*left[:size])
                del left[:size]
                if chooser.random() < 0.4:
                    settle()
                if chooser.random() < 0.6:
                    drain()
            take(*order[:2])
            settle()
            drain()
            assert results() == expected(), number
            agrees()
            flags = dict(RunVariant.objects.values_list("run__run_id", "inherited"))
            assert flags == {run_id(1): False, run_id(2): inherits, run_id(6): False}
            assert not Assignment.objects.filter(double_exposed=True).exists()
            before = ResultEvent.objects.in_bulk()
            drain()
            assert ResultEvent.objects.in_bulk() == before
            transaction.set_rollback(True)


def test_costs_that_come_late_or_are_corrected_below_reach_the_experiment_above() -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    now = now_micros()
    variant = (("prompt-v2", arm_of("ann")),)
    parent = span_run("top", user="ann", experiments=variant, start=now, end=now + 10**6, last=now + 10**6)
    child = span_run("below", parent_run_id="top", trace_id=b"\1" * 16, start=now, end=now, last=now)
    grandchild = span_run("deep", parent_run_id="below", trace_id=b"\2" * 16, start=now, end=now, last=now)
    tell(grandchild, parent)
    first = charge("deep", "3")
    drain()
    assert "run:top:cost" not in results()
    tell(child)
    drain()
    assert results()["run:top:cost"] == 3
    charge("top", "1", event_id="c-2")
    correct(first, "-2")
    drain()
    assert (results()["run:top:cost"], results()["run:top:success"]) == (2, 1)
    # A run below that fails changes nothing; its own status decides.
    tell(msgspec.structs.replace(child, status="failed"))
    tell(msgspec.structs.replace(parent, status="failed"))
    drain()
    assert (results()["run:top:cost"], results()["run:top:success"]) == (2, 0)
    assert {name.split(":")[1] for name in results()} == {"top"}
    # What has no price makes the cost unknown.
    Run.objects.filter(run_id="deep").update(unpriced=1)
    tell(msgspec.structs.replace(parent, status="ok"))
    drain()
    assert "run:top:cost" not in results()
    agrees()


def test_a_run_that_is_called_by_another_after_all_moves_its_cost() -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    now = now_micros()
    for name in ("ann", "bob"):
        variant = (("prompt-v2", arm_of(name)),)
        said = span_run(
            f"of-{name}", user=name, experiments=variant, start=now, end=now + 10**6, last=now + 10**6
        )
        tell(msgspec.structs.replace(said, trace_id=name.encode().ljust(16)))
        charge(f"of-{name}", "1", event_id=name)
    child = span_run("below", parent_run_id="of-ann", start=now, end=now, last=now)
    tell(child)
    charge("below", "5")
    drain()
    assert (results()["run:of-ann:cost"], results()["run:of-bob:cost"]) == (6, 1)
    tell(msgspec.structs.replace(child, parent_run_id="of-bob"))
    drain()
    assert (results()["run:of-ann:cost"], results()["run:of-bob:cost"]) == (1, 6)
    charge("of-ann", "1", event_id="again")
    drain()
    assert results()["run:of-ann:cost"] == 2
    agrees()


def test_over_the_api_a_run_below_for_the_same_unit_counts_above() -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    api = Api("ingest", "operations:read")
    top = api.post("/runs", {"agent": "bot", "user": "ann"}).json()["run_id"]
    same, other = (
        api.post("/runs", {"agent": "helper", "user": name, "parent_run_id": top}).json()["run_id"]
        for name in ("ann", "bob")
    )
    api.post(f"/runs/{top}/finish", {"status": "ok", "usage": paid("1"), "scores": {"fine": 0.5}})
    api.post(f"/runs/{same}/finish", {"status": "failed", "usage": paid("2"), "scores": {"fine": 0.1}})
    api.post(f"/runs/{other}/finish", {"status": "failed", "usage": paid("4")})
    drain()
    found = results()
    assert (found[f"run:{top}:cost"], found[f"run:{top}:success"], found[f"run:{top}:score:fine"]) == (
        3,
        1,
        0.5,
    )
    assert (found[f"run:{other}:cost"], found[f"run:{other}:success"]) == (4, 0)
    assert not [name for name in found if same in name]
    agrees()
    shown = api.get(f"/runs/{top}").json()
    assert (shown["cost"], shown["total_cost"]) == ("1.00", "7.00")
    assert [one["inherited"] for one in shown["variants"]] == [False]
    assert api.get(f"/runs/{same}").json()["total_cost"] == "2.00"


def test_a_run_that_turned_out_to_be_none_takes_its_results_and_samples_back() -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    create_sli(body={"key": "good-runs", "kind": "ratio", "source": "runs"})
    forget_sources()
    now = now_micros()
    variant = (("prompt-v2", arm_of("ann")),)
    tell(span_run("one", user="ann", experiments=variant, start=now, end=now + 10**6, last=now + 10**6))
    assert (len(results()), SloSample.objects.count()) == (3, 1)
    tell(gone=[("one", TRACE)])
    assert (results(), SloSample.objects.count()) == ({}, 0)
    assert not Run.objects.filter(pk=run_key("one")).exists()
    agrees()


def test_a_run_that_served_another_than_was_thought_counts_for_that_one_alone() -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    now = now_micros()
    said = span_run("one", start=now, end=now + 10**6, last=now + 10**6)
    for unit in ("ann", "bob", "cleo", "ann", "cleo"):
        variant = (("prompt-v2", arm_of(unit)),)
        tell(msgspec.structs.replace(said, user=unit, experiments=variant))
        found = ResultEvent.objects.filter(value__isnull=False)
        assert set(found.values_list("entity__key", "source__key", "value")) == {
            (unit, "success", 1), (unit, "error", 0), (unit, "latency", 2),
        }  # fmt: skip
        agrees()
    # So does one that calls others, whose results follow through the outbox.
    tell(span_run("below", parent_run_id="one", trace_id=b"\1" * 16, start=now, end=now, last=now))
    charge("below", "2")
    drain()
    before = ResultEvent.objects.in_bulk()
    found = ResultEvent.objects.filter(value__isnull=False).values_list("entity__key", "source__key", "value")
    assert set(found) == {
        ("cleo", "success", 1),
        ("cleo", "error", 0),
        ("cleo", "latency", 2),
        ("cleo", "cost", 2),
    }
    charge("below", "0", event_id="nothing")
    drain()
    assert ResultEvent.objects.in_bulk() == before
    agrees()


def test_a_run_that_was_cancelled_after_all_neither_failed_nor_went_well() -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    now = now_micros()
    variant = (("prompt-v2", arm_of("ann")),)
    said = span_run("one", user="ann", experiments=variant, start=now, end=now + 10**6, last=now + 10**6)
    tell(said)
    tell(msgspec.structs.replace(said, status="cancelled"))
    assert set(results()) == {"run:one:latency"}
    assert run_of("one").status == "cancelled"
    agrees()


def keys(count: int) -> list[UUID]:
    return [UUID(int=number + 1) for number in range(count)]


@st.composite
def forests(draw: st.DrawFn) -> dict[UUID, Node]:
    some = keys(draw(st.integers(1, 9)))
    return {
        key: Node(draw(st.sampled_from([None, *some, UUID(int=99)])), draw(st.sampled_from([None, "a", "b"])))
        for key in some
    }


@pytest.mark.once
@settings(max_examples=300, deadline=None)
@given(forests(), st.randoms(use_true_random=False))
def test_owners_are_a_function_of_the_runs(nodes: dict[UUID, Node], chooser: random.Random) -> None:
    found = owners(nodes)
    shuffled = list(nodes.items())
    chooser.shuffle(shuffled)
    assert owners(dict(shuffled)) == found
    for key, owner in found.items():
        assert found[owner] == owner
        assert nodes[owner].unit is not None
        if nodes[key].unit is not None:
            assert nodes[owner].unit == nodes[key].unit
    assert all(key in found for key, node in nodes.items() if node.unit is not None)


@pytest.mark.once
def test_owners_of_a_tree() -> None:
    a, b, c, d, e, f = keys(6)
    nodes: dict[Any, Node] = {
        a: Node(None, "ann"), b: Node(a, None), c: Node(b, "bob"), d: Node(c, "ann"),
        e: Node(c, None), f: Node(None, None),
    }  # fmt: skip
    assert owners(nodes) == {a: a, b: a, c: c, d: a, e: c}
    assert owners({a: Node(b, "ann"), b: Node(a, None)}) == {a: a, b: a}


@pytest.mark.parametrize(
    ("given", "unit"), [({"user": "bob"}, "bob"), ({"user": "bob", "unit": "cleo"}, "cleo")]
)
def test_a_run_that_the_api_gives_another_unit_afterwards_counts_for_that_one_alone(
    given: dict[str, str], unit: str
) -> None:
    running("prompt-v2", unit="user", metrics=METRICS)
    now = now_micros()
    said = span_run("one", start=now, end=now + 10**6, last=now + 10**6, latency=10**6)
    tell(msgspec.structs.replace(said, user="ann", experiments=(("prompt-v2", arm_of("ann")),)))
    charge("one", "2")
    drain()
    api = Api("ingest", "operations:read")
    assert api.post("/runs", {"agent": "bot", "run_id": "one", **given}).status_code == 201
    drain()
    found = ResultEvent.objects.filter(value__isnull=False).values_list("entity__key", "source__key", "value")
    assert set(found) == {
        (unit, "success", 1),
        (unit, "error", 0),
        (unit, "latency", 1),
        (unit, "cost", 2),
    }
    agrees()
    before = ResultEvent.objects.in_bulk()
    assert api.post("/runs", {"agent": "bot", "run_id": "one", **given}).status_code == 201
    drain()
    assert ResultEvent.objects.in_bulk() == before
