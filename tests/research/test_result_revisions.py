"""A higher revision of a result takes the place of a lower one, whatever the order; nothing is added twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agent_factory_site.common.models import AuditEvent
from research.domain.result_input import decode_result
from research.models import ResultEvent, ResultRevision, UnitMetric
from research.selectors.results import experiment_results
from research.services.check_results import check_results
from research.services.rebuild_results import recentre_sums
from research.services.record_results import RecordedResults, record_results
from tests.effort import examples
from tests.research.results_world import expose, make_experiment, result

pytestmark = pytest.mark.django_db


def record(*results: Any) -> RecordedResults:
    return record_results(experiment="prompt", results=results)


def estimates(metric: str) -> dict[str, tuple[int, float | None]]:
    found = next(each for each in experiment_results("prompt").metrics if each.metric.key == metric)
    return {arm.variant: (arm.n, arm.estimate) for arm in found.arms}


def agrees() -> None:
    assert [str(each) for each in check_results(experiment="prompt").listed] == []


def test_the_unit_has_the_new_value_and_not_the_sum() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    record(result("a", "rating", 2, "r1"), result("a", "rating", 4, "r2"), result("b", "clicks", 3, "c1"))
    outcome = record(
        result("a", "rating", 8, "r1", revision=1, minutes=70, covariate=1.5),
        result("b", "clicks", 5, "c1", revision=4),
    )
    assert (outcome.accepted, outcome.duplicates, outcome.rejected) == ([0, 1], [], {})
    unit = UnitMetric.objects.get(source__key="rating")
    assert (unit.count, unit.total, unit.largest, unit.last, unit.covariate) == (2, 12, 8, 8, 1.5)
    assert estimates("rating")["control"] == (1, 6)
    assert estimates("clicks")["control"] == (2, 2.5)
    agrees()
    old = ResultRevision.objects.get(event__event_id="r1")
    assert (old.revision, old.value, old.covariate) == (0, 2, None)
    batch = AuditEvent.objects.get(pk=old.replaced_by)
    assert batch.changes == {"experiment": str(row.id), "results": 2, "replaced": 2}
    assert ResultEvent.objects.get(event_id="r1").audit == batch.pk


def test_quantiles_and_proportions_follow() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    record(result("a", "latency", 10, "l1"), result("b", "success", 1, "s1"), result("a", "success", 1, "s2"))
    record(result("a", "latency", 500, "l1", revision=1), result("b", "success", 0, "s1", revision=1))
    n, estimate = estimates("latency")["control"]
    assert n == 1
    assert estimate == pytest.approx(500, rel=0.005)
    assert estimates("success")["control"] == (2, 0.5)
    agrees()


def test_a_lower_revision_changes_nothing_and_an_equal_one_only_repeats() -> None:
    row = make_experiment()
    expose(row, ["a"])
    record(result("a", "rating", 5, "r", revision=2))
    outcome = record(
        result("a", "rating", 1, "r"),
    )
    assert (outcome.accepted, outcome.duplicates, outcome.rejected) == ([], [0], {})
    assert record(result("a", "rating", 5, "r", revision=2)).duplicates == [0]
    refused = record(result("a", "rating", 6, "r", revision=2))
    assert [error.code for error in refused.rejected[0]] == ["event_conflict"]
    assert estimates("rating")["control"] == (1, 5)
    assert not ResultRevision.objects.exists()
    agrees()


def test_the_same_content_under_a_higher_revision_shuts_out_what_lies_between() -> None:
    row = make_experiment()
    expose(row, ["a"])
    record(result("a", "rating", 5, "r"))
    assert record(result("a", "rating", 5, "r", revision=3)).accepted == [0]
    assert record(result("a", "rating", 9, "r", revision=2)).duplicates == [0]
    assert estimates("rating")["control"] == (1, 5)
    agrees()


def test_of_several_revisions_in_a_batch_the_highest_counts() -> None:
    row = make_experiment()
    expose(row, ["a"])
    outcome = record(
        result("a", "rating", 1, "r"),
        result("a", "rating", 3, "r", revision=2),
        result("a", "rating", 2, "r", revision=1),
        result("a", "rating", 4, "r", revision=2),
    )
    assert (outcome.accepted, outcome.duplicates) == ([1], [0, 2])
    assert [error.code for error in outcome.rejected[3]] == ["event_conflict"]
    assert estimates("rating")["control"] == (1, 3)
    agrees()


def test_a_revision_stays_with_its_unit_and_its_metric() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    record(result("a", "rating", 1, "r"))
    outcome = record(
        result("b", "rating", 3, "r", revision=1),
    )
    assert [error.code for error in outcome.rejected[0]] == ["event_conflict"]
    outcome = record(result("a", "clicks", 3, "r", revision=1))
    assert [error.code for error in outcome.rejected[0]] == ["event_conflict"]
    assert estimates("rating")["control"] == (1, 1)
    agrees()


def test_units_left_out_keep_their_values_and_stay_out() -> None:
    row = make_experiment()
    expose(row, ["a"])
    expose(row, ["qa"], override=True)
    record(result("qa", "rating", 1, "q"), result("a", "rating", 2, "r"))
    record(result("qa", "rating", 7, "q", revision=1))
    assert UnitMetric.objects.get(entity__key="qa").total == 7
    assert estimates("rating")["control"] == (1, 2)
    agrees()


def test_a_result_is_taken_back_by_a_revision_without_a_value() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    record(
        result("a", "rating", 2, "r1"),
        result("a", "rating", 4, "r2"),
        result("a", "latency", 10, "l1"),
        result("a", "success", 1, "s1"),
    )
    assert record(result("a", "rating", None, "r1", revision=1)).accepted == [0]
    assert estimates("rating")["control"] == (1, 4)
    again = [
        result("a", name, None, event, revision=1) for name, event in (("rating", "r2"), ("latency", "l1"))
    ]
    assert record(*again, result("a", "success", None, "s1", revision=1)).accepted == [0, 1, 2]
    assert estimates("rating")["control"] == (0, None)
    assert estimates("latency")["control"] == (0, None)
    assert estimates("success")["control"] == (2, 0)
    assert not UnitMetric.objects.exists()
    agrees()
    # It may be said anew, by a higher revision.
    record(result("a", "rating", 5, "r1", revision=2))
    assert estimates("rating")["control"] == (1, 5)
    former = ResultRevision.objects.filter(event__event_id="r1").order_by("revision")
    assert list(former.values_list("revision", "value")) == [(0, 2), (1, None)]
    agrees()


def test_a_result_that_is_taken_back_before_it_comes_does_not_count() -> None:
    row = make_experiment()
    expose(row, ["a"])
    record(result("a", "rating", None, "r", revision=3))
    assert record(result("a", "rating", 5, "r", revision=2)).duplicates == [0]
    assert estimates("rating")["control"] == (0, None)
    agrees()
    refused = record(result("a", "rating", None, "other"))
    assert [(error.pointer, error.code) for error in refused.rejected[0]] == [("/value", "required")]


def test_a_unit_without_any_result_left_is_left_out_as_any_other() -> None:
    from research.services.leave_out import subtract_results

    row = make_experiment()
    expose(row, ["a", "b"])
    record(result("a", "latency", 5, "l1"), result("a", "latency", 7, "l2"), result("b", "latency", 9, "l3"))
    record(result("a", "latency", None, "l1", revision=1))
    unit = UnitMetric.objects.get(entity__key="a").entity_id
    subtract_results(experiment=row.id, entity=unit)
    assert estimates("latency")["control"][0] == 1


@pytest.mark.parametrize("revision", [-1, 2**31, 1.5, True, "1"])
def test_odd_revisions_are_refused(revision: object) -> None:
    text = {-1: "-1", 2**31: "2147483648", 1.5: "1.5", True: "true", "1": '"1"'}[revision]  # type: ignore[index]
    body = (
        '{"unit_id": "a", "metric": "rating", "value": 1, "event_id": "e", '
        f'"occurred_at": "2026-03-02T10:00:00Z", "revision": {text}}}'
    )
    found = decode_result(body.encode())
    assert isinstance(found, list)
    assert [(error.pointer, error.code) for error in found] == [("/revision", "bad_value")]


EVENTS = {
    "e1": ("a", "rating"),
    "e2": ("a", "rating"),
    "e3": ("b", "rating"),
    "e4": ("a", "clicks"),
    "e5": ("b", "latency"),
}


Sent = tuple[str, int, int | None]
"""An event, the revision of it and its value."""


@st.composite
def revisions(draw: st.DrawFn) -> tuple[list[Sent], list[int]]:
    values = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(sorted(EVENTS)), st.integers(0, 3)),
            st.integers(0, 1000) | st.none(),
            max_size=14,
        )
    )
    # The first that is said of a result is not that it is taken back.
    sent = [(event, rank, value if rank else value or 0) for (event, rank), value in values.items()]
    again = [draw(st.sampled_from(sent)) for _ in range(draw(st.integers(0, 4)))] if sent else []
    order = draw(st.permutations(sent + again))
    return order, draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))


class AnyOrder(TestCase):
    @settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(revisions())
    def test_any_order_and_any_batches_come_to_the_highest_revisions(
        self, world: tuple[list[Sent], list[int]]
    ) -> None:
        order, sizes = world
        row = make_experiment()
        expose(row, ["a", "b"])
        start = turn = 0
        while start < len(order):
            size = sizes[turn % len(sizes)]
            batch = [
                result(*EVENTS[event], value, event, revision=revision)
                for event, revision, value in order[start : start + size]
            ]
            assert record(*batch).rejected == {}
            start, turn = start + size, turn + 1
            if turn == 2:
                recentre_sums(experiment=row.id)
        highest: dict[str, tuple[int, int | None]] = {}
        for event, revision, value in order:
            if revision >= highest.get(event, (-1, 0))[0]:
                highest[event] = revision, value
        stored = {
            name: (revision, value)
            for name, revision, value in ResultEvent.objects.values_list("event_id", "revision", "value")
        }
        assert stored == highest
        ratings = [
            value for event, (_, value) in highest.items() if event in {"e1", "e2"} and value is not None
        ]
        units = UnitMetric.objects.filter(source__key="rating", entity__key="a")
        assert [(unit.count, unit.total) for unit in units] == [(len(ratings), sum(ratings))] * bool(ratings)
        agrees()
