"""The bytes of a request: nothing a caller hands over can become another header or another request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent_factory_site.common.framing import (
    HEADER_NAME,
    HEADER_VALUE,
    MAX_HEADER_BYTES,
    header_bytes,
    written_here,
)

from .errors import OutgoingRefused
from .urls import OutgoingUrl

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_BODY: Final = 1024 * 1024
MAX_HEADERS: Final = 64
USER_AGENT: Final = "agent-factory"


def request_bytes(method: str, url: OutgoingUrl, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole request; raises OutgoingRefused (method, header, body_too_large)."""
    if method not in METHODS:
        raise OutgoingRefused("method", f"The method is one of {', '.join(sorted(METHODS))}.")
    if len(body) > MAX_BODY:
        raise OutgoingRefused(
            "body_too_large", f"A request carries at most {MAX_BODY} bytes, not {len(body)}."
        )
    if body and method in ("GET", "HEAD", "OPTIONS"):
        raise OutgoingRefused("method", f"{method} carries no body.")
    _check(headers)
    lines = [f"{method} {url.target} HTTP/1.1", f"Host: {url.host_header}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "user-agent" not in {name.lower() for name in headers}:
        lines.append(f"User-Agent: {USER_AGENT}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    # Identity: what is counted against the limit is what is handed on; nothing is ever decompressed.
    lines += ["Accept-Encoding: identity", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def _check(headers: Mapping[str, str]) -> None:
    seen: set[str] = set()
    size = 0
    for name, value in headers.items():
        lower = name.lower()
        if not HEADER_NAME.fullmatch(name):
            raise OutgoingRefused("header", f"{name!r} is no name of a header.")
        if written_here(name):
            raise OutgoingRefused("header", f"{name} is set by the client itself.")
        if lower in seen:
            raise OutgoingRefused("header", f"{name} stands there twice.")
        if not HEADER_VALUE.fullmatch(value):
            # Not repeated: it may be a secret.
            raise OutgoingRefused(
                "header", f"The value of {name} is not visible ASCII, or begins or ends with a space."
            )
        seen.add(lower)
        size += header_bytes(name, value)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise OutgoingRefused("header", f"At most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all.")
