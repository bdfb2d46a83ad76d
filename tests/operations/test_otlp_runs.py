"""Runs from spans: agents in agents, parents that come late or never, and who is charged for what."""

from __future__ import annotations

import pytest

from operations.telemetry.domain.known import KnownTrace, pack, unpack
from operations.telemetry.domain.reading import read_spans
from operations.telemetry.domain.runs import cost_event_id, derive_changes
from operations.telemetry.domain.spans import Span

from .otlp import NOON, SECOND, TRACE, Books, agent, chain, chat, derive, run_id, span, span_id, tool

pytestmark = pytest.mark.once


def wrapper(number: int, parent: int = 0, **rest: object) -> Span:
    """The agent span that nobody named, around the agent itself."""
    return span(
        {"openinference.span.kind": "AGENT"}, number=number, parent=parent, name="Agent workflow", **rest
    )


def take(*batches: list[Span]) -> Books:
    books = Books()
    for batch in batches:
        books.take(read_spans(batch))
    return books


def costs(books: Books) -> dict[int, tuple[str, str]]:
    """Run and agent by the number of the span that is charged."""
    return {int(event[-16:], 16): (where, who) for event, (where, who, _) in books.costs.items()}


def test_a_run_with_calls_and_tools() -> None:
    spans = [
        agent(1, end=2000),
        chat(2, 1, start=100, end=500),
        tool(3, 1),
        chat(4, 1, start=600, tokens=0, status=2),
    ]
    changes = derive(*spans)
    (run,) = changes.runs
    assert (run.run_id, run.agent, run.status, run.seen) == (run_id(1), "support", "ok", True)
    assert (run.start, run.end, run.latency) == (NOON, NOON + 2 * SECOND, 2 * SECOND)
    assert (run.calls, run.failed_calls, run.tool_calls) == (2, 1, 1)
    assert [(step.reading.kind, step.run_id, step.counted) for step in changes.steps] == [
        ("inference", run_id(1), True), ("tool", run_id(1), True), ("inference", run_id(1), True),
    ]  # fmt: skip
    (charge,) = changes.charges
    assert (charge.event_id, charge.run_id, charge.agent, charge.settled) == (
        f"{TRACE.hex()}-{span_id(2).hex()}", run_id(1), "support", True,
    )  # fmt: skip


def test_two_agents_in_a_trace_are_two_runs() -> None:
    changes = derive(chain(1), agent(2, 1), agent(3, 1, "billing", status=2), chat(4, 2), chat(5, 3))
    assert {run.run_id: (run.agent, run.status, run.parent_run_id) for run in changes.runs} == {
        run_id(2): ("support", "ok", ""),
        run_id(3): ("billing", "error", ""),
    }
    assert [(one.run_id, one.agent) for one in changes.charges] == [
        (run_id(2), "support"),
        (run_id(3), "billing"),
    ]


def test_an_agent_called_by_an_agent_is_a_child_run() -> None:
    changes = derive(
        agent(1), tool(2, 1, "ask_billing"), agent(3, 2, "billing"), chain(4, 3), chat(5, 4), chat(6, 1)
    )
    assert {run.run_id: run.parent_run_id for run in changes.runs} == {run_id(1): "", run_id(3): run_id(1)}
    assert [one.run_id for one in changes.charges] == [run_id(3), run_id(1)]


def test_an_agent_that_calls_itself_through_a_tool_is_a_child_run() -> None:
    changes = derive(agent(1), tool(2, 1), agent(3, 2))
    assert {run.run_id: run.parent_run_id for run in changes.runs} == {run_id(1): "", run_id(3): run_id(1)}


def test_agent_spans_in_each_other_for_one_run() -> None:
    (run,) = derive(agent(1), chain(2, 1), agent(3, 2), chat(4, 3)).runs
    assert (run.run_id, run.calls) == (run_id(1), 1)
    call = {"gen_ai.agent.call.id": "c-1"}
    (run,) = derive(agent(1, attributes=call), tool(2, 1), agent(3, 2, "renamed", attributes=call)).runs
    assert (run.run_id, run.agent) == (run_id(1), "support")
    (run,) = derive(agent(1), wrapper(2, 1, status=2), chat(3, 2)).runs
    assert (run.run_id, run.status) == (run_id(1), "error")


