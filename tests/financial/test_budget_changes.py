"""Changing budgets: limits, thresholds and overrides move the periods of now, and never those of before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.errors import Conflict, Forbidden, Invalid
from agent_factory_site.common.models import AuditEvent, User
from agent_factory_site.common.services.api_keys import create_api_key
from financial.models import Budget, BudgetCrossing, BudgetOverrun, BudgetPeriod
from financial.selectors.budgets import budget_periods, budget_status, period_statuses
from financial.services.budget_overrides import (
    approve_override,
    refresh_budgets,
    request_override,
    withdraw_override,
)
from financial.services.budgets import archive_budget, change_budget
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import HoldRequest, place_hold

from .budget_books import assert_budgets_agree
from .test_budget_creation import NOON, UNIT, budget, noon, settled, spend

pytestmark = pytest.mark.django_db
__all__ = ["noon"]


def overruns(row: Budget) -> list[tuple[str, int]]:
    found = BudgetOverrun.objects.filter(period__budget=row).order_by("id")
    return [(each.cause, each.amount) for each in found]


def test_a_limit_lowered_below_what_is_spent_leaves_an_overrun_and_a_crossing():
    row = budget("10", enforcement="hard", thresholds=[0.9])
    spend("6")
    change_budget(budget_id=row.pk, limit="4")
    assert overruns(row) == [("limit_lowered", 2 * UNIT)]
    assert [str(each.threshold) for each in BudgetCrossing.objects.filter(period__budget=row)] == ["0.9000"]
    status = budget_status(row.pk)
    assert (status.state, status.period.remaining) == ("exceeded", -2 * UNIT)
    change_budget(budget_id=row.pk, limit="20")
    spend("3")
    assert budget_status(row.pk).state == "ok"
    assert overruns(row) == [("limit_lowered", 2 * UNIT)]
    assert_budgets_agree()


def test_what_is_held_counts_when_a_hard_limit_is_lowered():
    row = budget("10", enforcement="hard")
    held = place_hold(request=hold("6"))
    change_budget(budget_id=row.pk, limit="5")
    assert overruns(row) == [("limit_lowered", UNIT)]
    settle_hold(hold_id=held.hold.pk, owner="api_key:1", settling=Settling(amount="6", currency="USD"))
    assert_budgets_agree()


def hold(amount: str, **given: Any) -> HoldRequest:
    values = {
        "owner": "api_key:1",
        "entity": ("agent", "bot"),
        "amount": int(float(amount) * UNIT),
        "currency": "USD",
        "cost_type": "llm",
    }
    return HoldRequest(**values | given)


def test_a_soft_budget_that_becomes_hard_accounts_for_what_it_is_over():
    row = budget("2")
    spend("1.5")
    place_hold(request=hold("1"))
    assert overruns(row) == []
    change_budget(budget_id=row.pk, enforcement="hard")
    assert overruns(row) == [("limit_lowered", UNIT // 2)]
    assert_budgets_agree()


def test_past_periods_keep_their_limit_and_future_ones_follow(noon):
    row = budget("10")
    spend("1")
    noon(NOON + timedelta(days=20))
    spend("2", NOON + timedelta(days=20))
    change_budget(budget_id=row.pk, limit="7")
    rows = budget_periods(row)
    assert [(each.key, each.limit) for each in rows] == [("2026-12", 7 * UNIT), ("2026-11", 10 * UNIT)]
    assert [each.state for each in period_statuses(row, list(rows))] == ["ok", "ok"]


def test_thresholds_that_are_reached_already_are_crossed_at_once():
    row = budget("10", thresholds=[0.9])
    spend("5")
    change_budget(budget_id=row.pk, thresholds=[0.25, 0.5, 1])
    found = BudgetCrossing.objects.filter(period__budget=row).order_by("threshold")
    assert [str(each.threshold) for each in found] == ["0.2500", "0.5000"]
    spend("5")
    assert [str(each) for each in budget_status(row.pk).period.thresholds_crossed] == ["0.25", "0.5", "1"]


def test_a_limit_stays_between_those_of_parent_and_children():
    top = budget("10")
    middle = budget("5", parent=top.pk)
    budget("3", parent=middle.pk)
    for limit, code in (("10.000000001", "above_parent"), ("2.999999999", "below_child")):
        with pytest.raises(Invalid) as refused:
            change_budget(budget_id=middle.pk, limit=limit)
        assert [(e.pointer, e.code) for e in refused.value.errors] == [("/limit", code)]
    assert change_budget(budget_id=middle.pk, limit="3").limit == 3 * UNIT


def test_what_decides_what_counts_never_changes():
    row = budget()
    child = budget("5", parent=row.pk)
    with pytest.raises(Invalid) as refused:
        change_budget(budget_id=row.pk, fixed=["period", "currency"], limit="-1")
    assert [(e.pointer, e.code) for e in refused.value.errors] == [
        ("/period", "fixed"),
        ("/currency", "fixed"),
        ("/limit", "too_small"),
    ]
    for target, parent, code in ((row, child.pk, "circle"), (row, row.pk, "circle"), (child, None, "fixed")):
        with pytest.raises(Invalid) as refused:
            change_budget(budget_id=target.pk, parent=parent)
        assert [(e.pointer, e.code) for e in refused.value.errors] == [("/parent", code)]
    assert change_budget(budget_id=child.pk, parent=str(row.pk), name="Renamed").name == "Renamed"


def test_check_sees_the_row_and_may_refuse():
    row = budget()

    def check(found: Budget) -> None:
        assert found.pk == row.pk
        raise Conflict("stale", "Read it again.")

    with pytest.raises(Conflict):
        change_budget(budget_id=row.pk, limit="1", check=check)
    assert Budget.objects.get().limit == 10 * UNIT


def test_nothing_is_written_for_a_change_to_what_is_there():
    row = budget()
    before = AuditEvent.objects.count()
    change_budget(budget_id=row.pk, limit="10", name="Support bots", thresholds=[0.8, 1.0], ends_on=None)
    assert AuditEvent.objects.count() == before


def test_an_archived_or_ended_budget_is_not_changed(noon):
    row = budget(ends_on=date(2026, 11, 18))
    noon(datetime(2026, 11, 19, tzinfo=UTC))
    with pytest.raises(Conflict, match="ended"):
        change_budget(budget_id=row.pk, ends_on=None)
    assert budget_status(row.pk).state == "closed"
    archive_budget(budget_id=row.pk)
    archive_budget(budget_id=row.pk)
    with pytest.raises(Conflict, match="archived"):
        change_budget(budget_id=row.pk, name="x")


def test_another_end_counts_what_is_already_there_beyond_it(noon):
    late = datetime(2026, 11, 18, 23, 58, tzinfo=UTC)
    row = budget()
    noon(late)
    spend("1", late)
    spend("2", late + timedelta(minutes=3))
    change_budget(budget_id=row.pk, ends_on=date(2026, 11, 18))
    assert settled(row) == {"2026-11": "1.0"}
    change_budget(budget_id=row.pk, ends_on=date(2026, 11, 19))
    assert settled(row) == {"2026-11": "3.0"}
    assert_budgets_agree()


@pytest.mark.parametrize(
    ("rollover", "cap", "carried"), [("all", None, [9, 16]), ("capped", "2", [2, 2]), ("none", None, [0, 0])]
)
def test_what_is_left_rolls_over_and_follows_late_events(noon, rollover, cap, carried):
    row = budget("10", rollover=rollover, rollover_cap=cap, enforcement="hard")
    spend("1")
    noon(datetime(2026, 12, 5, tzinfo=UTC))
    spend("3", datetime(2026, 12, 5, tzinfo=UTC))
    noon(datetime(2027, 1, 5, tzinfo=UTC))
    spend("5", datetime(2027, 1, 5, tzinfo=UTC))

    def carried_now() -> list[int]:
        rows = BudgetPeriod.objects.filter(budget=row).order_by("starts_at")
        return [each.carried // UNIT for each in rows][1:]

    assert carried_now() == carried
    spend("8.5", NOON)
    if rollover == "all":
        rows = BudgetPeriod.objects.filter(budget=row).order_by("starts_at")
        assert [each.carried for each in rows] == [0, UNIT // 2, 7 * UNIT + UNIT // 2]
    assert_budgets_agree()


def test_periods_without_a_row_carry_the_limit_they_had(noon):
    row = budget("10", rollover="all")
    spend("1")
    noon(datetime(2027, 1, 5, tzinfo=UTC))
    change_budget(budget_id=row.pk, limit="100")
    assert budget_status(row.pk).period.limit == (100 + 9 + 10) * UNIT
    spend("1", datetime(2027, 1, 5, tzinfo=UTC))
    assert budget_status(row.pk).period.limit == (100 + 9 + 10) * UNIT


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
def test_a_rolling_window_lets_go_of_days_at_local_midnight(noon, zone):
    row = budget("10", period="rolling:3d", timezone=zone, enforcement="hard")
    spend("4", NOON)
    noon(NOON + timedelta(days=1))
    spend("2", NOON + timedelta(days=1))
    spend("1", NOON - timedelta(days=1))
    assert budget_status(row.pk).period.settled == 7 * UNIT
    noon(NOON + timedelta(days=2))
    assert budget_status(row.pk).period.settled == 6 * UNIT
    noon(NOON + timedelta(days=3))
    assert budget_status(row.pk).period.settled == 2 * UNIT
    assert refresh_budgets() == 1
    assert BudgetPeriod.objects.get(budget=row).settled == 2 * UNIT
    assert_budgets_agree()


def test_a_credit_that_leaves_the_window_shows_what_it_covered(noon):
    row = budget("10", period="rolling:2d", enforcement="hard")
    spend("-5", NOON - timedelta(days=1), kind="credit", reason="goodwill")
    spend("14", NOON)
    assert (budget_status(row.pk).period.settled, overruns(row)) == (9 * UNIT, [])
    noon(NOON + timedelta(days=1))
    status = budget_status(row.pk).period
    assert (status.settled, status.overrun) == (14 * UNIT, 4 * UNIT)
    refresh_budgets()
    assert overruns(row) == [("window_moved", 4 * UNIT)]
    assert_budgets_agree()


def crossings(row: Budget) -> list[tuple[str, date | None]]:
    found = BudgetCrossing.objects.filter(period__budget=row).order_by("at", "threshold")
    return [(f"{each.threshold:f}", each.day) for each in found]


def test_a_rolling_budget_tells_of_a_threshold_again_only_once_its_window_has_let_go(noon):
    row = budget("10", period="rolling:2d", thresholds=[0.5, 0.8])
    spend("6", NOON)
    first = ("0.5000", NOON.date())
    assert crossings(row) == [first]
    change_budget(budget_id=row.pk, limit="7")
    assert crossings(row) == [first, ("0.8000", NOON.date())]
    # A day on which the window still reaches both tells nothing new; then it lets go.
    tomorrow = NOON + timedelta(days=1)
    noon(tomorrow)
    spend("1", tomorrow)
    assert len(crossings(row)) == 2
    third = NOON + timedelta(days=2)
    noon(third)
    spend("3", third)
    assert crossings(row)[2:] == [("0.5000", third.date())]
    assert_budgets_agree()


@pytest.fixture
def people() -> list[User]:
    return [User.objects.create_user(username=name) for name in ("ann", "ben")]


def as_user(user: User) -> Any:
    return acting(Actor.user(user.pk))


def test_an_override_takes_two_people_and_ends_exactly(noon, people):
    ann, ben = people
    row = budget("10", enforcement="hard")
    spend("9")
    with as_user(ann):
        asked = request_override(
            budget_id=row.pk, amount="5", until=NOON + timedelta(hours=2), reason="month end"
        )
        with pytest.raises(Forbidden):
            approve_override(override_id=asked.pk)
    assert budget_status(row.pk).period.limit == 10 * UNIT
    with as_user(ben):
        approve_override(override_id=asked.pk)
        with pytest.raises(Conflict):
            approve_override(override_id=asked.pk)
    assert budget_status(row.pk).period.limit == 15 * UNIT
    place_hold(request=hold("3"))
    spend("2")
    noon(NOON + timedelta(hours=2) - timedelta(microseconds=1))
    assert budget_status(row.pk).period.limit == 15 * UNIT
    noon(NOON + timedelta(hours=2))
    status = budget_status(row.pk).period
    assert (status.limit, status.overrun) == (10 * UNIT, 4 * UNIT)
    assert BudgetPeriod.objects.get(budget=row).limit == 15 * UNIT
    assert refresh_budgets() == 1
    assert overruns(row) == [("override_ended", 4 * UNIT)]
    asked.refresh_from_db()
    assert asked.ended_at == asked.until
    assert refresh_budgets() == 0
    assert_budgets_agree()


def test_a_key_acts_for_its_owner_and_nobody_approves_for_nobody(people):
    ann, ben = people
    row = budget()
    later = NOON + timedelta(days=1)
    hers, _ = create_api_key(name="hers", scopes=["financial:admin"], owner=ann)
    nobodys, _ = create_api_key(name="nobody's", scopes=["financial:admin"])
    with acting(Actor.api_key(hers.pk)):
        asked = request_override(budget_id=row.pk, amount="1", until=later, reason="r")
    assert (asked.requested_by, asked.requested_as) == (ann, f"api_key:{hers.pk}")
    for actor in (Actor.api_key(hers.pk), Actor.user(ann.pk), Actor.api_key(nobodys.pk), Actor.task("x")):
        with acting(actor), pytest.raises(Forbidden):
            approve_override(override_id=asked.pk)
    with as_user(ben):
        assert approve_override(override_id=asked.pk).approved_by == ben


def test_a_withdrawn_override_lowers_the_limit_again(people):
    ann, ben = people
    row = budget("1", enforcement="hard")
    with as_user(ann):
        asked = request_override(
            budget_id=row.pk, amount="5", until=NOON + timedelta(days=40), reason="r", entity_id="bot"
        )
    with as_user(ben):
        approve_override(override_id=asked.pk)
    spend("3")
    withdraw_override(override_id=asked.pk)
    assert overruns(row) == [("override_ended", 2 * UNIT)]
    with pytest.raises(Conflict):
        withdraw_override(override_id=asked.pk)
    assert_budgets_agree()


def test_a_past_period_keeps_what_an_override_gave_it(noon, people):
    ann, ben = people
    row = budget("10", enforcement="hard")
    with as_user(ann):
        asked = request_override(budget_id=row.pk, amount="5", until=NOON + timedelta(days=30), reason="r")
    with as_user(ben):
        approve_override(override_id=asked.pk)
    spend("14")
    noon(NOON + timedelta(days=31))
    refresh_budgets()
    assert overruns(row) == []
    assert budget_status(row.pk).period.limit == 10 * UNIT


def test_an_override_may_be_for_one_of_many(people):
    ann, ben = people
    row = budget("10", entity_id="*")
    spend("1")
    spend("1", entity_id="other")
    later = NOON + timedelta(days=1)
    with as_user(ann):
        asked = request_override(budget_id=row.pk, amount="5", until=later, reason="r", entity_id="bot")
        with pytest.raises(Invalid):
            request_override(budget_id=row.pk, amount="5", until=later, reason="r", entity_id="unknown")
    with as_user(ben):
        approve_override(override_id=asked.pk)
    limits = {each: budget_status(row.pk, entity_id=each).period.limit // UNIT for each in ("bot", "other")}
    assert limits == {"bot": 15, "other": 10}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"amount": "0"}, "/amount"),
        ({"amount": "-1"}, "/amount"),
        ({"amount": 5}, "/amount"),
        ({"until": NOON}, "/until"),
        ({"until": datetime(2027, 1, 1)}, "/until"),  # noqa: DTZ001 - without a zone, on purpose
        ({"reason": " "}, "/reason"),
        ({"reason": "x" * 501}, "/reason"),
        ({"entity_id": "other"}, "/entity_id"),
    ],
)
def test_a_bad_request_for_an_override_is_refused(changes, pointer):
    row = budget()
    with pytest.raises(Invalid) as refused:
        request_override(
            **{"budget_id": row.pk, "amount": "1", "until": NOON + timedelta(days=1), "reason": "r"} | changes
        )
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_all_allowances_together_tell_how_many_are_over():
    row = budget("10", entity_id="*", thresholds=[0.5])
    for name, amount in (("a", "4.999999999"), ("b", "5"), ("c", "10"), ("d", "11")):
        spend(amount, entity_id=name)
    total = budget_status(row.pk).total
    assert (total.entities, total.exceeded, total.warning) == (4, 2, 1)
    assert total.settled == 30_999_999_999
    assert budget_status(row.pk).state == "exceeded"
    assert budget_status(row.pk, entity_id="a").state == "ok"


@pytest.mark.parametrize(
    ("period", "instants"),
    [
        # The last microsecond of a month in winter time, and the first one of the next.
        ("month", {"2026-10-31T22:59:59.999999Z": "2026-10", "2026-10-31T23:00:00Z": "2026-11"}),
        # A day of 25 hours.
        (
            "day",
            {
                "2026-10-24T21:59:59.999999Z": "2026-10-24",
                "2026-10-24T22:00:00Z": "2026-10-25",
                "2026-10-25T22:59:59.999999Z": "2026-10-25",
                "2026-10-25T23:00:00Z": "2026-10-26",
            },
        ),
        # An hour that the clock repeats is two.
        (
            "hour",
            {
                "2026-10-25T00:30:00Z": "2026-10-25T02:00:00+02:00",
                "2026-10-25T01:30:00Z": "2026-10-25T02:00:00+01:00",
            },
        ),
    ],
)
def test_late_events_land_in_their_own_period_where_clocks_change(noon, period, instants):
    noon(datetime(2026, 10, 20, tzinfo=UTC))
    row = budget(period=period, timezone="Europe/Berlin")
    noon(NOON)
    expected: dict[str, float] = {}
    for text, key in instants.items():
        spend("1", datetime.fromisoformat(text))
        expected[key] = expected.get(key, 0) + 1
    found = {key: float(amount) for key, amount in settled(row).items() if float(amount)}
    assert found == expected
    assert_budgets_agree()
