"""Error budgets, exact: events and minutes, adjustments, exhaustion, coverage, sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from agent_factory_site.common.periods import Interval
from operations.slo.domain.budget import (
    Adjustment,
    Budget,
    Exhaustion,
    budget_of,
    coverage,
    exhaustion,
    present_burn,
)
from operations.slo.domain.burn_alerts import DEFAULT, Burn, Condition, Note, State
from operations.slo.domain.counts import NOTHING, Counts
from operations.slo.domain.sentences import (
    budget_text,
    burn_text,
    condition_text,
    coverage_text,
    exhaustion_text,
    left_text,
    level,
    number,
    status_text,
)
from operations.slo.domain.windows import CalendarWindow, RollingWindow

pytestmark = pytest.mark.once

NINES = Fraction(999, 1000)
MONTH = 30 * 1440
ROLLING = RollingWindow(timedelta(days=30))
AT = datetime(2026, 11, 16, tzinfo=UTC)


def _events(good: int, total: int, *adjustments: Adjustment, target: Fraction = NINES) -> Budget:
    return budget_of(
        Counts(good=good, total=total), target=target, budgeting="occurrences", window_minutes=MONTH,
        adjustments=adjustments,
    )  # fmt: skip


def _slices(good: int, bad: int, *adjustments: Adjustment, excluded: int = 0) -> Budget:
    return budget_of(
        Counts(good=1, total=1, good_slices=good, bad_slices=bad), target=NINES, budgeting="timeslices",
        window_minutes=MONTH, excluded_minutes=excluded, adjustments=adjustments,
    )  # fmt: skip


def test_a_budget_of_events() -> None:
    budget = _events(99_123, 99_999)
    assert budget.total == Fraction(99_999, 1000)
    assert budget.spent == 876
    assert budget.left == Fraction(99_999, 1000) - 876
    assert budget.left_ratio == 1 - Fraction(876_000, 99_999)
    assert budget.minutes == Fraction(432, 10)
    assert budget.minutes_left == budget.left_ratio * Fraction(432, 10)
    assert budget.met is False
    assert budget_text(budget) == "99,123 of 99,999 good; budget 100, 876 used."


def test_a_budget_that_is_used_to_the_last_event_is_met() -> None:
    assert (_events(999, 1000).left, _events(999, 1000).met) == (0, True)
    assert (_events(998, 1000).left, _events(998, 1000).met) == (-1, False)


def test_a_budget_of_minutes_is_known_from_the_first_day_on() -> None:
    budget = _slices(1430, 10)
    assert budget.total == budget.minutes == Fraction(432, 10)
    assert budget.left == budget.minutes_left == Fraction(332, 10)
    assert budget_text(budget) == "1,430 of 1,440 minutes good; budget 43.2 minutes, 10 used."
    assert left_text(budget) == "76.9 % of the budget is left, 33.2 bad minutes."
    assert _slices(1430, 10, excluded=1440).total == Fraction(29 * 1440, 1000)


def test_the_view_before_exclusions_has_them_in() -> None:
    counts = Counts(good=900, total=1000, excluded_good=0, excluded_total=100)
    after = budget_of(
        counts, target=NINES, budgeting="occurrences", window_minutes=MONTH, excluded_minutes=1440
    )
    before = budget_of(
        counts,
        target=NINES,
        budgeting="occurrences",
        window_minutes=MONTH,
        excluded_minutes=1440,
        view="before",
    )
    assert (after.spent, after.met, after.minutes) == (0, True, Fraction(29 * 144, 100))
    assert (before.spent, before.met, before.minutes) == (100, False, Fraction(432, 10))


def test_adjustments_give_back_and_take_away() -> None:
    budget = _events(900, 1000, Adjustment(events=99), Adjustment(events=-2), target=Fraction(99, 100))
    assert (budget.total, budget.adjusted, budget.left, budget.met) == (10, 97, 7, True)
    assert budget_text(budget) == "900 of 1,000 good; budget 10, 100 used, 97 given back."
    # 4.32 minutes are a tenth of the budget's 43.2, so a tenth of its 100 events.
    minutes = _events(99_950, 100_000, Adjustment(minutes=Decimal("-4.32")))
    assert (minutes.adjusted, minutes.left) == (-10, 40)
    assert budget_text(minutes).endswith("budget 100, 50 used, 10 taken away.")
    assert _slices(0, 43, Adjustment(minutes=Decimal("-0.3"))).left == Fraction(-1, 10)
    assert _slices(0, 43, Adjustment(events=2)).left == Fraction(22, 10)


def test_without_data_nothing_is_met_or_missed() -> None:
    for budgeting in ("occurrences", "timeslices"):
        budget = budget_of(NOTHING, target=NINES, budgeting=budgeting, window_minutes=MONTH)  # type: ignore[arg-type]
        assert (budget.left, budget.left_ratio, budget.minutes_left, budget.met) == (None,) * 4
        assert (budget.reason, budget.minutes) == ("no_data", Fraction(432, 10))
        assert budget_text(budget) == "No data in this window: it is neither met nor missed."
        assert left_text(budget) == ""
        assert exhaustion(budget, Fraction(2), ROLLING, NINES, AT) == Exhaustion("no_data")
    excluded = budget_of(
        Counts(3, 4, excluded_good=3, excluded_total=4),
        target=NINES,
        budgeting="occurrences",
        window_minutes=1,
    )
    assert excluded.reason == "all_excluded"
    assert budget_text(excluded).startswith("All data of this window lies in maintenance windows")


@pytest.mark.parametrize(
    ("burn", "days"), [(1, None), (2, 15), (10, 3), (36, Fraction(30, 36)), (1000, Fraction(432, 14_400))]
)
def test_a_full_rolling_budget_lasts_for_period_by_burn_rate(burn: int, days: Fraction | None) -> None:
    found = exhaustion(_events(1000, 1000), Fraction(burn), ROLLING, NINES, AT)
    assert found == (
        Exhaustion("lasts")
        if days is None
        else Exhaustion("exhausts", AT + timedelta(seconds=int(Fraction(days) * 86_400)))
    )


def test_a_budget_of_35_times_is_gone_in_20_hours() -> None:
    found = exhaustion(_events(1000, 1000), Fraction(35), ROLLING, NINES, AT)
    assert found.at is not None
    assert round((found.at - AT) / timedelta(hours=1), 2) == 20.57


def test_exhaustion_of_what_is_left() -> None:
    half = _events(199_900, 200_000)
    assert half.left_ratio == Fraction(1, 2)
    assert exhaustion(half, Fraction(3), ROLLING, NINES, AT).at == AT + timedelta(days=5)
    assert exhaustion(half, Fraction(1, 2), ROLLING, NINES, AT).outlook == "lasts"
    assert exhaustion(half, Fraction(0), ROLLING, NINES, AT).outlook == "lasts"
    assert exhaustion(half, None, ROLLING, NINES, AT).outlook == "no_data"
    assert exhaustion(_events(998, 1000), None, ROLLING, NINES, AT).outlook == "exhausted"


def test_exhaustion_within_a_calendar_window() -> None:
    window = CalendarWindow("month", ZoneInfo("UTC"))
    half = _events(199_900, 200_000)
    # 15 days have gone by; at 4 times another 2.5 days of traffic use up their own budget and what was left.
    assert exhaustion(half, Fraction(4), window, NINES, AT).at == AT + timedelta(days=2.5)
    assert exhaustion(half, Fraction(3, 2), window, NINES, AT).outlook == "lasts"
    assert exhaustion(half, Fraction(1), window, NINES, AT).outlook == "lasts"
    minutes = _slices(21_500, 22)
    found = exhaustion(minutes, Fraction(10), window, NINES, AT)
    assert found.at == AT + timedelta(minutes=2120)
    assert exhaustion(minutes, Fraction(7, 10), window, NINES, AT).outlook == "lasts"


def test_the_present_burn_rate_is_that_of_an_hour_or_else_of_six() -> None:
    hour, six = timedelta(hours=1), timedelta(hours=6)
    assert present_burn({hour: Burn(Fraction(2)), six: Burn(Fraction(3))}) == 2
    assert present_burn({hour: Burn(None), six: Burn(Fraction(3))}) == 3
    assert present_burn({hour: Burn(None)}) is None
    assert present_burn({hour: Burn(Fraction(0)), six: Burn(Fraction(3))}) == 0


@pytest.mark.parametrize(
    ("target", "days", "minutes"),
    [
        ("0.999", 30, "43.2"),
        ("0.99999", 30, "0.432"),
        ("0.9995", 7, "5.04"),
        ("0.95", 14, "1008"),
        ("0.9", 30, "4320"),
    ],
)
def test_minutes_of_full_outage(target: str, days: int, minutes: str) -> None:
    budget = budget_of(NOTHING, target=Fraction(target), budgeting="timeslices", window_minutes=days * 1440)
    assert budget.minutes == Fraction(minutes)


def test_coverage_is_of_the_minutes_so_far() -> None:
    hour = Interval(AT, AT + timedelta(hours=1))
    assert coverage(45, hour) == Fraction(3, 4)
    assert coverage(61, hour) == 1
    assert coverage(0, hour) == 0
    assert coverage(0, Interval(AT, AT)) is None


def test_numbers_read_well() -> None:
    texts = [
        number(Fraction(text))
        for text in (
            "99.999",
            "43.2",
            "0.144",
            "100000.4",
            "0",
            "-12.34",
            "9.999",
            "0.00999",
            "0.00046",
            "-1e-7",
        )
    ]
    assert texts == ["100", "43.2", "0.14", "100,000", "0", "-12.3", "10", "0.01", "0.00046", "-0.0000001"]
    assert [level(Fraction(text)) for text in ("0.9999999", "1", "0.99", "0", "0.99124")] == [
        "99.9999 %", "100 %", "99 %", "0 %", "99.124 %",
    ]  # fmt: skip


def test_each_number_has_its_sentence() -> None:
    assert burn_text(Fraction(144, 10), timedelta(hours=1)) == (
        "In the last 1h the budget was spent 14.4 times as fast as it may be."
    )
    assert burn_text(Fraction(1), timedelta(hours=6)) == (
        "In the last 6h the budget was spent just as fast as it may be."
    )
    assert burn_text(Fraction(1004, 1000), timedelta(hours=6)) == (
        "In the last 6h the budget was spent a trace faster than it may be."
    )
    assert burn_text(Fraction(999, 1000), timedelta(hours=6)) == (
        "In the last 6h the budget was spent a trace more slowly than it may be."
    )
    assert burn_text(Fraction(1, 10**12), timedelta(hours=6)) == (
        "In the last 6h the budget was spent 0.000000000001 times as fast as it may be."
    )
    assert burn_text(Fraction(0), timedelta(hours=6)) == "In the last 6h none of the budget was spent."
    assert burn_text(None, timedelta(days=3)) == "No data in the last 3d."
    assert coverage_text(Fraction(1, 3)) == "33.3333 % of the minutes so far have data."
    assert coverage_text(None) == "No minute has begun."
    assert [exhaustion_text(Exhaustion(outlook)) for outlook in ("exhausted", "lasts", "no_data")] == [
        "The budget is used up.",
        "At the present burn rate it lasts.",
        "Without data nobody knows how long it lasts.",
    ]
    rule = DEFAULT[0].fit(timedelta(days=30))
    budget = _events(99_123, 99_999)
    text = status_text(
        Fraction(99_123, 99_999), NINES, budget, exhaustion(budget, None, ROLLING, NINES, AT),
        [Condition(rule, "firing", Fraction(20), Fraction(20))],
    )  # fmt: skip
    assert text == (
        "Missed: 99.1239 %, objective 99.9 %. 99,123 of 99,999 good; budget 100, 876 used. "
        "The budget is overdrawn by 776 %, 335 minutes of full outage at even traffic. "
        "Firing: the budget burns more than 14.4 times as fast as it may, over 1h and over 5m."
    )
    half = _events(199_900, 200_000)
    text = status_text(Fraction(9995, 10_000), NINES, half, exhaustion(half, Fraction(3), ROLLING, NINES, AT))
    assert text.startswith("Met: 99.95 %, objective 99.9 %. ")
    assert text.endswith("At the present burn rate it is gone by 2026-11-21 00:00 UTC.")
    nothing = _events(0, 0)
    assert status_text(None, NINES, nothing, Exhaustion("no_data")) == budget_text(nothing)


def test_a_level_below_the_objective_that_is_met_says_why() -> None:
    budget = _slices(900, 10)
    text = status_text(Fraction(900, 910), NINES, budget, exhaustion(budget, None, ROLLING, NINES, AT))
    assert text.startswith(
        "Met: 98.901 %, objective 99.9 %. 900 of 910 minutes good; budget 43.2 minutes, 10 used."
    )
    assert "Minutes without data, or still to come, have spent nothing of it." in text
    good = _slices(100_000, 10)
    assert "have spent" not in status_text(Fraction(9_999, 10_000), NINES, good, Exhaustion("lasts"))


def test_one_minute_is_no_minutes_and_a_trace_is_not_nothing() -> None:
    assert left_text(_slices(1000, 42, Adjustment(minutes=Decimal("-0.2")))).endswith(" left, 1 bad minute.")
    hair = _events(999_000_000 - 1, 10**9)
    assert left_text(hair).startswith("The budget is overdrawn by 0.0001 %, 0.000043 minutes of full outage")


@pytest.mark.parametrize(
    ("state", "note", "text"),
    [
        ("ok", "", "Quiet: the budget does not burn {}."),
        ("ok", "low_traffic", "Quiet: there are too few events to tell whether the budget burns {}."),
        ("unknown", "no_data", "Unknown: there is no data to tell whether the budget burns {}."),
        ("firing", "", "Firing: the budget burns {}."),
        ("firing", "stale", "Firing: the budget burned {}; there is no data now that would end it."),
        ("held", "", "Held back by a more urgent rule: the budget burns {}."),
    ],
)
def test_what_a_rule_found_reads_well(state: State, note: Note, text: str) -> None:
    fast, slow = (DEFAULT[place].fit(timedelta(days=30)) for place in (0, 2))
    assert condition_text(Condition(fast, state, None, None, note)) == text.format(
        "more than 14.4 times as fast as it may, over 1h and over 5m"
    )
    assert condition_text(Condition(slow, state, None, None, note)) == text.format(
        "faster than it may, over 3d and over 6h"
    )
