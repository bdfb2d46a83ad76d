"""Runs as traces tell of them: whole values that replace what was said before, in whatever order."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from django.db import transaction
from django.db.models import Sum

from operations.fleet.domain.redaction import redact
from operations.fleet.domain.run_said import combine, pack, unpack
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import Run, RunDay, RunLatency, RunMinute, RunPart, RunVariant, Step, run_key
from operations.fleet.services.record_steps import MovedStep, move_steps, record_steps
from tests.research.experiment_setup import running

from .fleet_world import TRACE, Api, now_micros, results, run_of, span_run, tell

pytestmark = pytest.mark.django_db(transaction=True)


def counted() -> dict[str, int]:
    names = ("started", "ended", "failed", "calls", "latency")
    return {
        name: value or 0
        for name, value in RunDay.objects.aggregate(**{one: Sum(one) for one in names}).items()
    }


def test_a_run_told_again_replaces_what_was_said():
    first = span_run(status="running", seen=False, end=None, latency=None)
    tell(first)
    assert (run_of(first.run_id).status, run_of(first.run_id).provisional) == ("running", True)
    whole = span_run(calls=3, start=first.start)
    tell(whole)
    changed = tell(whole)
    assert changed.changed == {}
    row = run_of(first.run_id)
    assert (row.status, row.provisional, row.calls, row.latency, row.revision) == (
        "ok",
        False,
        3,
        2_000_000,
        2,
    )
    assert (row.costs_from, RunPart.objects.count()) == ("spans", 0)
    assert counted() == {"started": 1, "ended": 1, "failed": 0, "calls": 3, "latency": 2_000_000}


def test_a_run_that_turned_out_to_be_none_is_taken_back():
    said = span_run()
    tell(said)
    tell(gone=[(said.run_id, TRACE)])
    assert Run.objects.count() == 0
    assert counted() == {"started": 0, "ended": 0, "failed": 0, "calls": 0, "latency": 0}
    assert RunMinute.objects.aggregate(Sum("started"))["started__sum"] == 0
    assert RunLatency.objects.filter(tier=3600).aggregate(Sum("runs"))["runs__sum"] == 0


def test_several_traces_and_the_api_tell_of_one_run_in_any_order():
    api = Api("ingest", "operations:read")
    parts = [
        span_run(
            "shared", shared=True,
            start=1_767_225_600_000_000, end=1_767_225_601_000_000, last=1_767_225_601_000_000,
        ),
        span_run(
            "shared", shared=True, trace_id=b"\1" * 16, status="failed", error_type="Boom",
            start=1_767_225_602_000_000, end=1_767_225_604_000_000, last=1_767_225_604_000_000, calls=2,
        ),
    ]  # fmt: skip
    seen = set()
    for number, order in enumerate(permutations([0, 1, 2])):
        run_id = f"shared-{number}"
        for place in order:
            if place == 2:
                body = {"agent": "bot", "run_id": run_id, "user": "ann", "started_at": "2026-01-01T00:00:00Z"}
                assert api.post("/runs", body).status_code == 201
            else:
                tell(msgspec.structs.replace(parts[place], run_id=run_id))
        row = run_of(run_id)
        seen.add((row.status, row.error_type, row.calls, row.latency, row.source, row.user.key))
    assert seen == {("failed", "Boom", 3, 4_000_000, "api", "ann")}
    tell(gone=[("shared-0", TRACE)])
    assert run_of("shared-0").calls == 2


def test_spans_first_then_the_api_keep_both():
    """The row of a run of one trace says it all until another source comes."""
    api = Api("ingest", "operations:read")
    said = span_run("late", session="s-1")
    tell(said)
    response = api.post("/runs/late/finish", {"status": "ok", "scores": {"fine": 1}})
    assert response.status_code == 200, response.content
    row = run_of("late")
    assert (row.status, row.session, row.scores, row.calls) == ("ok", "s-1", {"fine": 1}, 1)
    assert RunPart.objects.filter(run=row.pk).count() == 2


def test_parts_combine_whatever_their_order():
    parts = [span_run("x", shared=True), span_run("x", trace_id=b"\1" * 16, scores={"a": 1.0}, shared=True)]
    assert combine(parts) == combine(parts[::-1])
    assert unpack(pack(parts[1])) == parts[1]


def test_steps_are_stored_once_and_move_with_what_they_add():
    tell(span_run("a"), span_run("b", trace_id=b"\1" * 16))
    step = StepSaid(
        run_id="a", kind="inference", start=1_767_225_600_000_000, trace_id=TRACE, span_id=b"\0" * 7 + b"\2",
        tool="search", reported_cost=7, other_cost=5,
    )  # fmt: skip
    with transaction.atomic():
        assert len(record_steps(steps=[step, step])) == 1
        assert record_steps(steps=[step]) == set()
    row = run_of("a")
    assert (row.steps, row.reported_cost, row.other_cost, row.under_reported) == (1, 7, 5, True)
    with transaction.atomic():
        move_steps(moved=[MovedStep(TRACE, step.span_id, "a", "b")])
    a, b = run_of("a"), run_of("b")
    assert (a.steps, a.reported_cost, a.other_cost, a.under_reported) == (0, 0, 0, False)
    assert (b.steps, b.reported_cost, b.other_cost) == (1, 7, 5)
    assert Step.objects.get().run_id == run_key("b")
    assert Step.objects.get().tool.key == "search"


def test_variants_in_spans_expose_their_units_and_bring_results():
    experiment = running("prompt-v2", unit="user")
    from research.models import Assignment
    from research.services.assign import assign_unit

    arm = assign_unit(experiment="prompt-v2", unit="ann", attributes={}, expose=False).decision.arm
    assert arm is not None
    now = now_micros()
    said = span_run(
        user="ann",
        experiments=(("prompt-v2", arm.key), ("unknown", "x")),
        start=now,
        end=now + 500_000,
        last=now + 500_000,
        latency=500_000,
    )
    tell(said)
    assert Assignment.objects.get(experiment=experiment).entity.key == "ann"
    name = f"run:{said.run_id}"
    assert results() == {f"{name}:success": 1, f"{name}:error": 0, f"{name}:latency": 0.5}
    tell(msgspec.structs.replace(said, status="failed"))
    assert results() == {f"{name}:success": 0, f"{name}:error": 1, f"{name}:latency": 0.5}
    assert RunVariant.objects.filter(unit__isnull=True).get().experiment == "unknown"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain words of 12 people", "plain words of 12 people"),
        ("card 4111 1111 1111 1111 ok", "card [card number] ok"),
        ("order 4111 1111 1111 1112", "order 4111 1111 1111 1112"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer [secret]"),
        ('{"password": "hunter22"}', '{"password": "[secret]"}'),
        ("call +49 30 1234567 now", "call [telephone number] now"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN [account number]"),
    ],
)
def test_secrets_and_numbers_of_people_are_taken_out(text, kept):
    assert redact(text) == kept
