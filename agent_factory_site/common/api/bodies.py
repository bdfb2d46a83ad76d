"""Reading a request body within limits; also for views outside of the REST framework."""

from __future__ import annotations

import zlib
from typing import Final

from django.http import HttpRequest
from django.http.request import UnreadablePostError

from agent_factory_site.common.errors import Invalid, TooLarge, UnsupportedMedia

_CHUNK: Final = 64 * 1024
_CACHE: Final = "_decoded_body"


def read_body(request: HttpRequest, max_bytes: int) -> bytes:
    """The whole body of ``request``, decompressed where it was sent with ``Content-Encoding: gzip``.

    Raises TooLarge as soon as more than ``max_bytes`` bytes are announced, were received or came out
    of the decompression, Invalid where the body is cut short or is not gzip, and UnsupportedMedia
    for any other encoding. A second call answers the same bytes without reading.
    """
    cached: bytes | None = getattr(request, _CACHE, None)
    if cached is None:
        coding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
        if coding not in {"", "identity", "gzip", "x-gzip"}:
            raise UnsupportedMedia(
                "unsupported_encoding", "A body is sent as it is or with Content-Encoding: gzip."
            )
        cached = _received(request, max_bytes)
        if coding in {"gzip", "x-gzip"}:
            cached = _decompressed(cached, max_bytes)
        setattr(request, _CACHE, cached)
    elif len(cached) > max_bytes:
        raise _too_large(max_bytes)
    return cached


def has_body(request: HttpRequest) -> bool:
    """Whether the client announced a body: by its length, or by sending it in chunks."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return (length not in {"", "0"}) or "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("body_too_large", f"A body is at most {max_bytes} bytes, also after decompression.")


def _received(request: HttpRequest, max_bytes: int) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced and not announced.isdecimal():
        raise Invalid("bad_content_length", "Content-Length is not a number.")
    if announced and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    if not has_body(request):
        return b""
    # Django's own stream ends at once where there is no Content-Length; the server's knows the end.
    stream = request if announced else request.META["wsgi.input"]
    chunks = []
    size = 0
    try:
        while chunk := stream.read(min(_CHUNK, max_bytes + 1 - size)):
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
    except (UnreadablePostError, OSError):
        raise Invalid("incomplete_body", "The body ended before it was complete.") from None
    if announced and size < int(announced):
        raise Invalid("incomplete_body", "The body ended before it was complete.")
    return b"".join(chunks)


def _decompressed(data: bytes, max_bytes: int) -> bytes:
    chunks = []
    size = 0
    rest = data
    try:
        # A gzip file is one or more members, one after the other (RFC 1952, section 2.2).
        while rest or not chunks:
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                chunk = member.decompress(rest, max_bytes + 1 - size)
                rest = member.unused_data if member.eof else member.unconsumed_tail
                chunks.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                if not chunk and not rest and not member.eof:
                    raise Invalid("bad_gzip", "The gzip body ended before it was complete.")
    except zlib.error:
        raise Invalid("bad_gzip", "The body is not gzip.") from None
    return b"".join(chunks)
