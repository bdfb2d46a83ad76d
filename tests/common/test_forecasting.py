"""Forecasts: exact on small cases, accurate on the M3 competition, and never below what is spent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from agent_factory_site.common.forecasting import (
    Forecast,
    NoForecast,
    TotalForecast,
    forecast,
    forecast_total,
)
from agent_factory_site.common.forecasting.seasonality import Season, is_seasonal, season_of
from agent_factory_site.common.forecasting.smoothing import damped_trend, slope, theta
from agent_factory_site.common.forecasting.spread import Spread, of_each, of_sum, quantile
from tests.competitions import coverage_of_totals, forecasts, m3, scores

pytestmark = pytest.mark.once

WEEK = [10.0, 12.0, 11.0, 13.0, 15.0, 4.0, 5.0]


def total(history: list[float], **changed: float | None) -> TotalForecast:
    given_ = {"period": 1, "spent": 0.0, "current": 0.0, "elapsed": 0.0, "remaining": 9} | changed
    found = forecast_total(history, **given_)
    assert isinstance(found, TotalForecast)
    return found


def ahead(history: list[float], period: int = 1, horizon: int = 6) -> Forecast:
    found = forecast(history, period=period, horizon=horizon)
    assert isinstance(found, Forecast)
    return found


# --- The parts, by hand ---------------------------------------------------------------------------


def test_the_slope_is_that_of_the_least_squares_line() -> None:
    assert slope(np.array([1.0, 3.0, 5.0, 7.0])) == 2.0
    assert slope(np.array([1.0, 0.0, 2.0])) == 0.5


def test_theta_carries_half_the_drift_of_a_straight_line() -> None:
    fit = theta(np.arange(10.0), 3)
    # The level follows the line by the greatest alpha, 0.99; each error is (1 - alpha) of the last, plus half.
    error = 0.0
    for _ in range(9):
        error = 0.01 * error + 0.5
    level = 9 - error + 0.99 * error
    assert fit.expected == pytest.approx([level + 0.5, level + 1.0, level + 1.5], rel=1e-12)
    assert fit.errors[:3] == pytest.approx([0.0, 0.5, 0.505], rel=1e-12)
    assert fit.responses == pytest.approx([1.0, 0.99, 0.99], rel=1e-12)


def test_a_damped_trend_fades_and_its_responses_grow() -> None:
    fit = damped_trend(np.array([2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]), 4)
    steps = np.diff(fit.expected)
    assert steps[1] / steps[0] == pytest.approx(steps[2] / steps[1], rel=1e-9)
    assert 0 < steps[0] < 2
    assert fit.responses[0] == 1.0
    assert (np.diff(fit.responses[1:]) >= 0).all()


def test_the_season_of_a_repeated_week_is_the_week() -> None:
    season = season_of(np.array(WEEK * 4), 7)
    assert season.kind == "multiplicative"
    assert season.indices == pytest.approx(np.array(WEEK) / 10, rel=1e-12)
    assert season.restore(season.remove(np.array(WEEK * 4)), 0) == pytest.approx(WEEK * 4, rel=1e-12)


def test_a_week_with_free_days_is_added_instead_of_multiplied() -> None:
    week = np.array([10.0, 12.0, 11.0, 13.0, 14.0, 0.0, 3.0])
    season = season_of(np.tile(week, 4), 7)
    assert season.kind == "additive"
    assert season.indices == pytest.approx(week - 9, rel=1e-12)


def test_a_season_needs_three_periods_and_to_be_there() -> None:
    assert is_seasonal(np.array(WEEK * 3), 7)
    assert not is_seasonal(np.array((WEEK * 3)[:-1]), 7)
    assert not is_seasonal(np.random.default_rng(1).normal(100, 1, 70), 7)
    assert not is_seasonal(np.ones(30), 7)


def test_the_spread_of_a_sum_is_that_of_smoothing_with_correlated_errors() -> None:
    spread = Spread(innovation=4.0, drift=0.0, freedom=10)
    responses = np.array([1.0, 0.5, 0.5, 0.5])
    ones = np.ones(4)
    assert of_each(spread, responses, ones) == pytest.approx(2 * np.sqrt([1, 1.25, 1.5, 1.75]))
    # Weights 2.5, 2, 1.5, 1; independent errors would have given 2 * sqrt(5.5).
    assert of_sum(spread, responses, ones) == pytest.approx(2 * math.sqrt(6.25 + 4 + 2.25 + 1))
    assert of_sum(spread, responses, ones, elapsed=0.75) == pytest.approx(2 * math.sqrt(6.25 / 4 + 7.25))
    factors = np.array([1.0, 2.0, 1.0, 2.0])
    assert of_sum(spread, responses, factors) == pytest.approx(2 * math.sqrt(3.5**2 + 3.5**2 + 2**2 + 2**2))


def test_an_unknown_drift_adds_up_over_all_buckets() -> None:
    spread = Spread(innovation=0.0, drift=0.25, freedom=10)
    responses = np.array([1.0, 0.5, 0.5, 0.5])
    assert of_each(spread, responses, np.ones(4)) == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert of_sum(spread, responses, np.ones(4)) == pytest.approx(0.5 * 10)
    assert of_sum(spread, responses, np.ones(4), elapsed=1.0) == pytest.approx(0.5 * 6)


def test_the_spread_of_a_sum_is_what_simulated_paths_show() -> None:
    rng = np.random.default_rng(20)
    innovations = rng.normal(0, 1, (200_000, 12))
    level, sums = np.zeros(200_000), np.zeros(200_000)
    for step in range(12):
        sums += level + innovations[:, step]
        level += 0.3 * innovations[:, step]
    expected = of_sum(Spread(1.0, 0.0, 10), np.array([1.0] + [0.3] * 11), np.ones(12))
    assert sums.std() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("level", "freedom", "value"), [(0.8, 2, 1.8856), (0.95, 2, 4.3027), (0.95, 6, 2.4469), (0.8, 30, 1.3104)]
)
def test_quantiles_are_those_of_the_table(level: float, freedom: int, value: float) -> None:
    assert round(quantile(level, freedom), 4) == value


# --- Series ---------------------------------------------------------------------------------------


def test_a_few_values_are_carried_on_by_their_mean_with_a_wide_interval() -> None:
    found = ahead([1.0, 2.0, 6.0], horizon=2)
    assert (found.method, found.expected) == ("mean", (3.0, 3.0))
    width = stdtrit(2, 0.9) * math.sqrt(7) * math.sqrt(4 / 3)
    assert found.bands[0].high == pytest.approx((3 + width,) * 2)
    assert found.bands[0].low == (0.0, 0.0)
    assert ahead([-1.0, 2.0, 6.0], horizon=1).bands[0].low[0] < 0


def test_a_constant_series_stays_what_it_is() -> None:
    found = ahead([7.0] * 20, period=7)
    assert found.expected == pytest.approx([7.0] * 6, rel=1e-12)
    assert (found.method, found.decomposition, found.period) == ("theta+damped", "none", 1)


def test_a_repeated_week_goes_on() -> None:
    found = ahead(WEEK * 6, period=7, horizon=9)
    assert found.expected == pytest.approx((WEEK * 2)[:9], rel=0.02)
    assert (found.decomposition, found.period) == ("multiplicative", 7)


def test_a_falling_series_of_amounts_ends_at_0_and_one_with_credits_does_not() -> None:
    falling = [100.0 - 5 * day for day in range(20)]
    assert min(ahead(falling, horizon=40).expected) == 0.0
    assert min(low for band in ahead(falling, horizon=40).bands for low in band.low) == 0.0
    assert min(ahead([value - 20 for value in falling], horizon=40).expected) < 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_values_give_a_reason_and_no_number(count: int) -> None:
    assert forecast([5.0] * count, period=7, horizon=3) == NoForecast(
        f"At least 3 values are needed, and there are {count}."
    )


@pytest.mark.parametrize(
    ("history", "period", "horizon"),
    [
        ([1.0, math.nan, 2.0], 1, 1), ([1.0, math.inf, 2.0], 1, 1), ([[1.0], [2.0]], 1, 1),
        (["a", "b", "c"], 1, 1), ([None, 1, 2], 1, 1), ([1e101] * 4, 1, 1), ([1.0] * 4, 0, 1),
        ([1.0] * 4, 1, 0), ([1.0] * 4, 1.5, 1), ([1.0] * 4, True, 1), ([1.0] * 20_001, 1, 1),
        ([1.0] * 4, 1, 20_001),
    ],
)  # fmt: skip
def test_what_is_no_series_is_refused(history: list[float], period: int, horizon: int) -> None:
    with pytest.raises(ValueError):
        forecast(history, period=period, horizon=horizon)


def test_a_forecast_leaves_its_input_alone() -> None:
    history = np.array(WEEK * 4)
    forecast(history, period=7, horizon=5)
    assert history.tolist() == WEEK * 4


# --- Totals ---------------------------------------------------------------------------------------


def test_a_steady_spend_adds_up_and_passes_its_limit_when_it_should() -> None:
    found = total([10.0] * 20, spent=95.0, current=5.0, elapsed=0.5, remaining=4, limit=120.0)
    assert found.path == pytest.approx([100.0, 110.0, 120.0, 130.0, 140.0])
    assert found.expected == pytest.approx(140.0)
    assert found.exhausts == pytest.approx(2.5)
    assert total([10.0] * 20, spent=95.0, current=5.0, elapsed=0.5, limit=97.5).exhausts == pytest.approx(
        0.25
    )
    assert total([10.0] * 20, limit=100.001).exhausts is None
    assert total([10.0] * 20, spent=50.0, limit=50.0).exhausts == 0.0
    assert total([10.0] * 20).exhausts is None


def test_a_few_buckets_are_carried_on_at_their_mean_pace() -> None:
    found = total([1.0, 2.0, 6.0], spent=20.0, current=5.0, elapsed=0.5, remaining=2)
    assert found.path == pytest.approx([22.0, 26.0, 30.0])
    width = stdtrit(2, 0.975) * math.sqrt(7) * math.sqrt(2.5 + 2.5**2 / 3.5)
    assert found.intervals[1].high == pytest.approx(30 + width)
    assert (found.intervals[1].low, found.method) == (20.0, "mean")


def test_weekends_are_cheap_in_a_total() -> None:
    found = total(WEEK * 6, period=7, remaining=6)
    assert np.diff((0.0, *found.path)) == pytest.approx(WEEK, rel=0.02)


def test_a_surprise_today_moves_the_days_after_it_but_not_the_rest_of_today() -> None:
    history = [9.0, 11.0, 10.0, 12.0, 10.0, 8.0, 9.0, 11.0, 13.0, 12.0]
    plain = total(history, elapsed=0.5, current=5.0, remaining=3)
    busy = total(history, elapsed=0.5, current=25.0, remaining=3)
    moved = np.diff((0.0, *busy.path)) - np.diff((0.0, *plain.path))
    assert moved[0] == 0
    assert (moved[1:] > 0).all()
    assert (moved[1:] <= 20).all()


def test_without_anything_left_the_total_is_what_is_spent() -> None:
    found = total([3.0, 9.0, 1.0] * 5, spent=42.0, current=3.0, elapsed=1.0, remaining=0)
    assert found.expected == 42.0
    assert [(one.low, one.high) for one in found.intervals] == [(42.0, 42.0)] * 2


def test_the_total_of_a_whole_period_is_the_sum_of_its_forecasts() -> None:
    history = [9.0, 11.0, 10.0, 12.0, 10.0, 8.0, 9.0, 11.0, 13.0, 12.0]
    assert total(history, remaining=5).expected == pytest.approx(sum(ahead(history).expected), rel=1e-12)


def test_nothing_spent_gives_a_reason_and_no_number() -> None:
    found = forecast_total([0.0] * 30, period=7, spent=0, current=0, elapsed=0.5, remaining=3)
    assert found == NoForecast("Nothing was spent in a complete bucket yet.")


def test_zeros_before_the_first_spend_are_no_history() -> None:
    found = forecast_total([0.0] * 30 + [5.0, 6.0], period=7, spent=0, current=0, elapsed=0.5, remaining=3)
    assert found == NoForecast(
        "At least 3 complete buckets since the first spend are needed, and there are 2."
    )
    assert total([0.0] * 30 + [10.0] * 20) == total([10.0] * 20)


def test_a_single_spike_has_a_wide_interval_and_is_not_carried_on_in_full() -> None:
    found = total([1000.0] + [0.0] * 20, remaining=9)
    assert 0 <= found.expected < 1000
    assert found.intervals[0].low == 0.0
    assert found.intervals[1].high > 500


def test_credits_are_not_forecast() -> None:
    found = total([5.0, 6.0, -50.0, 5.0, 4.0, -40.0, 5.0, 6.0, -60.0], spent=-10.0, remaining=9)
    assert found.expected >= -10.0
    assert all(one.low >= -10.0 for one in found.intervals)


@pytest.mark.parametrize(
    "changed",
    [
        {"spent": math.nan}, {"current": math.inf}, {"elapsed": -0.1}, {"elapsed": 1.1}, {"elapsed": math.nan},
        {"remaining": -1}, {"remaining": 1.5}, {"limit": math.nan}, {"spent": "5"}, {"period": 0},
    ],
    ids=str,
)  # fmt: skip
def test_a_total_of_nonsense_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        total([10.0] * 20, **changed)


# --- Properties -----------------------------------------------------------------------------------

spends = st.floats(0, 1e6, allow_subnormal=False)
histories = st.lists(spends, min_size=3, max_size=40).filter(any)
places = st.fixed_dictionaries(
    {
        "period": st.sampled_from([1, 4, 7, 12]),
        "spent": spends,
        "current": spends,
        "elapsed": st.floats(0, 1),
        "remaining": st.integers(0, 30),
    }
)


@given(histories, places)
def test_totals_are_never_below_what_is_spent_and_intervals_contain_each_other(history, place) -> None:
    found = forecast_total(history, **place)
    if isinstance(found, NoForecast):
        return
    inner, outer = found.intervals
    assert place["spent"] <= outer.low <= inner.low <= found.expected <= inner.high <= outer.high
    assert list(found.path) == sorted(found.path)
    assert len(found.path) == place["remaining"] + 1
    assert math.isfinite(outer.high)


@given(histories, places, st.integers(-20, 20))
def test_totals_scale_with_the_currency_unit(history, place, exponent) -> None:
    # Powers of two round nothing, so that the same parameters are chosen.
    factor = 2.0**exponent
    scaled = {**place, "spent": place["spent"] * factor, "current": place["current"] * factor}
    found = forecast_total(history, **place)
    other = forecast_total([value * factor for value in history], **scaled)
    if isinstance(found, NoForecast):
        assert other == found
        return
    assert other.expected == pytest.approx(found.expected * factor, rel=1e-9)
    assert other.intervals[1].high == pytest.approx(found.intervals[1].high * factor, rel=1e-9)


@given(histories, places, st.lists(st.floats(0, 1e8), min_size=2, max_size=5))
def test_a_higher_limit_is_never_passed_earlier(history, place, limits) -> None:
    found = [forecast_total(history, **place, limit=limit) for limit in sorted(limits)]
    if isinstance(found[0], NoForecast):
        return
    passed = [math.inf if one.exhausts is None else one.exhausts for one in found]
    assert passed == sorted(passed)
    assert all(0 <= one <= place["remaining"] + 1 or one == math.inf for one in passed)
    assert {replace(one, exhausts=None) for one in found} == {replace(found[0], exhausts=None)}


@given(
    st.lists(st.floats(-1e100, 1e100), min_size=3, max_size=40),
    st.sampled_from([1, 4, 7]),
    st.integers(1, 30),
)
def test_every_series_of_numbers_has_a_finite_forecast(history, period, horizon) -> None:
    found = ahead(history, period, horizon)
    inner, outer = found.bands
    assert all(map(math.isfinite, (*found.expected, *outer.low, *outer.high)))
    for low, less, middle, more, high in zip(outer.low, inner.low, found.expected, inner.high, outer.high):
        assert low <= less <= middle <= more <= high


# --- The M3 competition ---------------------------------------------------------------------------


def test_accuracy_and_coverage_on_the_m3_competition() -> None:
    series = m3()
    assert len(series) == 3003
    found = scores(series, forecasts(series))
    totals = coverage_of_totals(series)
    print(f"sMAPE {found.smape:.3f}, MASE {found.mase:.3f}, coverage {found.coverage}, of totals {totals}")
    assert found.smape <= 12.7
    assert found.mase <= 1.40
    assert 0.78 <= found.coverage[0] <= 0.86
    assert 0.92 <= found.coverage[1] <= 0.97
    assert 0.78 <= totals[0] <= 0.86
    assert 0.91 <= totals[1] <= 0.97


def test_seasonal_spend_is_covered_as_promised() -> None:
    # A week, independent noise and a slow random walk; 400 budgets of 60 days and 14 to come.
    rng = np.random.default_rng(7)
    hits = []
    for _ in range(400):
        level = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 74)))
        days = rng.gamma(20, level * np.resize([1.2, 1.3, 1.2, 1.1, 1.0, 0.5, 0.7], 74) / 20)
        found = total(days[:60].tolist(), period=7, remaining=13)
        hits.append([one.low <= days[60:].sum() <= one.high for one in found.intervals])
    first, second = np.mean(hits, axis=0)
    assert 0.75 <= first <= 0.95
    assert 0.90 <= second <= 1.0


def test_a_season_is_only_a_view_of_positions() -> None:
    season = Season("additive", np.array([1.0, -1.0]))
    assert season.at(3, 3).tolist() == [-1.0, 1.0, -1.0]
    assert season.scale(3, 2).tolist() == [1.0, 1.0]
