"""Processes die between and within the steps of a hold: nothing is half done, and a repeat completes it."""

from __future__ import annotations

import os
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent
from financial.models import BudgetOverrun, BudgetPeriod, CostEvent, Hold
from financial.services.hold_expiry import expire_holds
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import place_hold
from tests.processes import PATIENCE, Child, until_sessions_end

from .books import assert_books_agree
from .test_holds import make_budget, request, sums

SETTLING = Settling(amount="7", currency="USD")


def dying_before(statement: str):
    """Kills this process, as by ``kill -9``, right before the database is told ``statement``."""

    def wrapper(execute, sql, params, many, context):
        if statement in sql:
            os.kill(os.getpid(), 9)
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


def die(child: Child, statement: str, hold: UUID | None) -> None:
    with acting(Actor.system("tests")), dying_before(statement):
        if hold is None:
            place_hold(request=request(5))
        else:
            settle_hold(hold_id=hold, owner=None, settling=SETTLING)


def kill(statement: str, hold: UUID | None = None) -> None:
    child = Child(die, statement, hold)
    child.process.join(PATIENCE)
    assert child.process.exitcode == -9
    until_sessions_end(child.pid)


def hold_and_die(child: Child) -> None:
    with acting(Actor.system("tests")):
        place_hold(request=request(5, expires_in=1))
    os.kill(os.getpid(), 9)


def test_a_hold_whose_process_died_returns_its_money_once(live_database):
    budget = make_budget(10)
    child = Child(hold_and_die)
    child.process.join(PATIENCE)
    assert child.process.exitcode == -9
    until_sessions_end(child.pid)
    assert sums(budget) == [(0, 0, 5, 0)]
    later = timezone.now() + timedelta(seconds=2)
    assert [expire_holds(now=later) for _ in range(3)] == [1, 0, 0]
    assert sums(budget) == [(0, 0, 0, 0)]
    assert AuditEvent.objects.filter(action="expire").count() == 1


@pytest.mark.parametrize(
    "statement",
    ['INSERT INTO "financial_hold"', 'INSERT INTO "common_auditevent"', "UPDATE financial_budgetperiod"],
)
def test_a_kill_while_placing_leaves_nothing(live_database, statement):
    budget = make_budget(10)
    place_hold(request=request(1))
    kill(statement)
    assert sums(budget) == [(0, 0, 1, 0)]
    assert Hold.objects.count() == 1
    place_hold(request=request(9))


@pytest.mark.parametrize(
    "statement",
    [
        'INSERT INTO "financial_costeventkey"',
        'INSERT INTO "financial_costrollupquarter"',
        "UPDATE financial_budgetperiod",
        'INSERT INTO "financial_budgetoverrun"',
        'UPDATE "financial_hold"',
    ],
)
def test_a_kill_while_settling_changes_nothing_and_a_repeat_completes(live_database, statement):
    budget = make_budget(6)
    placed = place_hold(request=request(5))
    kill(statement, placed.hold.id)
    assert sums(budget) == [(0, 0, 5, 0)]
    assert (CostEvent.objects.count(), BudgetOverrun.objects.count()) == (0, 0)
    settle_hold(hold_id=placed.hold.id, owner=None, settling=SETTLING)
    assert sums(budget) == [(7, 0, 0, 1)]
    assert BudgetPeriod.objects.get(budget=budget).overrun == BudgetOverrun.objects.get().amount
    assert CostEvent.objects.count() == 1
    assert expire_holds(now=timezone.now() + timedelta(days=1)) == 0
    assert_books_agree()
