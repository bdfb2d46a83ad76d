"""Verdicts: what may be shipped, what must be rolled back, what to wait for, and when not to read results at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from research.domain.statistics.comparison import compare_all, correct
from research.domain.statistics.health import Balance, DoubleExposure
from research.domain.statistics.moments import Moments
from research.domain.statistics.results import ArmData, Metric, MetricResult, Settings
from research.domain.statistics.spending import Spending
from research.domain.statistics.srm import SampleRatio, sample_ratio
from research.domain.statistics.verdict import Health, Progress, Verdict, breaches, decide, units_needed

pytestmark = pytest.mark.once

SUCCESS = Metric("success", "proportion", role="primary", mde=0.02)
COST = Metric("cost", "mean", "decrease", role="guardrail", margin=0.1, margin_scale="relative")
CLEAN = Health(sample_ratio([20_000, 20_000], [0.5, 0.5]))
LATE = Progress(True, 40_000, runtime_days=14, minimum_days=7, units_per_day=2000)


def _results(
    successes: dict[str, int], costs: dict[str, float], settings: Settings, n: int = 20_000
) -> list[MetricResult]:
    shares = [ArmData(v, Moments(n, 0.0, float(count), float(count))) for v, count in successes.items()]
    means = [ArmData(v, Moments(n, mean, 0.0, float(n - 1))) for v, mean in costs.items()]
    return correct([compare_all(SUCCESS, shares, settings), compare_all(COST, means, settings)], settings)


def _verdict(
    b: int,
    cost: float,
    progress: Progress = LATE,
    settings: Settings | None = None,
    health: Health = CLEAN,
) -> Verdict:
    settings = settings or Settings()
    return decide(_results({"a": 4000, "b": b}, {"a": 1.0, "b": cost}, settings), health, progress, settings)


def test_ship_needs_the_primary_the_guardrails_and_the_runtime() -> None:
    found = _verdict(4600, 1.0)
    assert (found.code, found.variant, found.more_units) == ("ship", "b", None)
    assert found.text.startswith("Ship b. b is better than a: +0.03 (95 % interval ")


@pytest.mark.parametrize("engine", ["fixed", "sequential", "group_sequential", "bayesian"])
def test_every_engine_can_ship_and_roll_back(engine: str) -> None:
    settings = Settings(engine=engine, looks=(0.5, 1.0), final_look=True)  # type: ignore[arg-type]
    assert _verdict(4600, 1.0, settings=settings).code == "ship"
    worse = _verdict(3400, 1.0, settings=settings)
    assert worse.code == "roll_back"
    assert worse.text == "Stay with a: b is worse on success."


def test_a_breached_guardrail_rolls_back_even_before_the_runtime_is_over() -> None:
    found = _verdict(4600, 1.3, replace(LATE, runtime_days=1))
    assert (found.code, found.text) == ("roll_back", "Stay with a: b breaches the guardrail cost.")
    results = _results({"a": 4000, "b": 4600}, {"a": 1.0, "b": 1.3}, Settings())
    assert breaches(results) == [("cost", "b")]
    assert breaches(_results({"a": 4000, "b": 4600}, {"a": 1.0, "b": 1.1}, Settings())) == []


def test_a_guardrail_that_is_open_keeps_it_running() -> None:
    found = _verdict(4600, 1.09)
    assert found.code == "keep_running"
    assert found.blockers == ("b has not been shown to keep the guardrail cost",)


def test_the_minimum_runtime_is_waited_for() -> None:
    found = _verdict(4600, 1.0, replace(LATE, runtime_days=4.5))
    assert (found.code, found.days) == ("keep_running", 3)
    assert found.text == "Keep running: it has run 4.5 of at least 7 days; about 3 days."


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (Health(sample_ratio([20_600, 19_400], [0.5, 0.5])), "shares of units"),
        (
            replace(CLEAN, double_exposure=DoubleExposure(0.02, False)),
            "2.0% of the units were seen in two variants",
        ),
        (replace(CLEAN, balance=Balance(1e-5, False, 20.0, 0.1)), "differed before the exposure"),
    ],
)
def test_an_unhealthy_experiment_is_not_read(health: Health, words: str) -> None:
    found = _verdict(4600, 1.0, health=health)
    assert found.code == "unhealthy"
    assert words in found.text


def test_nothing_is_decided_before_the_start() -> None:
    assert _verdict(4600, 1.0, replace(LATE, started=False)).code == "not_started"
    assert _verdict(4600, 1.0, replace(LATE, units=0)).code == "not_started"
    empty = _results({"a": 0, "b": 0}, {"a": 1.0, "b": 1.0}, Settings(), n=20)
    found = decide(empty, Health(SampleRatio(None, True, None, 1)), Progress(True, 40, 9, 7), Settings())
    assert found.code == "keep_running"
    assert "no unit of either arm has had this event" in found.text


def test_keep_running_says_for_how_long() -> None:
    settings = Settings()
    results = _results({"a": 400, "b": 404}, {"a": 1.0, "b": 1.0}, settings, n=2000)
    total = units_needed(results[0].comparisons[0], settings)
    assert total is not None
    # With 2 x 0.16 / n of squared error, 0.02 is (c + 0.84) errors at about n per arm.
    assert 2 * 12_000 < total < 2 * 14_500
    found = decide(results, CLEAN, Progress(True, 4000, 9, 7, 500), settings)
    assert (found.code, found.more_units, found.days) == (
        "keep_running",
        total - 4000,
        -(-(total - 4000) // 500),
    )
    assert f"about {total - 4000:,} more units, about {found.days} days" in found.text


def test_what_has_ended_is_not_told_to_run_on() -> None:
    settings = Settings()
    results = _results({"a": 400, "b": 404}, {"a": 1.0, "b": 1.0}, settings, n=2000)
    found = decide(results, CLEAN, Progress(True, 4000, 9, 7, 500, ended=True), settings)
    assert found.code == "keep_running"
    assert found.text == (
        "It ended with this open: b has not been shown to be better on success; b has not been shown to keep the "
        f"guardrail cost; it would have taken about {found.more_units:,} more units, about {found.days} days."
    )


def test_an_effect_that_is_not_there_is_given_up_once_it_would_have_shown() -> None:
    found = _verdict(4010, 1.0)
    assert found.code == "roll_back"
    assert found.text == (
        "Stay with a: b has the units that would show the effect asked for, and has not shown it."
    )


def test_a_fixed_horizon_counts_only_at_its_planned_size() -> None:
    settings = Settings(engine="fixed")
    results = _results({"a": 200, "b": 260}, {"a": 1.0, "b": 1.0}, settings, n=1000)
    assert results[0].comparisons[0].outcome == "better"
    found = decide(results, CLEAN, Progress(True, 2000, 9, 7, 500), settings)
    assert found.code == "keep_running"
    assert "success of b counts only at the planned number of units" in found.text


def test_the_best_of_several_arms_is_shipped_and_waiting_scales_to_all_arms() -> None:
    settings = Settings()
    costs = dict.fromkeys("abcd", 1.0)
    results = _results({"a": 4000, "b": 4500, "c": 4700, "d": 3500}, costs, settings)
    health = Health(sample_ratio([20_000] * 4, [0.25] * 4))
    assert decide(results, health, replace(LATE, units=80_000), settings).variant == "c"
    small = _results({"a": 400, "b": 404, "c": 402}, dict.fromkeys("abc", 1.0), settings, n=2000)
    found = decide(small, CLEAN, Progress(True, 6000, 9, 7, 500), settings)
    pair = units_needed(small[0].comparisons[0], settings)
    assert pair is not None
    assert found.more_units == pytest.approx((pair - 4000) * 1.5, rel=0.02)


def test_a_guardrail_without_any_event_holds_nothing_up() -> None:
    errors = Metric("error", "proportion", "decrease", role="guardrail", margin=0.01)
    arms = [ArmData(v, Moments(20_000)) for v in "ab"]
    settings = Settings()
    results = [
        *_results({"a": 4000, "b": 4600}, {"a": 1.0, "b": 1.0}, settings),
        compare_all(errors, arms, settings),
    ]
    assert results[-1].comparisons[0].undefined == "no_events"
    assert decide(results, CLEAN, LATE, settings).code == "ship"


def test_a_few_units_breach_nothing_and_may_still_prove_a_margin() -> None:
    metric = replace(COST, margin=2.0)
    arms = [ArmData(v, Moments(20, mean, 0.0, 1.0)) for v, mean in (("a", 1.0), ("b", 1.1), ("c", 9.0))]
    made = compare_all(metric, arms, Settings(engine="fixed")).comparisons
    assert [one.guardrail.state for one in made] == ["held", "open"]  # type: ignore[union-attr]


def test_a_design_of_looks_waits_for_its_own_units() -> None:
    """Those of the fixed horizon, times what looking costs (1.02 and 1.23 for five looks; Jennison & Turnbull 2000)."""
    needed = {}
    for name in ("obrien_fleming", "pocock"):
        settings = Settings(engine="group_sequential", looks=(0.8,), planned_looks=5, spending=Spending(name))
        one = _results({"a": 400, "b": 404}, {"a": 1.0, "b": 1.0}, settings, n=2000)[0].comparisons[0]
        needed[name] = units_needed(one, settings)
    fixed = Settings(engine="fixed")
    one = _results({"a": 400, "b": 404}, {"a": 1.0, "b": 1.0}, fixed, n=2000)[0].comparisons[0]
    alone = units_needed(one, fixed)
    assert alone is not None
    assert needed["obrien_fleming"] == pytest.approx(1.02 * alone, rel=0.01)
    assert needed["pocock"] == pytest.approx(1.22 * alone, rel=0.01)


def test_between_looks_nothing_is_given_up_and_after_the_last_one_all_that_has_not_shown() -> None:
    # More units than a fixed horizon would need, fewer than five looks by Pocock's boundaries.
    settings = Settings(engine="group_sequential", looks=(0.9,), planned_looks=5, spending=Spending("pocock"))
    results = _results({"a": 1400, "b": 1405}, {"a": 1.0, "b": 1.0}, settings, n=7000)
    found = decide(results, CLEAN, replace(LATE, units=14_000), settings)
    assert found.code == "keep_running"
    assert found.more_units is not None
    last = replace(settings, looks=(0.9, 0.95), final_look=True)
    results = _results({"a": 1400, "b": 1405}, {"a": 1.0, "b": 1.0}, last, n=7000)
    found = decide(results, CLEAN, replace(LATE, units=14_000), last)
    assert (found.code, found.text) == (
        "roll_back",
        "Stay with a: b has not been shown to be better by the last look.",
    )


LAST = Settings(engine="group_sequential", looks=(0.5, 1.0), final_look=True)


def test_what_is_open_at_the_last_look_is_not_waited_for() -> None:
    found = _verdict(4600, 1.09, settings=LAST)
    assert (found.code, found.text, found.more_units, found.days) == (
        "roll_back",
        "Stay with a: b has not been shown to keep the guardrail cost by the last look.",
        None,
        None,
    )
    assert _verdict(4600, 1.09, settings=replace(LAST, final_look=False)).code == "keep_running"
    empty = _results({"a": 0, "b": 0}, {"a": 1.0, "b": 1.0}, LAST)
    found = decide(empty, CLEAN, LATE, LAST)
    assert found.code == "roll_back"
    assert found.text.startswith(
        "Stay with a: success of b cannot be judged by the last look, as no unit of either arm has had this event"
    )


def test_after_the_last_look_only_the_runtime_is_waited_for() -> None:
    early = replace(LATE, runtime_days=4.5)
    for successes, cost in ((4600, 1.0), (4600, 1.09), (4010, 1.0)):
        found = _verdict(successes, cost, early, LAST)
        assert (found.code, found.text) == (
            "keep_running",
            "Keep running: it has run 4.5 of at least 7 days; about 3 days.",
        )
    found = _verdict(4600, 1.0, replace(early, ended=True), LAST)
    assert found.text == (
        "It ended with this open: it ran 4.5 of at least 7 days; it would have taken about 3 more days."
    )


def test_one_unit_more_is_one_unit() -> None:
    settings = Settings(engine="fixed")
    for n in range(6200, 6600):
        results = _results({"a": 1300, "b": 1301}, {"a": 1.0, "b": 1.0}, settings, n=n)
        total = units_needed(results[0].comparisons[0], settings)
        assert total is not None
        if total - 2 * n == 1:
            break
    found = decide(results, CLEAN, replace(LATE, units=2 * n), settings)
    assert found.more_units == 1
    assert "; about 1 more unit, about 1 day." in found.text
