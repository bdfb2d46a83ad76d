"""What outgoing requests say, and what may come back."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from agent_factory_site.common.http_client import (
    OutgoingError,
    OutgoingRefused,
    Response,
    send,
)
from tests.common.outgoing_servers import OK, fixed, serving, silence

from .outgoing_calls import ask, failure, opened, refusal

pytestmark = [pytest.mark.django_db, pytest.mark.once]


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
        answer = send("POST", server.url, headers=headers, body=body, deadline=200, max_bytes=10)
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
        assert send("POST", server.url, deadline=200, max_bytes=10).status == 200
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
        answer = send("HEAD", server.url, deadline=200, max_bytes=10)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "99")


def test_compressed_answers_are_handed_on_as_they_are() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    answer = answer_of(head + bomb, max_bytes=len(bomb))
    assert (answer.body, answer.headers["content-encoding"], answer.truncated) == (bomb, "gzip", False)


def test_a_silent_server_is_not_mistaken_for_an_answer() -> None:
    with serving(silence) as server:
        opened(server)
        failed = failure(server.url, deadline=5)
    assert (failed.kind, failed.sent, failed.address) == ("timeout", True, "127.0.0.1")
    assert isinstance(failed, OutgoingError)
