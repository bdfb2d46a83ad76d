"""Decompressing a request body without letting it grow beyond a limit."""

from __future__ import annotations

import zlib
from typing import Final

from .errors import bad_body, too_large, unsupported

_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body behind a ``Content-Encoding`` of gzip, deflate (zlib or raw), identity or none.

    Raises TooLarge as soon as more than ``limit`` bytes come out, BadBody for what is damaged or cut
    off, UnsupportedMedia for other encodings.
    """
    if len(body) > limit:
        raise too_large(limit)
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name in ("gzip", "x-gzip"):
        return _gunzip(body, limit)
    if name == "deflate":
        return _inflate(body, zlib.MAX_WBITS if _has_zlib_header(body) else _RAW, limit)
    raise unsupported("The content encoding is gzip, deflate or identity.")


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950: method 8, a window of at most 32 kB, and a check that makes both bytes divisible by 31."""
    return len(body) >= 2 and body[0] & 15 == 8 and body[0] >> 4 <= 7 and (body[0] << 8 | body[1]) % 31 == 0


def _gunzip(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        part, rest = _stream(body, _GZIP, limit - size)
        parts.append(part)
        size += len(part)
        # RFC 1952 allows several members, and zeros that fill up a block after the last.
        body = rest.lstrip(b"\0")
        if not body:
            return b"".join(parts) if len(parts) > 1 else part


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    data, rest = _stream(body, window, limit)
    if rest:
        raise bad_body("Something follows the compressed body.")
    return data


def _stream(body: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    stream = zlib.decompressobj(window)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error:
        raise bad_body("The compressed body is damaged.") from None
    if len(data) > limit:
        raise too_large(limit)
    if not stream.eof:
        raise bad_body("The compressed body ends too early.")
    return data, stream.unused_data
