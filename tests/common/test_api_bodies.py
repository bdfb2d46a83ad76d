"""Reading bodies within limits."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import socket
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from agent_factory_site.common.api.bodies import read_body
from agent_factory_site.common.errors import Invalid, TooLarge, UnsupportedMedia
from tests.common.callers import granian, key_headers
from tests.processes import PATIENCE


def post(data: bytes, **meta: str) -> HttpRequest:
    return RequestFactory().generic("POST", "/", data, **meta)


def packed(data: bytes) -> HttpRequest:
    return post(data, HTTP_CONTENT_ENCODING="gzip")


def test_a_body_up_to_the_limit_is_read_once() -> None:
    request = post(b"x" * 100)
    assert read_body(request, 100) == b"x" * 100
    assert read_body(request, 100) == b"x" * 100
    with pytest.raises(TooLarge):
        read_body(request, 99)


def test_nothing_is_read_of_what_is_announced_as_too_large() -> None:
    request = post(b"x" * 101)
    with pytest.raises(TooLarge, match="at most 100 bytes"):
        read_body(request, 100)
    assert request.read(1) == b"x"


def test_an_absent_body_is_empty() -> None:
    assert read_body(post(b""), 100) == b""


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "٣", "+3", "3 3"])
def test_a_length_that_is_no_number(length: str) -> None:
    request = post(b"abc")
    request.META["CONTENT_LENGTH"] = length
    with pytest.raises(Invalid, match="Content-Length"):
        read_body(request, 100)


def test_a_body_that_ends_early() -> None:
    request = post(b"abc")
    request.META["CONTENT_LENGTH"] = "10"
    request._stream = io.BytesIO(b"abc")
    with pytest.raises(Invalid, match="ended before"):
        read_body(request, 100)


class Chunks(io.BytesIO):
    """What a server gives that decodes chunks itself; counts what is taken."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_body_without_a_length_is_read_from_a_server_that_ends_it() -> None:
    request = post(b"")
    request.META.pop("CONTENT_LENGTH", None)
    request.META |= {"wsgi.input": Chunks(b"x" * 100), "wsgi.input_terminated": True}
    assert read_body(request, 100) == b"x" * 100


def test_a_body_without_a_length_is_read_no_further_than_the_limit() -> None:
    stream = Chunks(b"x" * 10_000_000)
    request = post(b"")
    request.META.pop("CONTENT_LENGTH", None)
    request.META |= {"wsgi.input": stream, "wsgi.input_terminated": True}
    with pytest.raises(TooLarge):
        read_body(request, 100_000)
    assert stream.taken == 100_001


def test_gzip_is_unpacked() -> None:
    assert read_body(packed(gzip.compress(b"hello" * 1000)), 5000) == b"hello" * 1000
    members = gzip.compress(b"one,") + gzip.compress(b"") + gzip.compress(b"two")
    assert read_body(packed(members), 5000) == b"one,two"
    assert read_body(packed(gzip.compress(b"")), 5000) == b""