def test_a_nameless_agent_around_a_named_one_is_the_same_run_with_the_name_and_status_of_the_inner() -> None:
    spans = [
        wrapper(1, status=1),
        chain(2, 1),
        agent(3, 2, status=2, attributes={"error.type": "Limit"}),
        chat(4, 2),
    ]
    changes = derive(*spans)
    (run,) = changes.runs
    assert (run.run_id, run.agent, run.status, run.error_type) == (run_id(3), "support", "error", "Limit")
    assert (run.calls, run.parent_run_id) == (1, "")
    assert changes.charges[0].run_id == run_id(3)


def test_what_the_nameless_says_of_the_end_is_said_of_the_last_agent_inside() -> None:
    spans = [wrapper(1, status=2), agent(2, 1, "triage", end=500), agent(3, 1, "billing", start=500)]
    changes = derive(*spans)
    assert {run.agent: (run.status, run.parent_run_id) for run in changes.runs} == {
        "triage": ("ok", ""),
        "billing": ("error", ""),
    }


def test_an_error_in_a_call_or_a_tool_is_not_yet_a_failed_run() -> None:
    (run,) = derive(agent(1), tool(2, 1, status=2), chat(3, 1, tokens=0, status=2)).runs
    assert (run.status, run.failed_calls) == ("ok", 1)


def test_children_before_their_agent_and_a_chain_between() -> None:
    books = take([chat(4, 3)], [chain(3, 2)], [agent(2)])
    assert costs(books) == {4: (run_id(2), "support")}
    assert list(books.runs) == [(run_id(2), TRACE)]
    changes = books.take(read_spans([chat(5, 3)]))
    assert [(one.run_id, one.settled) for one in changes.charges] == [(run_id(2), True)]


def test_a_call_is_unsettled_until_its_agent_is_known() -> None:
    books = Books()
    first = books.take(read_spans([chat(4, 3)]))
    assert [(one.run_id, one.agent, one.settled) for one in first.charges] == [("", "", False)]
    second = books.take(read_spans([chain(3, 2), agent(2)]))
    (moved,) = second.moved
    assert (moved.span_id, moved.from_run_id, moved.to_run_id, moved.to_agent, moved.charged) == (
        span_id(4), "", run_id(2), "support", True,
    )  # fmt: skip


