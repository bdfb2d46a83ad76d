"""Outgoing requests: where they go, what they say, and what may come back. Against real servers on loopback."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import pytest

from agent_factory_site.common.http_client import (
    OutgoingError,
    OutgoingFailed,
    OutgoingRefused,
    Response,
    parse_url,
    send,
)
from agent_factory_site.common.http_client.deadline import Deadline
from agent_factory_site.common.http_client.resolution import MAX_LOOKUPS, addresses_of
from agent_factory_site.common.models import AllowedNetwork
from agent_factory_site.common.services.allowed_networks import allow_network, archive_allowed_network
from tests.common.outgoing_servers import OK, Server, fixed, serving, silence

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def answering(*answers: Sequence[str]) -> tuple[Callable[[str, int], Sequence[str]], list[tuple[str, int]]]:
    """A resolver that gives each of ``answers`` once and the last one from then on, and what it was asked."""
    asked: list[tuple[str, int]] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return answers[min(len(asked), len(answers)) - 1]

    return resolver, asked


def opened(server: Server, cidr: str = "127.0.0.0/8") -> Server:
    allow_network(cidr=cidr, port=server.port, purpose="tests")
    return server


def ask(url: str, **changes: Any) -> Response:
    return send("GET", url, **{"deadline": 20, "max_bytes": 1000, **changes})


def refusal(url: str, **changes: Any) -> OutgoingRefused:
    with pytest.raises(OutgoingRefused) as caught:
        ask(url, **changes)
    return caught.value


def failure(url: str, **changes: Any) -> OutgoingFailed:
    with pytest.raises(OutgoingFailed) as caught:
        ask(url, **changes)
    return caught.value


# --- Where it goes ------------------------------------------------------------------------------


def test_a_name_is_looked_up_once_and_the_connection_goes_to_that_very_address() -> None:
    resolver, asked = answering(["127.0.0.2"], ["127.0.0.1"])
    with serving(host="127.0.0.2") as right, serving(host="127.0.0.1", port=right.port) as wrong:
        opened(right)
        answer = ask(f"http://Agents.example.test:{right.port}/health?deep=1", resolver=resolver)
    assert (answer.status, answer.body, answer.address, answer.truncated) == (200, b"ok", "127.0.0.2", False)
    assert answer.headers == {"content-length": "2"}
    assert answer.elapsed > 0
    assert asked == [("agents.example.test", right.port)]
    assert wrong.connections == 0
    assert right.requests == [
        f"GET /health?deep=1 HTTP/1.1\r\nHost: agents.example.test:{right.port}\r\nUser-Agent: agent-factory\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode()
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_address_in_the_url_needs_no_look_up(host: str) -> None:
    resolver, asked = answering(["10.0.0.1"])
    try:
        socket.create_server(
            (host.strip("[]"), 0), family=socket.AF_INET6 if "[" in host else socket.AF_INET
        ).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(host=host.strip("[]")) as server:
        opened(server, host.strip("[]"))
        assert ask(f"http://{host}:{server.port}/", resolver=resolver).body == b"ok"
    assert asked == []
    assert f"Host: {host}:{server.port}\r\n".encode() in server.requests[0]


def test_the_resolver_of_the_system() -> None:
    with serving() as server:
        url = f"http://localhost:{server.port}/"
        assert refusal(url).reason == "address"
        opened(server)
        opened(server, "::1")
        assert ask(url).address == "127.0.0.1"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",  # noqa: S104
    ],
)
def test_this_machine_is_not_reached_in_any_spelling(host: str) -> None:
    with serving() as server:
        refused = refusal(f"http://{host}:{server.port}/")
    assert (refused.reason, refused.code, server.connections) == ("address", "address", 0)


def test_a_name_that_leads_inside_is_refused_before_anything_is_connected_to() -> None:
    with serving() as server:
        resolver, _ = answering(["127.0.0.1"])
        refused = refusal(f"http://rebind.example.test:{server.port}/", resolver=resolver)
    assert server.connections == 0
    assert refused.detail == (
        f"rebind.example.test leads to 127.0.0.1 (loopback), and port {server.port} there is not allowed."
    )


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "fe80::1%lo"]]
)
def test_one_bad_address_is_enough(addresses: list[str]) -> None:
    resolver, _ = answering(addresses)
    with serving() as server:
        opened(server)
        assert refusal(f"http://two.example.test:{server.port}/", resolver=resolver).reason == "address"
    assert server.connections == 0


@pytest.mark.parametrize("bad", ["10.0.0.1", "127.0.0.1", "::ffff:8.8.8.8", "fd12::1"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_address_among_public_ones_is_enough(bad: str, place: int) -> None:
    addresses = ["8.8.8.8", "2606:4700::1111"]
    addresses.insert(place, bad)
    resolver, _ = answering(addresses)
    url = parse_url("http://mixed.example.test/")
    with pytest.raises(OutgoingRefused, match=f"leads to {bad} "):
        addresses_of(url, resolver=resolver, allowed=list, deadline=Deadline.within(20))


def test_every_attempt_is_judged_afresh() -> None:
    resolver, asked = answering(["127.0.0.1"], ["10.0.0.1"])
    with serving() as server:
        opened(server)
        url = f"http://turns.example.test:{server.port}/"
        assert ask(url, resolver=resolver).status == 200
        assert "10.0.0.1 (private)" in refusal(url, resolver=resolver).detail
    assert (len(asked), server.connections) == (2, 1)


def test_what_is_opened_and_closed_holds_from_the_next_request_on() -> None:
    with serving() as server:
        assert refusal(server.url).reason == "address"
        row = allow_network(cidr="127.0.0.1", port=server.port, purpose="tests")
        assert ask(server.url).status == 200
        archive_allowed_network(network_id=row.pk)
        assert refusal(server.url).reason == "address"
    assert server.connections == 1


def test_another_port_than_the_one_that_is_open() -> None:
    with serving() as server, serving() as other:
        opened(server)
        assert refusal(other.url).reason == "address"
    assert other.connections == 0


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"])
def test_cloud_metadata_stays_closed_whatever_the_table_says(address: str) -> None:
    # Rows that the service refuses to write.
    for cidr in ("169.254.0.0/16", "100.64.0.0/10", "fd00::/8", "0.0.0.0/0", "::/0"):
        AllowedNetwork.objects.create(cidr=cidr, purpose="a mistake", created_by="system:tests")
    resolver, _ = answering([address])
    assert "(cloud metadata)" in refusal("http://metadata.example.test/", resolver=resolver).detail


def test_where_every_address_is_public_nobody_asks_what_is_open() -> None:
    resolver, _ = answering(["8.8.8.8", "2606:4700::1111"])
    found = addresses_of(
        parse_url("http://public.example.test/"),
        resolver=resolver,
        allowed=lambda: pytest.fail("the allowed networks were read"),
        deadline=Deadline.within(20),
    )
    assert [str(each) for each in found] == ["8.8.8.8", "2606:4700::1111"]


def test_the_next_address_is_tried_where_nobody_listens() -> None:
    resolver, _ = answering(["127.0.0.3", "127.0.0.1"])
    with serving() as server:
        opened(server)
        assert ask(f"http://two.example.test:{server.port}/", resolver=resolver).address == "127.0.0.1"


def test_nobody_listens() -> None:
    with serving() as server:
        opened(server)
    failed = failure(server.url)
    assert (failed.kind, failed.sent, failed.address) == ("connect", False, "127.0.0.1")
    assert failed.detail == f"No connection to 127.0.0.1 port {server.port}: Connection refused."


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server, serving(fixed(b"HTTP/1.1 502 Proxy\r\n\r\n")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        opened(server)
        assert ask(server.url).status == 200
    assert (server.connections, proxy.connections) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers(status: int) -> None:
    with serving() as inside:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with serving(fixed(moved)) as server:
            opened(server)
            opened(inside)
            answer = ask(server.url)
    assert (answer.status, answer.headers["location"], answer.body) == (status, inside.url, b"")
    assert (server.connections, inside.connections) == (1, 0)


# --- Looking up ---------------------------------------------------------------------------------


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
        over.wait(60)
        return ["127.0.0.1"]

    failed = failure("http://slow.example.test/", resolver=resolver, deadline=0.2)
    over.set()
    assert (failed.kind, failed.detail, failed.sent) == ("timeout", "No complete answer within 0.2 s.", False)


def test_look_ups_that_do_not_end_take_a_bounded_number_of_threads() -> None:
    over = Event()
    started: list[str] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        started.append(host)
        over.wait(60)
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


# --- What it says -------------------------------------------------------------------------------


def test_a_body_and_headers_arrive_as_given() -> None:
    body = bytes(range(256)) * 4096
    headers = {
        "Content-Type": "application/json",
        "webhook-id": "msg_1",
        "User-Agent": "probe",
        "X-Empty": "",
    }
    with serving() as server:
        opened(server)
        answer = send("POST", server.url, headers=headers, body=body, deadline=20, max_bytes=10)
    assert answer.status == 200
    head, _, sent = server.requests[0].partition(b"\r\n\r\n")
    assert sent == body
    assert head.decode().split("\r\n") == [
        "POST / HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Type: application/json", "webhook-id: msg_1",
        "User-Agent: probe", "X-Empty: ", "Content-Length: 1048576", "Accept-Encoding: identity", "Connection: close",
    ]  # fmt: skip


def test_an_empty_post_says_so() -> None:
    with serving() as server:
        opened(server)
        assert send("POST", server.url, deadline=20, max_bytes=10).status == 200
    assert b"\r\nContent-Length: 0\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "header"),
        ({"headers": {"X-A": "1\nX-B: 2"}}, "header"),
        ({"headers": {"X-A": "1\r"}}, "header"),
        ({"headers": {"X-A": "1\x00"}}, "header"),
        ({"headers": {"X-A": "ü"}}, "header"),
        ({"headers": {"X-A": " 1"}}, "header"),
        ({"headers": {"X-A": "1\n"}}, "header"),
        ({"headers": {"X-A\r\nX-B": "1"}}, "header"),
        ({"headers": {"X-A:": "1"}}, "header"),
        ({"headers": {"X A": "1"}}, "header"),
        ({"headers": {"": "1"}}, "header"),
        ({"headers": {"X-Ä": "1"}}, "header"),
        ({"headers": {"Host": "inside"}}, "header"),
        ({"headers": {"hOST": "inside"}}, "header"),
        ({"headers": {"Content-Length": "5"}}, "header"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "header"),
        ({"headers": {"Connection": "keep-alive"}}, "header"),
        ({"headers": {"Accept-Encoding": "gzip"}}, "header"),
        ({"headers": {"Expect": "100-continue"}}, "header"),
        ({"headers": {"Upgrade": "h2c"}}, "header"),
        ({"headers": {"Proxy-Authorization": "Basic x"}}, "header"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "header"),
        ({"headers": {f"X-{number}": "1" for number in range(65)}}, "header"),
        ({"headers": {"X-A": "1" * 16384}}, "header"),
        ({"method": "CONNECT"}, "method"),
        ({"method": "TRACE"}, "method"),
        ({"method": "get"}, "method"),
        ({"method": "GET / HTTP/1.1\r\nX: "}, "method"),
        ({"method": "GET", "body": b"x"}, "method"),
        ({"body": b"x" * (1024 * 1024 + 1)}, "body_too_large"),
        ({"url": "http://user@127.0.0.1/"}, "userinfo"),
        ({"url": "ftp://127.0.0.1/"}, "scheme"),
    ],
)
def test_what_is_never_sent(changes: dict[str, Any], reason: str) -> None:
    with serving() as server, pytest.raises(OutgoingRefused) as caught:
        opened(server)
        send(**{"method": "POST", "url": server.url, "deadline": 5, "max_bytes": 10, **changes})
    assert (caught.value.reason, server.connections) == (reason, 0)


def test_a_secret_in_a_bad_header_is_not_repeated() -> None:
    refused = refusal("http://example.com/", headers={"Authorization": "Bearer s3cret\n"})
    assert "s3cret" not in refused.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": 301},
        {"deadline": float("nan")},
        {"max_bytes": -1},
        {"max_bytes": 2**30},
    ],
)
def test_limits_out_of_range_are_mistakes_of_the_caller(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="deadline|max_bytes"):
        ask("http://example.com/", **changes)


# --- What may come back -------------------------------------------------------------------------


def answer_of(data: bytes, **changes: Any) -> Response:
    with serving(fixed(data)) as server:
        opened(server)
        return ask(server.url, **changes)


def test_headers_are_lower_case_and_joined() -> None:
    answer = answer_of(
        b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nx-a: 2\r\nX-Folded: a\r\n  b\r\nContent-Length: 0\r\n\r\n"
    )
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers == {"x-a": "1, 2", "x-folded": "a b", "content-length": "0"}


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", b"until it closes"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", b"abc"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\nignored", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)
def test_every_framing_of_a_body(data: bytes, body: bytes) -> None:
    answer = answer_of(data)
    assert (answer.body, answer.truncated) == (body, False)


def test_an_answer_to_head_has_no_body() -> None:
    with serving(fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")) as server:
        opened(server)
        answer = send("HEAD", server.url, deadline=20, max_bytes=10)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "99")


def test_compressed_answers_are_handed_on_as_they_are() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    answer = answer_of(head + bomb, max_bytes=len(bomb))
    assert (answer.body, answer.headers["content-encoding"], answer.truncated) == (bomb, "gzip", False)


def test_a_silent_server_is_not_mistaken_for_an_answer() -> None:
    with serving(silence) as server:
        opened(server)
        failed = failure(server.url, deadline=2)
    assert (failed.kind, failed.sent, failed.address) == ("timeout", True, "127.0.0.1")
    assert isinstance(failed, OutgoingError)