def test_a_gzip_bomb_stops_at_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    with pytest.raises(TooLarge):
        read_body(packed(bomb), 100_000)
    many = b"".join(gzip.compress(b"\0" * 1000) for _ in range(200))
    with pytest.raises(TooLarge):
        read_body(packed(many), 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b"not gzip",
        b"",
        gzip.compress(b"hello")[:-1],
        gzip.compress(b"hello")[:12],
        gzip.compress(b"hello") + b"rest",
        gzip.compress(b"hello") + gzip.compress(b"more")[:5],
        gzip.compress(b"hello")[:-8] + b"\0" * 8,
        zlib.compress(b"hello"),
    ],
)
def test_broken_gzip(data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        read_body(packed(data), 100_000)
    assert caught.value.code == "bad_gzip"


def test_other_encodings_are_refused() -> None:
    for encoding in ("br", "deflate", "gzip, gzip", "zstd"):
        with pytest.raises(UnsupportedMedia):
            read_body(post(b"x", HTTP_CONTENT_ENCODING=encoding), 100)
    assert read_body(post(b"x", HTTP_CONTENT_ENCODING="Identity"), 100) == b"x"


# --- Over the API ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.urls("tests.common.kernel_api")
def test_the_statuses_of_bad_bodies(client: Client, settings: object) -> None:
    settings.API_MAX_BODY_BYTES = 1000  # type: ignore[attr-defined]
    headers = key_headers("ingest")

    def answer(body: bytes, **more: str) -> tuple[int, str]:
        sent = headers | {name.replace("_", "-"): value for name, value in more.items()}
        response = client.post("/api/kernel/echo", body, content_type="application/json", headers=sent)
        return response.status_code, response.json().get("code", response.json().get("parsed"))

    assert answer(b'{"a": 1}') == (200, "{'a': 1}")
    assert answer(b'"' + b"x" * 1000 + b'"') == (413, "body_too_large")
    assert answer(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip") == (200, "{'a': 1}")
    assert answer(gzip.compress(b" " * 100_000), Content_Encoding="gzip") == (413, "body_too_large")
    assert answer(b"{}", Content_Encoding="gzip") == (400, "bad_gzip")
    assert answer(b"{}", Content_Encoding="br") == (415, "unsupported_encoding")
    response = client.post(
        "/api/kernel/echo",
        b"{}",
        content_type="application/json",
        headers=headers | {"Content-Encoding": "br"},
    )
    assert response["Accept-Encoding"] == "gzip"


@pytest.mark.django_db
@pytest.mark.urls("tests.common.kernel_api")
def test_a_view_may_have_its_own_limit(client: Client) -> None:
    headers = key_headers("ingest")
    for body, status in ((b'"12345678"', 200), (b'"123456789"', 413)):
        response = client.post("/api/kernel/small", body, content_type="application/json", headers=headers)
        assert response.status_code == status


# --- On a real server -----------------------------------------------------------------------------


@pytest.fixture
def server(live_database: str) -> Iterator[str]:
    with granian("tests.common.kernel_server:application", live_database, API_MAX_BODY_BYTES="100000") as url:
        yield url


def send_chunks(server: str, headers: dict[str, str], chunks: Iterator[bytes]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=PATIENCE)
    connection.request(
        "POST",
        "/api/kernel/echo",
        body=chunks,
        headers=headers | {"Content-Type": "application/json"},
        encode_chunked=True,
    )
    response = connection.getresponse()
    return response.status, response.read()


def test_chunks_without_a_length(server: str) -> None:
    headers = key_headers("ingest") | {"Transfer-Encoding": "chunked"}
    status, body = send_chunks(server, headers, iter([b'{"a":', b' "', b"x" * 50_000, b'"}']))
    assert (status, len(body)) == (200, 50_000 + len("""{"parsed":"{'a': ''}"}"""))
    status, body = send_chunks(server, headers, iter([b"[" + b" " * 60_000, b" " * 60_000 + b"]"]))
    assert status == 413
    assert b"body_too_large" in body
    assert send_chunks(server, headers, iter([]))[0] == 200


@pytest.mark.once_when_quick
def test_a_body_of_200_megabytes_is_refused_unread(server: str) -> None:
    address = urlsplit(server)
    head = f"POST /api/kernel/echo HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    for name, value in key_headers("ingest").items():
        head += f"{name}: {value}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        # Not one byte of the body is sent: the answer must not wait for it.
        connection.sendall(f"{head}Content-Length: 200000000\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, response.headers["Content-Type"]) == (413, "application/problem+json")
        assert json.loads(response.read())["code"] == "body_too_large"


@pytest.mark.once_when_quick
def test_a_client_that_hangs_up_in_the_middle(server: str) -> None:
    address = urlsplit(server)
    head = f"POST /api/kernel/echo HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    for name, value in key_headers("ingest").items():
        head += f"{name}: {value}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(f'{head}Content-Length: 100\r\n\r\n{{"a": '.encode())
        connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 400
        assert json.loads(response.read())["code"] == "incomplete_body"
