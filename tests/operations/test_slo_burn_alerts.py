"""Burn rules: the workbook's figures by formula and by simulation, states, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest

from operations.slo.domain.burn_alerts import (
    DEFAULT,
    EXTENDED,
    Burn,
    BurnRule,
    Condition,
    budget_share,
    burn_rate,
    detection_time,
    evaluate,
    percent,
    reset_time,
    rules_for,
    unreachable,
)

pytestmark = pytest.mark.once

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NINES = Fraction(999, 1000)
FAST, SLOW, DAILY, TICKET = rules_for("extended", 30 * DAY)
RULES = (FAST, SLOW, DAILY, TICKET)
STEP = 10
EVENTS = 100_000
"""Events in a step, so that every ratio of these tests is a whole number of errors."""


def test_the_rules_are_those_of_the_workbook() -> None:
    assert [(rule.key, float(rule.factor), rule.severity) for rule in RULES] == [
        ("1h_5m", 14.4, "page"), ("6h_30m", 6.0, "page"), ("1d_2h", 3.0, "ticket"), ("3d_6h", 1.0, "ticket"),
    ]  # fmt: skip
    assert rules_for("default", 30 * DAY) == (FAST, SLOW, TICKET)
    assert [budget_share(rule, 30 * DAY) for rule in RULES] == [recipe.share for recipe in EXTENDED]
    assert all(rule.long == 12 * rule.short for rule in RULES)


@pytest.mark.parametrize("days", [1, 7, 28, 30, 90, 365])
def test_other_periods_keep_the_share_of_the_budget(days: int) -> None:
    rules = rules_for("default", days * DAY)
    assert [budget_share(rule, days * DAY) for rule in rules] == [
        recipe.share for recipe in DEFAULT if recipe.long < days * DAY
    ]
    assert len(rules) == (2 if days == 1 else 3)
    assert rules[0].factor == Fraction(144, 10) * Fraction(days, 30)


TABLE = {
    "1": (51.8, 129.6, 259.2, 259.2),
    "0.5": (103.7, 259.2, 518.4, 518.4),
    "0.1": (518.4, 1296, 2592, 2592),
    "0.05": (1036.8, 2592, 5184, 5184),
    "0.02": (2592, 6480, 12960, 12960),
    "0.0145": (3575, 8938, 17876, 17876),
    "0.01": (None, 12960, 25920, 25920),
    "0.005": (None, None, 51840, 51840),
    "0.002": (None, None, None, 129600),
    "0.0011": (None, None, None, 235636),
}
RESETS = {"1h_5m": 295.68, "6h_30m": 1789.2, "1d_2h": 7178.4, "3d_6h": 21578.4}


@pytest.mark.parametrize("errors", TABLE)
def test_detection_times_by_formula(errors: str) -> None:
    times = [detection_time(rule, NINES, Fraction(errors)) for rule in RULES]
    digits = 1 if Fraction(errors) > Fraction(145, 10_000) else 0
    assert tuple(None if time is None else round(float(time), digits) for time in times) == TABLE[errors]


def test_reset_times_by_formula() -> None:
    found = {rule.key: reset_time(rule, NINES) for rule in RULES}
    assert {key: float(time or 0) for key, time in found.items()} == RESETS
    alone = [float(rule.long.total_seconds() * (1 - rule.factor * (1 - NINES))) for rule in RULES]
    assert [int(time) for time in alone] == [3548, 21470, 86140, 258940]
    assert reset_time(FAST, NINES, Fraction(1, 100)) is None


def test_further_figures_of_the_workbook() -> None:
    def rule(hours: float, short: float, factor: int) -> BurnRule:
        return BurnRule("r", timedelta(hours=hours), timedelta(hours=short), Fraction(factor), "page")

    # 36 hours and 5 % of the budget: 2 min 10 s.
    assert detection_time(rule(36, 36, 1), NINES, Fraction(1)) == Fraction(1296, 10)
    # Burn 36 over one hour alone: after 129.6 s, until 57.8 min after the end.
    alone = rule(1, 1, 36)
    assert budget_share(alone, 30 * DAY) == Fraction(5, 100)
    assert detection_time(alone, NINES, Fraction(1)) == Fraction(1296, 10)
    assert reset_time(alone, NINES) == Fraction(34704, 10)
    assert detection_time(alone, NINES, 35 * (1 - NINES)) is None
    # Ten minutes of full outage at the window's own level: 0.6 s.
    assert detection_time(rule(1 / 6, 1 / 6, 1), NINES, Fraction(1)) == Fraction(6, 10)
    # 15 % errors: the 1h/5m rule fires after 345.6 s.
    assert detection_time(FAST, NINES, Fraction(15, 100)) == Fraction(3456, 10)
    # Ten requests an hour, one of them failed: burn 100, 13.9 % of the budget of 7.2.
    assert burn_rate(Fraction(1, 10), NINES) == 100
    assert round(float(1 / (Fraction(7200) * (1 - NINES))), 3) == 0.139
    assert burn_rate(None, NINES) is None


def test_rules_that_a_full_outage_does_not_reach_are_told() -> None:
    assert unreachable(FAST, NINES) == ""
    assert unreachable(FAST, Fraction(9, 10)) == (
        "Rule 1h_5m can never fire: with a target of 90 % a full outage burns the budget 10 times as fast as it may, "
        "which is not above 14.4."
    )
    assert unreachable(BurnRule("edge", HOUR, HOUR / 12, Fraction(10), "page"), Fraction(9, 10)) != ""
    assert unreachable(BurnRule("edge", HOUR, HOUR / 12, Fraction(99, 10), "page"), Fraction(9, 10)) == ""
    assert detection_time(FAST, Fraction(9, 10), Fraction(1)) is None
    assert percent(Fraction(999999999, 10**9)) == "99.9999999 %"


def _run(
    ratio_at: Callable[[int], Fraction], until: int, rules: tuple[BurnRule, ...], bucket: int = STEP
) -> list[tuple[int, dict[str, str]]]:
    """The states at each step of even traffic, which had no errors before 0; only where they change.

    With ``bucket`` 60 the windows end with the minute that is running, as stored buckets make them.
    """
    steps = until // STEP
    bad = np.array([int(ratio_at(number * STEP) * EVENTS) for number in range(steps)], dtype=np.int64)
    past = max(rule.long for rule in rules) // timedelta(seconds=STEP) + 6
    bad_sum: list[int] = np.concatenate([np.zeros(past + 1, dtype=np.int64), np.cumsum(bad)]).tolist()
    lengths = {
        window: window // timedelta(seconds=STEP) for rule in rules for window in (rule.long, rule.short)
    }
    changes: list[tuple[int, dict[str, str]]] = []
    active: set[str] = set()
    seen: object = None
    for now in range(1, steps + 1):
        end = -(-now * STEP // bucket) * bucket // STEP
        sums = {
            window: (bad_sum[past + now] - bad_sum[past + end - length], now - end + length)
            for window, length in lengths.items()
        }
        if (sums, active) == seen:
            continue
        seen = (sums, active)
        burns = {
            window: Burn(burn_rate(Fraction(errors, EVENTS * known), NINES))
            for window, (errors, known) in sums.items()
        }
        found = evaluate(rules, burns, active=active)
        active = {condition.rule.key for condition in found if condition.active}
        states = {condition.rule.key: condition.state for condition in found}
        if not changes or changes[-1][1] != states:
            changes.append((now * STEP, states))
    return changes


def _first(changes: list[tuple[int, dict[str, str]]], key: str, *states: str, after: int = 0) -> int | None:
    return next((at for at, found in changes if at > after and found[key] in states), None)


@pytest.mark.parametrize(("errors", "theory"), [("1", 51.84), ("0.1", 518.4), ("0.05", 1036.8)])
@pytest.mark.parametrize("bucket", [STEP, 60])
def test_simulated_errors_page_when_they_should(errors: str, theory: float, bucket: int) -> None:
    changes = _run(lambda second: Fraction(errors), 1300, (FAST, SLOW, TICKET), bucket)
    fired = _first(changes, "1h_5m", "firing")
    assert fired is not None
    # At most a bucket and an evaluation late; windows that end with the running minute may be early by its rest.
    assert theory * (1 - (bucket - STEP) / 3600) <= fired <= theory + bucket + STEP
    if bucket == STEP:
        assert fired - STEP < theory <= fired


@pytest.mark.parametrize("rule", [FAST, SLOW, TICKET], ids=lambda rule: str(rule.key))
def test_simulated_detection_of_a_full_outage_by_each_rule(rule: BurnRule) -> None:
    fired = _first(_run(lambda second: Fraction(1), 300, (rule,)), rule.key, "firing")
    theory = {"1h_5m": 51.84, "6h_30m": 129.6, "3d_6h": 259.2}[rule.key]
    assert fired is not None
    assert fired - STEP < theory <= fired


@pytest.mark.parametrize("rule", [FAST, SLOW, TICKET], ids=lambda rule: str(rule.key))
@pytest.mark.parametrize("bucket", [STEP, 60])
def test_simulated_resets_after_a_long_outage(rule: BurnRule, bucket: int) -> None:
    outage = int(rule.long.total_seconds())
    theory = RESETS[rule.key]
    changes = _run(
        lambda second: Fraction(second < outage),
        outage + int(theory) + 2 * bucket + 2 * STEP,
        (rule,),
        bucket,
    )
    reset = _first(changes, rule.key, "ok", after=outage)
    assert reset is not None
    assert theory - (bucket - STEP) <= reset - outage <= theory + bucket + STEP


def test_fifteen_percent_for_ten_minutes() -> None:
    # By steps of 10 s: 345.6 -> 350, and 271.2 -> 280 after the end.
    changes = _run(lambda second: Fraction(15, 100) if second < 600 else Fraction(0), 1200, (FAST,))
    assert changes == [(10, {"1h_5m": "ok"}), (350, {"1h_5m": "firing"}), (880, {"1h_5m": "ok"})]


@pytest.mark.parametrize("errors", ["0.001", "0.0005", "0"])
def test_thirty_days_within_the_budget_tell_nobody(errors: str) -> None:
    changes = _run(lambda second: Fraction(errors), 30 * 86_400, (FAST, SLOW, TICKET))
    assert changes == [(10, {"1h_5m": "ok", "6h_30m": "ok", "3d_6h": "ok"})]


def test_the_lower_rules_are_held_while_the_higher_fires() -> None:
    changes = _run(lambda second: Fraction(second < 7200), 7200 + 21_700, (FAST, SLOW, TICKET))
    assert [(at, tuple(states.values())) for at, states in changes] == [
        (10, ("ok", "ok", "ok")),
        (60, ("firing", "ok", "ok")),
        (130, ("firing", "held", "ok")),
        (260, ("firing", "held", "held")),
        (7200 + 300, ("ok", "firing", "held")),
        (7200 + 1790, ("ok", "ok", "firing")),
        (7200 + 21_580, ("ok", "ok", "ok")),
    ]


def _states(rates: dict[timedelta, int | None], events: int = 1000, **more: object) -> list[tuple[str, str]]:
    burns = {window: Burn(None if rate is None else Fraction(rate), events) for window, rate in rates.items()}
    found = evaluate((FAST, TICKET), burns, **more)  # type: ignore[arg-type]
    return [(condition.state, condition.note) for condition in found]


def _rates(fast: int | None, brief: int | None, slow: int | None = 0) -> dict[timedelta, int | None]:
    return {FAST.long: fast, FAST.short: brief, TICKET.long: slow, TICKET.short: slow}


def test_both_windows_must_be_above_the_factor() -> None:
    assert _states(_rates(15, 15))[0] == ("firing", "")
    assert _states(_rates(15, 14))[0] == ("ok", "")
    assert _states(_rates(14, 15))[0] == ("ok", "")
    edge = {FAST.long: Burn(FAST.factor), FAST.short: Burn(FAST.factor)}
    assert evaluate((FAST,), edge) == [Condition(FAST, "ok", FAST.factor, FAST.factor)]


def test_without_data_a_condition_is_neither_firing_nor_all_right() -> None:
    assert _states(_rates(None, None))[0] == ("unknown", "no_data")
    assert _states(_rates(15, None))[0] == ("unknown", "no_data")
    assert _states({})[0] == ("unknown", "no_data")
    # One window that is known to be fine is enough to know that the rule does not hold.
    assert _states(_rates(1, None))[0] == ("ok", "")
    assert _states(_rates(None, 0))[0] == ("ok", "")


def test_an_outage_that_ends_the_data_does_not_end_its_alert() -> None:
    assert _states(_rates(20, None), active={"1h_5m"})[0] == ("firing", "stale")
    assert _states(_rates(None, None), active={"1h_5m"})[0] == ("firing", "stale")
    assert _states(_rates(20, 0), active={"1h_5m"})[0] == ("ok", "")
    # What is stale still holds the lower rule back.
    assert _states(_rates(None, None, 2), active={"1h_5m", "3d_6h"}) == [("firing", "stale"), ("held", "")]


def test_low_traffic_begins_no_alert_and_ends_none() -> None:
    assert _states(_rates(20, 20), events=9, min_traffic=10)[0] == ("ok", "low_traffic")
    assert _states(_rates(20, 20), events=10, min_traffic=10)[0] == ("firing", "")
    assert _states(_rates(20, 20), events=9, min_traffic=10, active={"1h_5m"})[0] == ("firing", "")
