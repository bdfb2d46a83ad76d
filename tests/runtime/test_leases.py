"""A lease has at most one holder, whatever happens to the processes that want it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent_factory_site.common.models.lease import Lease
from agent_factory_site.common.selectors.leases import lease_holder
from agent_factory_site.common.services.leases import acquire_lease, release_lease, renew_lease
from tests.processes import Child, until

LONG = timedelta(hours=1)
SHORT = timedelta(milliseconds=200)


@pytest.mark.django_db
def test_the_first_gets_it_and_the_second_does_not() -> None:
    assert lease_holder("x") is None
    assert acquire_lease(name="x", holder="a", duration=LONG) is True
    assert acquire_lease(name="x", holder="b", duration=LONG) is False
    assert acquire_lease(name="y", holder="b", duration=LONG) is True
    assert (lease_holder("x"), lease_holder("y")) == ("a", "b")


@pytest.mark.django_db
def test_its_holder_extends_it() -> None:
    acquire_lease(name="x", holder="a", duration=timedelta(minutes=1))
    first = Lease.objects.get(name="x")
    assert acquire_lease(name="x", holder="a", duration=LONG) is True
    again = Lease.objects.get(name="x")
    assert again.expires_at - first.expires_at > timedelta(minutes=58)
    assert renew_lease(name="x", holder="a", duration=LONG) is True
    assert renew_lease(name="x", holder="b", duration=LONG) is False
    assert renew_lease(name="nothing", holder="a", duration=LONG) is False
    assert Lease.objects.get(name="x").holder == "a"


@pytest.mark.django_db
def test_it_lasts_as_long_as_asked_by_the_clock_of_the_database() -> None:
    before = datetime.now(UTC)
    acquire_lease(name="x", holder="a", duration=timedelta(seconds=30))
    after = datetime.now(UTC)
    lease = Lease.objects.get(name="x")
    assert lease.expires_at - lease.renewed_at == timedelta(seconds=30)
    # The databases of the tests run on this machine; SQLite's clock has milliseconds.
    assert before - timedelta(milliseconds=1) <= lease.renewed_at <= after


@pytest.mark.django_db
def test_one_that_has_run_out_is_anybodys_but_not_renewed() -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    Lease.objects.create(name="x", holder="a", expires_at=past, renewed_at=past)
    assert lease_holder("x") is None
    assert renew_lease(name="x", holder="a", duration=LONG) is False
    assert acquire_lease(name="x", holder="b", duration=LONG) is True
    assert lease_holder("x") == "b"


@pytest.mark.django_db
def test_one_that_is_given_back_is_free_at_once() -> None:
    acquire_lease(name="x", holder="a", duration=LONG)
    assert release_lease(name="x", holder="b") is False
    assert release_lease(name="x", holder="a") is True
    assert release_lease(name="x", holder="a") is False
    assert acquire_lease(name="x", holder="b", duration=LONG) is True


ROUNDS = 25


def _race(child: Child, holder: str) -> list[bool]:
    child.say("ready")
    child.hear()
    return [acquire_lease(name=f"race-{number}", holder=holder, duration=LONG) for number in range(ROUNDS)]


@pytest.mark.django_db(transaction=True)
def test_processes_that_race_for_leases_get_each_once() -> None:
    holders = [f"holder-{number}" for number in range(6)]
    children = [Child(_race, holder) for holder in holders]
    for child in children:
        assert child.hear() == "ready"
    for child in children:
        child.say("go")
    results = [child.result() for child in children]
    assert [sum(won) for won in zip(*results)] == [1] * ROUNDS
    for number in range(ROUNDS):
        winner = next(holder for holder, won in zip(holders, results) if won[number])
        assert lease_holder(f"race-{number}") == winner


def _take_over(child: Child, holder: str) -> list[str]:
    """Hold the lease as often as it can be had in a while; what this holder saw while it held it."""
    seen = []
    child.say("ready")
    child.hear()
    for _ in range(200):
        if acquire_lease(name="x", holder=holder, duration=LONG):
            seen.append(str(lease_holder("x")))
            release_lease(name="x", holder=holder)
    return seen


@pytest.mark.django_db(transaction=True)
def test_nobody_else_holds_a_lease_while_it_is_held() -> None:
    holders = ["a", "b", "c"]
    children = [Child(_take_over, holder) for holder in holders]
    for child in children:
        child.hear()
    for child in children:
        child.say("go")
    for holder, child in zip(holders, children):
        assert set(child.result()) <= {holder}
    assert lease_holder("x") is None


def _hold(child: Child) -> None:
    child.say(acquire_lease(name="x", holder="victim", duration=SHORT))
    child.hear()


@pytest.mark.django_db(transaction=True)
def test_the_lease_of_a_killed_process_is_free_once_it_has_run_out() -> None:
    victim = Child(_hold)
    assert victim.hear() is True
    victim.kill()
    expires_at = Lease.objects.get(name="x").expires_at
    until(lambda: acquire_lease(name="x", holder="heir", duration=LONG))
    assert Lease.objects.get(name="x").renewed_at >= expires_at
