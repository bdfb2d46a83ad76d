"""Reading an answer within its limits."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .connection import DeadlineReader
from .deadline import Deadline
from .errors import OutgoingFailed

MAX_HEAD: Final = 64 * 1024
MAX_INTERIM: Final = 8
_PIECE: Final = 64 * 1024
# A chunk of one byte takes six on the wire; whoever needs more than that is not sending a body.
_WIRE_OVERHEAD: Final = 8


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whatever its status; a redirect is an answer like any other.

    ``headers`` have lower-case names, repeated ones joined by commas. ``body`` is as it came: where
    ``content-encoding`` says it is compressed, it is. ``address`` is where the connection went,
    ``elapsed`` the seconds from the look-up to the last byte, ``truncated`` whether the body was longer.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed: float
    address: str
    truncated: bool = False


class _Source:
    """What ``http.client`` takes for a socket: its one method, answering with bytes of our reader.

    Each interim answer is read by a response object of its own, from the same place on.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def makefile(self, *_args: Any) -> io.BufferedReader:
        return self._stream


def read_response(
    connection: socket.socket, method: str, *, max_bytes: int, truncate: bool, deadline: Deadline
) -> Response:
    """The answer on ``connection``; raises OutgoingFailed (timeout, too_large, protocol, tls)."""
    reader = DeadlineReader(connection, deadline)
    reader.let_in(MAX_HEAD, f"The head of the answer is larger than {MAX_HEAD} bytes.")
    source: Any = _Source(io.BufferedReader(reader))
    try:
        # Closing one response would close the stream under the next: all are kept until the end.
        heads = [_head(source, method)]
        while 100 <= heads[-1].status < 200 and heads[-1].status != http.client.SWITCHING_PROTOCOLS:
            if len(heads) > MAX_INTERIM:
                raise http.client.HTTPException("too many interim answers")
            heads.append(_head(source, method))
        answer = heads[-1]
        _check_framing(answer)
        reader.let_in(MAX_HEAD + _WIRE_OVERHEAD * max_bytes, f"The answer is larger than {max_bytes} bytes.")
        body = _body(answer, max_bytes + 1)
    except OutgoingFailed:
        raise
    except ssl.SSLError as error:
        raise _failed("tls", f"TLS broke off: {error.reason or 'no reason given'}.", deadline) from error
    except (http.client.HTTPException, ValueError) as error:
        words = _WORDS.get(type(error)) or (str(error) if type(error) in _OWN_WORDS else "")
        raise _failed("protocol", f"Not an HTTP answer: {words or 'it cannot be read'}.", deadline) from error
    except OSError as error:
        words = error.strerror or "no reason given"
        raise _failed("protocol", f"The connection broke off: {words}.", deadline) from error
    truncated = len(body) > max_bytes
    if truncated and not truncate:
        raise _failed("too_large", f"The answer is larger than {max_bytes} bytes.", deadline)
    return Response(
        status=answer.status,
        headers=_headers(answer),
        body=body[:max_bytes],
        elapsed=deadline.elapsed,
        address=deadline.address or "",
        truncated=truncated,
    )


_OWN_WORDS: Final = (http.client.HTTPException,)
_WORDS: Final[Mapping[type[Exception], str]] = {
    http.client.RemoteDisconnected: "the connection was closed without one",
    http.client.BadStatusLine: "its first line is no status line",
    http.client.LineTooLong: "one line of it is too long",
    http.client.IncompleteRead: "it ends before its announced length",
    http.client.UnknownProtocol: "it is in another version of HTTP",
}


def _failed(kind: Any, detail: str, deadline: Deadline) -> OutgoingFailed:
    return OutgoingFailed(kind, detail, address=deadline.address, sent=True)


def _head(source: Any, method: str) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(source, method=method)
    response.begin()
    return response


def _check_framing(answer: http.client.HTTPResponse) -> None:
    """``http.client`` overlooks lengths that contradict each other; where they do, nobody knows the body."""
    lengths = set(answer.headers.get_all("content-length", []))
    encodings = [value.strip().lower() for value in answer.headers.get_all("transfer-encoding", [])]
    if len(lengths) > 1 or not all(each.isascii() and each.isdigit() for each in lengths):
        raise http.client.HTTPException("its length is no number")
    if encodings not in ([], ["chunked"]):
        raise http.client.HTTPException("it is framed in a way that was not asked for")


def _body(answer: http.client.HTTPResponse, most: int) -> bytes:
    """The body, or its first ``most`` bytes."""
    pieces = bytearray()
    while len(pieces) < most:
        announced = answer.length
        piece = answer.read(min(_PIECE, most - len(pieces)))
        if not piece:
            if announced:
                raise http.client.IncompleteRead(bytes(pieces), announced)
            break
        pieces += piece
    return bytes(pieces[:most])


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        # A value folded over several lines comes with its line breaks.
        words = " ".join(str(value).split())
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {words}" if lower in headers else words
    return headers
