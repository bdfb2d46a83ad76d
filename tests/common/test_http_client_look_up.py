"""Looking up where outgoing requests go: names without addresses, resolvers that never end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from threading import Event

import pytest

from agent_factory_site.common.http_client.resolution import MAX_LOOKUPS

from .outgoing_calls import answering, ask, failure

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def raising(error: Exception) -> Callable[[str, int], Sequence[str]]:
    def resolver(host: str, port: int) -> Sequence[str]:
        raise error

    return resolver


@pytest.mark.parametrize(
    ("resolver", "detail"),
    [
        (
            raising(socket.gaierror(-2, "Name or service not known")),
            "gone.example.test has no address: Name or service not known.",
        ),
        (raising(UnicodeError("label too long")), "gone.example.test has no address: the look-up failed."),
        (answering([])[0], "gone.example.test has no address."),
        (
            answering(["not an address"])[0],
            "The look-up of gone.example.test answered with something that is no address.",
        ),
        (answering(["127.0.0.1"] * 65)[0], "gone.example.test has more than 64 addresses."),
    ],
)
def test_a_name_without_addresses(resolver: Callable[[str, int], Sequence[str]], detail: str) -> None:
    failed = failure("http://gone.example.test/", resolver=resolver)
    assert (failed.kind, failed.detail, failed.sent, failed.address) == ("dns", detail, False, None)


def test_a_look_up_that_does_not_end_is_not_waited_for() -> None:
    over = Event()

    def resolver(host: str, port: int) -> Sequence[str]:
        over.wait()
        return ["127.0.0.1"]

    failed = failure("http://slow.example.test/", resolver=resolver, deadline=0.2)
    over.set()
    assert (failed.kind, failed.detail, failed.sent) == ("timeout", "No complete answer within 0.2 s.", False)


def test_look_ups_that_do_not_end_take_a_bounded_number_of_threads() -> None:
    over = Event()
    started: list[str] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        started.append(host)
        over.wait()
        return []

    for _ in range(10 * MAX_LOOKUPS):
        if len(started) == MAX_LOOKUPS:
            break
        assert failure("http://stuck.example.test/", resolver=resolver, deadline=0.02).kind == "timeout"
    for _ in range(3):
        assert failure("http://more.example.test/", resolver=resolver, deadline=0.05).kind == "timeout"
    over.set()
    assert len(started) == MAX_LOOKUPS
    assert failure("http://next.example.test/", resolver=resolver).kind == "dns"


def test_a_mistake_in_a_resolver_is_not_hidden() -> None:
    with pytest.raises(KeyError, match="mistake"):
        ask("http://mistake.example.test/", resolver=raising(KeyError("mistake")))
