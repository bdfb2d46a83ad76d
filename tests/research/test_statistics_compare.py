"""Comparisons: the engine decides, the absolute effect counts, and what is undefined is said and never numbered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from research.domain.statistics.bayesian import NormalPrior
from research.domain.statistics.comparison import compare, compare_all, correct
from research.domain.statistics.moments import Moments, moments_of
from research.domain.statistics.noninferiority import Guardrail
from research.domain.statistics.quantiles import quantile_of
from research.domain.statistics.results import ArmData, Comparison, Metric, Settings
from research.domain.statistics.sequential import critical_value
from research.domain.statistics.values import Engine, Kind

pytestmark = pytest.mark.once

ENGINES: tuple[Engine, ...] = ("fixed", "sequential", "group_sequential", "bayesian")
LOOKS = (0.2, 0.4, 0.6)


def _shares(variant: str, events: int, n: int) -> ArmData:
    return ArmData(variant, Moments(n, 0.0, float(events), float(events)))


def _arm(variant: str, values: object, *others: object) -> ArmData:
    return ArmData(variant, moments_of(values, *others))  # type: ignore[arg-type]


def _settings(engine: Engine, **changes: object) -> Settings:
    return Settings(engine=engine, looks=LOOKS, **changes)  # type: ignore[arg-type]


MEAN = Metric("value", "mean")
RNG = np.random.default_rng(21)
BASE = _arm("control", RNG.normal(10, 2, 500))
BETTER = _arm("treatment", RNG.normal(11, 3, 400))


def test_the_absolute_effect_decides_where_the_relative_one_would_flip_it() -> None:
    metric = Metric("success", "proportion", role="primary")
    found = compare(metric, _shares("control", 14, 120), _shares("treatment", 25, 118), _settings("fixed"))
    assert found.outcome == "better"
    assert found.p_value == pytest.approx(0.04728322619548798, rel=1e-9)
    assert found.interval is not None
    assert found.interval.low > 0
    assert found.relative_interval is not None
    assert found.relative_interval.low < 0
    assert found.text == (
        "treatment is better than control: +0.0952 (95 % interval +0.0005696 to +0.1893), "
        "relative +81.6 % (-28.3 % to +192 %); p = 0.047."
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_gives_its_own_interval(engine: Engine) -> None:
    found = compare(MEAN, BASE, BETTER, _settings(engine))
    assert found.effect is not None
    assert found.interval is not None
    assert found.standard_error is not None
    theirs = stats.ttest_ind_from_stats(
        BETTER.moments.mean, math.sqrt(BETTER.moments.variance or 0), 400,
        BASE.moments.mean, math.sqrt(BASE.moments.variance or 0), 500, equal_var=False,
    )  # fmt: skip
    width = {
        "fixed": lambda: -stats.t.ppf(0.025, found_df(found)),
        "sequential": lambda: critical_value(900, 0.05),
        "group_sequential": lambda: 2.68028,
        "bayesian": lambda: 1.959963984540054,
    }[engine]()
    assert (found.interval.high - found.interval.low) / 2 == pytest.approx(
        width * found.standard_error, rel=1e-5
    )
    if engine == "fixed":
        assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.p_value is None) == (engine == "bayesian")
    assert found.outcome == "better"
    assert found.sequential is not None
    assert found.bayesian is not None
    assert found.look is not None
    assert found.relative_effect == pytest.approx(found.effect / (BASE.moments.mean or 1), rel=1e-12)
    assert ("does not protect against peeking" in found.text) == (engine == "bayesian")


def found_df(one: Comparison) -> float:
    assert one.arms is not None
    a, b = one.arms
    return (a.error + b.error) ** 2 / (a.error**2 / (a.n - 1) + b.error**2 / (b.n - 1))


@pytest.mark.parametrize("engine", ENGINES)
def test_direction_turns_the_outcome_and_not_the_numbers(engine: Engine) -> None:
    up = compare(MEAN, BASE, BETTER, _settings(engine))
    down = compare(Metric("value", "mean", "decrease"), BASE, BETTER, _settings(engine))
    assert (up.outcome, down.outcome) == ("better", "worse")
    assert (up.effect, up.interval, up.p_value) == (down.effect, down.interval, down.p_value)
    assert up.bayesian is not None
    assert down.bayesian is not None
    assert up.bayesian.chance_to_beat == pytest.approx(1 - down.bayesian.chance_to_beat, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_negative_baselines_keep_their_sign(engine: Engine) -> None:
    costs = np.random.default_rng(1).normal(-100, 5, 200)
    found = compare(MEAN, _arm("c", costs), _arm("t", costs + 20), _settings(engine))
    assert found.effect == pytest.approx(20)
    assert found.relative_effect == pytest.approx(20 / abs(costs.mean()))
    assert found.outcome == "better"
    assert found.relative_interval is not None
    assert 0 < found.relative_interval.low < found.relative_effect < found.relative_interval.high


def test_cuped_shows_the_raw_effect_beside_the_adjusted() -> None:
    rng = np.random.default_rng(5)
    c1, c2 = rng.normal(size=400), rng.normal(size=400)
    a, b = (
        _arm("c", c1 * 2 + rng.normal(size=400), None, c1),
        _arm("t", 0.3 + c2 * 2 + rng.normal(size=400), None, c2),
    )
    for engine in ENGINES:
        on, off = compare(MEAN, a, b, _settings(engine)), compare(MEAN, a, b, _settings(engine, cuped=False))
        assert off.cuped is None
        assert on.cuped is not None
        assert on.cuped.raw_interval == off.interval
        if engine != "bayesian":
            assert on.cuped.raw_effect == off.effect
        assert 0.7 < on.cuped.variance_reduction < 0.9
        assert on.standard_error is not None
        assert off.standard_error is not None
        assert (on.standard_error / off.standard_error) ** 2 == pytest.approx(1 - on.cuped.variance_reduction)
        assert on.method.endswith("cuped")


def _undefined(found: Comparison, reason: str, effect: float | None) -> None:
    assert (found.undefined, found.effect) == (reason, effect)
    assert (found.interval, found.p_value, found.relative_interval) == (None, None, None)
    assert found.outcome == "undefined"
    assert "nothing can be said" in found.text or "No comparison" in found.text


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["proportion", "mean", "count", "ratio", "quantile"])
def test_an_empty_arm_and_a_single_unit_are_undefined(engine: Engine, kind: Kind) -> None:
    metric = Metric("m", kind, q=0.5)
    full = moments_of([0.0, 1.0] * 50, [1.0, 2.0] * 50)
    arms = [
        ArmData("c", full, quantile_of(range(100), 0.5)),
        ArmData("t", Moments(0), quantile_of([], 0.5)),
        ArmData("u", moments_of([1.0], [2.0]), quantile_of([3.0], 0.5)),
    ]
    _undefined(compare(metric, arms[0], arms[1], _settings(engine)), "empty_arm", None)
    _undefined(compare(metric, arms[1], arms[0], _settings(engine)), "empty_arm", None)
    found = compare(metric, arms[0], arms[2], _settings(engine))
    assert found.undefined == "one_unit"
    assert found.effect is not None
    assert (found.interval, found.p_value) == (None, None)


@pytest.mark.parametrize("engine", ENGINES)
def test_equal_values_and_no_events_are_undefined_and_never_a_p_of_one(engine: Engine) -> None:
    same = _arm("c", [7.0] * 100)
    _undefined(compare(MEAN, same, _arm("t", [7.0] * 100), _settings(engine)), "zero_variance", 0.0)
    _undefined(compare(MEAN, same, _arm("t", [8.0] * 100), _settings(engine)), "zero_variance", 1.0)
    share = Metric("s", "proportion")
    nothing = compare(share, _shares("c", 0, 100), _shares("t", 0, 90), _settings(engine))
    _undefined(nothing, "no_events", 0.0)
    everything = compare(share, _shares("c", 100, 100), _shares("t", 90, 90), _settings(engine))
    _undefined(everything, "no_events", 0.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_zero_baseline_has_an_absolute_effect_and_no_relative_one(engine: Engine) -> None:
    found = compare(MEAN, _arm("c", [-1.0, 1.0] * 50), _arm("t", [4.0, 6.0] * 50), _settings(engine))
    assert (found.undefined, found.relative_effect, found.relative_interval) == ("zero_baseline", None, None)
    assert found.interval is not None
    assert found.outcome == "better"
    assert "the baseline is zero" in found.text.lower()


def test_few_units_and_no_look_yet_are_said() -> None:
    a, b = _arm("c", range(29)), _arm("t", range(40))
    found = compare(MEAN, a, b, Settings(engine="sequential"))
    assert (found.undefined, found.interval, found.p_value) == ("too_few_units", None, None)
    assert found.text == (
        "t differs from c by +5.5 so far, but nothing can be said about chance: "
        "an arm has fewer units than the sequential method needs."
    )
    assert compare(MEAN, a, b, Settings(engine="group_sequential")).undefined == "no_look"


@pytest.mark.parametrize("q", [0.0, 1.0])
def test_quantiles_0_and_1_are_undefined(q: float) -> None:
    arms = [ArmData(v, quantile=quantile_of(range(1000), q)) for v in "ct"]
    _undefined(compare(Metric("m", "quantile", q=q), *arms, _settings("fixed")), "extreme_quantile", 0.0)


def test_quantiles_are_compared_by_their_order_statistics() -> None:
    rng = np.random.default_rng(8)
    first, second = quantile_of(rng.normal(size=3000), 0.9), quantile_of(rng.normal(0.4, 1, 3000), 0.9)
    found = compare(
        Metric("p90", "quantile", "decrease", q=0.9),
        ArmData("c", quantile=first), ArmData("t", quantile=second), _settings("fixed"),
    )  # fmt: skip
    errors = [(one.high - one.low) / (2 * 1.959963984540054) for one in (first, second)]
    assert found.standard_error == pytest.approx(math.hypot(*errors), rel=1e-9)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(found.effect / math.hypot(*errors)), rel=1e-9)
    assert (found.outcome, found.method) == ("worse", "fixed horizon, order-statistic")


@pytest.mark.parametrize("engine", ENGINES)
@given(offset=st.sampled_from([0.0, 1e9, -1e9]), scale=st.sampled_from([1e-6, 1.0, 1e6]))
def test_offsets_and_scales_change_no_conclusion(engine: Engine, offset: float, scale: float) -> None:
    rng = np.random.default_rng(9)
    a, b = rng.normal(0, 2, 200), rng.normal(0.4, 2, 200)
    plain = compare(MEAN, _arm("c", a), _arm("t", b), _settings(engine))
    moved = compare(
        MEAN, _arm("c", a * scale + offset * scale), _arm("t", (b + offset) * scale), _settings(engine)
    )
    assert plain.effect is not None
    assert plain.interval is not None
    assert moved.interval is not None
    assert moved.effect == pytest.approx(plain.effect * scale, rel=1e-6)
    assert moved.interval == pytest.approx([one * scale for one in plain.interval], rel=1e-5)
    if plain.p_value is not None:
        assert moved.p_value == pytest.approx(plain.p_value, rel=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["proportion", "mean", "ratio"])
def test_swapping_arms_mirrors_every_engine(engine: Engine, kind: Kind) -> None:
    rng = np.random.default_rng(10)
    arms = [
        _arm(v, (rng.random(n) < p) * 1.0, rng.poisson(3, n) + 1.0)
        for v, n, p in (("c", 300, 0.2), ("t", 200, 0.3))
    ]
    one, other = (compare(Metric("m", kind), *pair, _settings(engine)) for pair in (arms, arms[::-1]))
    assert one.interval is not None
    assert other.interval is not None
    assert other.effect == pytest.approx(-(one.effect or 0))
    assert other.interval == pytest.approx((-one.interval.high, -one.interval.low))
    assert other.p_value == (None if one.p_value is None else pytest.approx(one.p_value))


def test_fifty_arms_are_corrected_as_one_family() -> None:
    rng = np.random.default_rng(11)
    arms = [_arm(f"v{i}", rng.normal(0.9 if i == 7 else 0, 1, 100)) for i in range(50)]
    settings = _settings("fixed")
    results = correct(
        [
            compare_all(Metric("m", "mean", role="primary"), arms, settings),
            compare_all(MEAN, arms[:2], settings),
        ],
        settings,
    )
    made = results[0].comparisons
    assert len(made) == 49
    smallest = min(made, key=lambda one: one.p_value or 1)
    assert smallest.variant == "v7"
    assert smallest.p_adjusted == pytest.approx(49 * (smallest.p_value or 0))
    assert [one.variant for one in made if one.outcome == "better"] == ["v7"]
    assert results[1].comparisons[0].p_adjusted is None


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_alpha_must_be_a_probability(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        Settings(alpha=alpha)


def test_data_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 or 1"):
        compare(Metric("s", "proportion"), _arm("c", [0.0, 2.5]), _arm("t", [0.0, 1.0]), _settings("fixed"))
    with pytest.raises(ValueError, match="finite"):
        _arm("c", [1.0, math.inf])
    with pytest.raises(ValueError, match="needs q"):
        Metric("m", "quantile")
    with pytest.raises(ValueError, match="must not be negative"):
        Metric("m", "mean", margin=-0.1)
    with pytest.raises(ValueError, match="unknown kind"):
        Metric("m", "median")  # type: ignore[arg-type]


wild = st.lists(
    st.one_of(
        st.sampled_from([0.0, 1.0, -1.0, 1e-300, 5e-324, 1e150, -1e150, 1e9]), st.floats(-1e150, 1e150)
    ),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["mean", "ratio"])
@given(data=st.data())
def test_whatever_the_numbers_are_results_are_finite_or_none(
    engine: Engine, kind: Kind, data: st.DataObject
) -> None:
    arms = []
    for variant in "ct":
        values = data.draw(wild)
        n = len(values)
        others = [
            data.draw(st.lists(st.sampled_from([0.0, 1.0, -2.0, 1e150, 1e-200]), min_size=n, max_size=n))
            for _ in "dc"
        ]
        try:
            arms.append(_arm(variant, values, *others))
        except ValueError:
            # Squares that overflow are refused where the sums are made.
            return
    metric = Metric("m", kind, role="guardrail", margin=0.1, margin_scale="relative")
    found = compare(metric, *arms, _settings(engine, prior=NormalPrior() if n % 2 else None))
    for value in (
        found.effect,
        found.p_value,
        found.relative_effect,
        *(found.interval or ()),
        *(found.relative_interval or ()),
    ):
        assert value is None or math.isfinite(value)
    assert found.undefined or found.interval is not None
    assert found.text


def test_a_guardrail_is_breached_by_the_always_valid_bound_alone() -> None:
    metric = Metric("cost", "mean", "decrease", role="guardrail", margin=0.05, margin_scale="relative")
    rng = np.random.default_rng(12)
    cost = rng.exponential(1, 4000)
    states = {}
    for lift in (1.0, 1.1, 1.3):
        found = compare(metric, _arm("c", cost), _arm("t", rng.exponential(lift, 4000)), _settings("fixed"))
        assert isinstance(found.guardrail, Guardrail)
        states[lift] = found.guardrail.state
    assert states == {1.0: "open", 1.1: "open", 1.3: "breached"}
    open_ended = Metric("cost", "mean", "decrease", role="guardrail")
    found = compare(open_ended, _arm("c", cost), _arm("t", cost * 1.01), _settings("fixed"))
    assert isinstance(found.guardrail, Guardrail)
    assert found.guardrail.state == "held"


def test_strata_are_used_where_there_is_no_covariate() -> None:
    rng = np.random.default_rng(13)
    parts = [[rng.normal(level + lift, 1, 200) for level in (0, 20)] for lift in (0.0, 0.4)]
    arms = [
        ArmData(v, moments_of(np.concatenate(part)), strata=tuple(map(moments_of, part)))
        for v, part in zip("ct", parts)
    ]
    found = compare(MEAN, *arms, _settings("fixed"))
    assert found.method == "fixed horizon, welch, post-stratified"
    assert found.standard_error == pytest.approx(0.07, abs=0.01)
    assert found.outcome == "better"
