"""Servers that never end, that drip, that lie about their length: each is left with its own failure."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from agent_factory_site.common.http_client import OutgoingFailed, Response, send
from agent_factory_site.common.http_client.connection import send_all
from agent_factory_site.common.http_client.deadline import Deadline
from agent_factory_site.common.services.allowed_networks import allow_network
from tests.common.outgoing_servers import Answer, drip, endless, fixed, reset, serving, silence

pytestmark = [pytest.mark.django_db, pytest.mark.once]

HEAD = b"HTTP/1.1 200 OK\r\n"
NO_LENGTH = "Not an HTTP answer: its length is no number."
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def ask(answer: Answer, **changes: Any) -> Response:
    reads = changes.pop("reads", True)
    with serving(answer, reads=reads) as server:
        allow_network(cidr="127.0.0.1", port=server.port, purpose="tests")
        return send(**{"method": "GET", "url": server.url, "deadline": 200, "max_bytes": 1000, **changes})


def failure(answer: Answer, **changes: Any) -> OutgoingFailed:
    with pytest.raises(OutgoingFailed) as caught:
        ask(answer, **changes)
    return caught.value


# --- Too much -----------------------------------------------------------------------------------

ENDLESS_BODIES = {
    "until it closes": endless(b"x" * 4096, HEAD + b"\r\n"),
    "announced": endless(b"x" * 4096, HEAD + b"Content-Length: 99999999999\r\n\r\n"),
    "in chunks": endless(b"1000\r\n" + b"x" * 4096 + b"\r\n", CHUNKED),
    "in one chunk": endless(b"x" * 4096, CHUNKED + b"ffffffffffff\r\n"),
    "in chunks of a byte": endless(b"1\r\nx\r\n" * 100, CHUNKED),
    "of nothing but zeros, compressed": endless(b"\0" * 4096, HEAD + b"Content-Encoding: gzip\r\n\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS_BODIES)
@pytest.mark.parametrize("max_bytes", [0, 1, 1000, 200_000])
def test_a_body_without_end(kind: str, max_bytes: int) -> None:
    failed = failure(ENDLESS_BODIES[kind], max_bytes=max_bytes)
    assert (failed.kind, failed.detail) == ("too_large", f"The answer is larger than {max_bytes} bytes.")
    assert failed.sent


@pytest.mark.parametrize("kind", ENDLESS_BODIES)
@pytest.mark.parametrize("max_bytes", [0, 1, 1000, 200_000])
def test_a_body_without_end_is_cut_where_that_is_asked_for(kind: str, max_bytes: int) -> None:
    answer = ask(ENDLESS_BODIES[kind], max_bytes=max_bytes, truncate=True)
    assert (answer.status, len(answer.body), answer.truncated) == (200, max_bytes, True)


@pytest.mark.parametrize("truncate", [False, True])
def test_a_body_of_exactly_the_limit(truncate: bool) -> None:
    answer = ask(fixed(HEAD + b"\r\n" + b"x" * 1000), truncate=truncate)
    assert (len(answer.body), answer.truncated) == (1000, False)


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"1;" + b"x" * 60000 + b"\r\na\r\n", CHUNKED),
        endless(b"X-Trailer: 1\r\n" * 100, CHUNKED + b"0\r\n"),
    ],
    ids=["extensions", "trailers"],
)
@pytest.mark.parametrize("truncate", [False, True])
def test_a_wrapping_without_end(answer: Answer, truncate: bool) -> None:
    # What is wrapped stays small: its own limit is never reached.
    assert failure(answer, truncate=truncate).kind == "too_large"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (endless(b"X-Header: 1\r\n" * 100, HEAD), "protocol"),
        (endless(b"x" * 4096, HEAD + b"X-Header: "), "too_large"),
        (endless(b"X-Header: " + b"x" * 30000 + b"\r\n", HEAD), "too_large"),
        (endless(b"x" * 4096), "too_large"),
        (endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "too_large"),
        (endless(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), "protocol"),
    ],
    ids=["headers", "one header", "long headers", "status line", "continue", "hints"],
)
def test_a_head_without_end(answer: Answer, kind: str) -> None:
    assert failure(answer).kind == kind


# --- Too slow -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        silence,
        drip(b"H"),
        drip(b"X-Header: 1\r\n", HEAD),
        drip(b"x", HEAD + b"\r\n"),
        drip(b"x", HEAD + b"Content-Length: 900\r\n\r\n"),
        drip(b"1\r\nx\r\n", CHUNKED),
        drip(b"X-T: 1\r\n", CHUNKED + b"0\r\n"),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["nothing", "status", "headers", "body", "announced", "chunks", "trailers", "continue"],
)
@pytest.mark.parametrize("truncate", [False, True])
def test_the_deadline_holds_against_a_byte_now_and_then(answer: Answer, truncate: bool) -> None:
    # Each byte comes long before the deadline: a limit on single reads would wait for ever.
    failed = failure(answer, deadline=0.4, truncate=truncate)
    assert (failed.kind, failed.detail) == ("timeout", "No complete answer within 0.4 s.")


def test_a_receiver_that_does_not_read() -> None:
    failed = failure(silence, method="POST", body=b"x" * 1024 * 1024, reads=False, deadline=0.4)
    assert failed.kind == "timeout"


def test_sending_ends_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OutgoingFailed) as caught:
        send_all(ours, bytes(64 * 1024 * 1024), Deadline.within(0.3))
    assert (caught.value.kind, caught.value.sent) == ("timeout", True)


def test_an_address_that_takes_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        address = full.getsockname()
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(address)
        allow_network(cidr="127.0.0.1", port=address[1], purpose="tests")
        with pytest.raises(OutgoingFailed) as caught:
            send("GET", f"http://127.0.0.1:{address[1]}/", deadline=3, max_bytes=10)
    assert (caught.value.kind, caught.value.sent, caught.value.address) == ("timeout", False, "127.0.0.1")


def test_an_answer_that_comes_before_everything_was_sent() -> None:
    refused = fixed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert ask(refused, method="POST", body=b"x" * 1024 * 1024, reads=False).status == 413


# --- Not what it says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (reset, "The connection broke off: Connection reset by peer."),
        (fixed(b""), "Not an HTTP answer: the connection was closed without one."),
        (fixed(b"SSH-2.0-OpenSSH_9.2\r\n"), "Not an HTTP answer: its first line is no status line."),
        (fixed(b"<html>HTTP/0.9</html>\r\n\r\n"), "Not an HTTP answer: its first line is no status line."),
        (fixed(b"HTTP/1.1 2000 OK\r\n\r\n"), "Not an HTTP answer: its first line is no status line."),
        (fixed(b"HTTP/2 200\r\n\r\n"), "Not an HTTP answer: it is in another version of HTTP."),
        (fixed(HEAD + b"Content-Length: 9\r\n\r\nshort"), "Not an HTTP answer: it ends before its announced length."),
        (fixed(CHUNKED + b"9\r\nshort"), "Not an HTTP answer: it ends before its announced length."),
        (fixed(CHUNKED + b"zz\r\n"), "Not an HTTP answer: it ends before its announced length."),
        (fixed(HEAD + b"Content-Length: -1\r\n\r\nx"), NO_LENGTH),
        (fixed(HEAD + b"Content-Length: 1e3\r\n\r\nx"), NO_LENGTH),
        (fixed(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), NO_LENGTH),
        (
            fixed(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "Not an HTTP answer: it is framed in a way that was not asked for.",
        ),
    ],
)  # fmt: skip
def test_an_answer_that_is_none(answer: Answer, detail: str) -> None:
    failed = failure(answer)
    assert (failed.kind, failed.detail, failed.address) == ("protocol", detail, "127.0.0.1")


@pytest.mark.parametrize("size", [b"-5", b"-1", b"+5", b"0x5", b"5_0", b" ", b""])
def test_chunk_sizes_that_only_python_understands_never_exceed_the_limit(size: bytes) -> None:
    data = CHUNKED + size + b"\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n"
    assert failure(fixed(data)).kind in ("protocol", "too_large")
