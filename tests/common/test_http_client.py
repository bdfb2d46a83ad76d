"""Where outgoing requests go, against real servers on loopback."""

from __future__ import annotations

import socket

import pytest

from agent_factory_site.common.http_client import (
    OutgoingRefused,
    parse_url,
)
from agent_factory_site.common.http_client.deadline import Deadline
from agent_factory_site.common.http_client.resolution import addresses_of
from agent_factory_site.common.models import AllowedNetwork
from agent_factory_site.common.services.allowed_networks import allow_network, archive_allowed_network
from tests.common.outgoing_servers import fixed, serving

from .outgoing_calls import answering, ask, failure, opened, refusal

pytestmark = [pytest.mark.django_db, pytest.mark.once]


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
        addresses_of(url, resolver=resolver, allowed=list, deadline=Deadline.within(200))


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
        deadline=Deadline.within(200),
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