def test_a_call_that_names_its_agent_stands_under_the_run_whose_span_is_still_to_come() -> None:
    named = {"gen_ai.agent.name": "support"}
    books = take([chat(2, 1, attributes=named, start=100, end=700)])
    run = books.runs[run_id(1), TRACE]
    assert (run.agent, run.status, run.seen, run.end, run.latency) == (
        "support",
        "running",
        False,
        None,
        None,
    )
    assert (run.start, run.last) == (NOON + SECOND // 10, NOON + 7 * SECOND // 10)
    changes = books.take(read_spans([agent(1, status=2)]))
    assert not changes.moved
    run = books.runs[run_id(1), TRACE]
    assert (run.status, run.start, run.end) == ("error", NOON, NOON + SECOND)
    assert costs(books) == {2: (run_id(1), "support")}


def test_a_run_moves_up_when_what_was_missing_is_no_agent() -> None:
    named = {"gen_ai.agent.name": "support"}
    books = take([chat(3, 2, attributes=named)])
    changes = books.take(read_spans([chain(2, 1)]))
    assert changes.gone == {run_id(2): run_id(1)}
    assert costs(books) == {3: (run_id(1), "support")}
    assert list(books.runs) == [(run_id(1), TRACE)]


def test_a_nameless_agent_gives_way_to_the_named_one_that_comes_after() -> None:
    books = take([wrapper(1), chat(3, 2)])
    assert books.runs[run_id(1), TRACE].agent == "Agent workflow"
    changes = books.take(read_spans([agent(2, 1)]))
    assert changes.gone == {run_id(1): run_id(2)}
    assert changes.agents_gone == {"Agent workflow"}
    assert costs(books) == {3: (run_id(2), "support")}


def test_calls_outside_any_agent_are_charged_to_no_run() -> None:
    changes = derive(chain(1), chat(2, 1), chat(3, 9))
    assert not changes.runs
    assert [(one.run_id, one.agent, one.settled) for one in changes.charges] == [
        ("", "", True),
        ("", "", False),
    ]


def test_web_requests_of_a_service_that_names_its_agent_are_no_runs() -> None:
    resource = {"gen_ai.agent.name": "support"}
    assert not derive(span({"http.request.method": "GET"}, resource=resource, name="GET")).runs
    (run,) = derive(span({}, resource=resource), chat(2, 1, resource=resource)).runs
    assert (run.agent, run.status, run.calls) == ("support", "ok", 1)


def test_a_call_around_a_call_is_charged_once_whichever_comes_first() -> None:
    outer, inner = chat(2, 1, tokens=1200), chat(3, 2, tokens=1200)
    for batches in ([[outer, inner]], [[inner], [outer]], [[outer], [inner]]):
        books = take([agent(1)], *batches)
        assert costs(books) == {3: (run_id(1), "support")}
        assert books.runs[run_id(1), TRACE].calls == 1
    changes = derive_changes(read_spans([inner]), {TRACE: derive(agent(1), outer).traces[TRACE]})
    assert [(one.event_id, one.run_id) for one in changes.withdrawn] == [
        (cost_event_id(TRACE, span_id(2)), run_id(1))
    ]


def test_a_call_inside_a_tool_inside_a_call_is_another_call() -> None:
    assert len(derive(chat(1), tool(2, 1), chat(3, 2)).charges) == 2
    embedding = span(
        {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 5}, number=2, parent=1
    )
    assert len(derive(chat(1), embedding).charges) == 2


TOTAL = {"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 340}


def test_totals_are_never_charged_and_said_where_there_is_nothing_else() -> None:
    changes = derive(agent(1, attributes=TOTAL), chain(2, 1), chat(3, 2))
    assert [one.reading.span_id for one in changes.charges] == [span_id(3)]
    assert changes.runs[0].total_without_calls is False
    changes = derive(agent(1, attributes=TOTAL), tool(2, 1))
    assert not changes.charges
    assert changes.runs[0].total_without_calls is True


def test_calls_that_do_not_say_what_they_used_are_counted() -> None:
    (run,) = derive(agent(1), chat(2, 1, tokens=0), chat(3, 1, tokens=0, status=2), chat(4, 1)).runs
    assert (run.calls, run.failed_calls, run.calls_without_usage) == (3, 1, 1)


def test_a_stream_and_its_log_are_one_call_charged_once() -> None:
    log = span(
        {
            "gen_ai.request.model": "gpt-4o", "gen_ai.system": "openai", "logfire.span_type": "log",
            "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 1,
        },
        number=3, parent=1, start=900, end=900,
    )  # fmt: skip
    changes = derive(agent(1), chat(2, 1, tokens=0), log)
    assert [one.reading.span_id for one in changes.charges] == [span_id(3)]
    assert (changes.runs[0].calls, changes.runs[0].calls_without_usage) == (1, 0)


def test_one_tool_call_told_by_client_and_server_is_counted_once() -> None:
    changes = derive(agent(1), tool(2, 1), tool(3, 2), tool(4, 2, "other"))
    assert [step.counted for step in changes.steps] == [True, False, True]
    assert changes.runs[0].tool_calls == 2


def test_runs_by_the_id_that_spans_give() -> None:
    given = {"agent_factory.run.id": "r-1"}
    (run,) = derive(agent(1, attributes=given), chat(2, 1, attributes=given), chat(3, 1)).runs
    assert (run.run_id, run.given, run.seen, run.calls) == ("r-1", True, True, 2)
    (run,) = derive(chat(2, 9, attributes=given), chat(3, 9, attributes=given)).runs
    assert (run.run_id, run.given, run.seen, run.status, run.calls) == ("r-1", True, False, "running", 2)
    (run,) = derive(span({**given, "agent_factory.agent": "support"}, status=2), chat(2, 1)).runs
    assert (run.run_id, run.agent, run.status, run.calls) == ("r-1", "support", "error", 1)
    runs = {run.run_id: run for run in derive(agent(1), chat(2, 1, attributes=given)).runs}
    assert (runs[run_id(1)].calls, runs["r-1"].calls) == (0, 1)


def test_holds_experiments_sessions_and_users_reach_the_run_and_its_costs() -> None:
    root = {"agent_factory.hold.id": "h-1", "agent_factory.experiment.prompt": "b", "user.id": "u-0"}
    own = {"agent_factory.experiment.tone": "warm", "user.id": "u-1", "service.version": "2"}
    late = {"agent_factory.experiment.tone": "cold", "agent_factory.hold.id": "h-2", "session.id": "s-1"}
    changes = derive(span(root), agent(2, 1, attributes=own), chat(3, 2), chat(4, 2, attributes=late))
    (run,) = changes.runs
    assert run.experiments == (("prompt", "b"), ("tone", "warm"))
    assert (run.user, run.session, run.release, run.hold_id) == ("u-1", "s-1", "2", "")
    assert [one.hold_id for one in changes.charges] == ["h-1", "h-2"]


def test_the_first_token_of_a_run_is_that_of_its_first_call_that_has_one() -> None:
    first = {"gen_ai.response.time_to_first_chunk": 0.2}
    calls = [
        chat(2, 1, start=100, end=200),
        chat(3, 1, start=300, attributes=first),
        chat(4, 1, start=600, attributes=first),
    ]
    assert derive(agent(1), *calls).runs[0].first_token == SECOND // 2
    early = chat(2, 1, start=-9000, end=-8000, attributes=first)
    assert derive(agent(1), early).runs[0].first_token is None


def test_a_child_with_another_clock_changes_no_latency_of_the_run() -> None:
    (run,) = derive(agent(1), chat(2, 1, start=-3_600_000, end=7_200_000)).runs
    assert (run.start, run.end, run.latency) == (NOON, NOON + SECOND, SECOND)
    assert run.last == NOON + 7200 * SECOND


def test_spans_that_are_each_others_parents_are_still_charged() -> None:
    changes = derive(chat(1, 2), chain(2, 1), chat(3, 3))
    assert sorted(one.reading.span_id for one in changes.charges) == [span_id(1), span_id(3)]


def test_a_repeated_span_changes_nothing_not_even_with_other_content() -> None:
    books = take([agent(1), chat(2, 1)])
    told = repr(books.told())
    changes = books.take(read_spans([chat(2, 1, tokens=999), agent(1, 0, "other")]))
    assert (changes.duplicates, changes.runs, changes.steps, changes.charges, changes.traces) == (
        2,
        [],
        [],
        [],
        {},
    )
    assert repr(books.told()) == told


def test_what_is_remembered_survives_being_packed() -> None:
    trace = derive(agent(1, attributes={"agent_factory.experiment.a": "b"}), chat(2, 1), tool(3, 1)).traces[
        TRACE
    ]
    packed = pack(trace.spans)
    assert unpack(TRACE, packed) == trace
    assert len(packed) < 200 * len(trace.spans)


def test_spans_beyond_what_is_remembered_are_placed_by_their_parents() -> None:
    known: dict[bytes, KnownTrace] = {TRACE: derive(agent(1), chat(2, 1)).traces[TRACE]}
    changes = derive_changes(read_spans([chat(3, 1), chat(4, 1), chat(5, 9), chat(2, 1)]), known, max_spans=3)
    assert (changes.unremembered, changes.duplicates) == (2, 1)
    assert [(one.reading.span_id, one.run_id) for one in changes.charges] == [
        (span_id(3), run_id(1)), (span_id(4), run_id(1)), (span_id(5), ""),
    ]  # fmt: skip
    assert len(changes.traces[TRACE].spans) == 3


def test_ten_thousand_spans_in_each_other() -> None:
    spans = [chat(number, number - 1) for number in range(1, 10_001)]
    changes = derive(*spans)
    assert [one.reading.span_id for one in changes.charges] == [span_id(10_000)]
    agents = [agent(number, number - 1, f"agent-{number % 7}") for number in range(1, 2001)]
    assert len(derive(*agents).runs) == 2000
    nameless = [wrapper(number, number - 1) for number in range(1, 2001)]
    (run,) = derive(*nameless, agent(2001, 2000)).runs
    assert run.run_id == run_id(2001)


def test_thousands_of_agents_at_the_bottom_of_thousands_of_spans() -> None:
    deep = [chain(number, number - 1) for number in range(1, 4000)]
    agents = [agent(number, 3999, f"agent-{number}") for number in range(4000, 8000)]
    runs = derive(*deep, *agents).runs
    assert {run.parent_run_id for run in runs} == {""}
    nameless = [wrapper(number, number - 1) for number in range(1, 4000)]
    assert [run.status for run in derive(*nameless, *agents).runs] == ["ok"] * 4000
