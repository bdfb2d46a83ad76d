"""Reading a request body within limits; also for views outside of the REST framework."""

from __future__ import annotations

import zlib
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest

from agent_factory_site.common.errors import Invalid, TooLarge, UnsupportedMedia

JSON: Final = "application/json"
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
        cached = received_body(request, max_bytes)
        if coding in {"gzip", "x-gzip"}:
            cached = _decompressed(cached, max_bytes)
        setattr(request, _CACHE, cached)
    elif len(cached) > max_bytes:
        raise _too_large(max_bytes)
    return cached


def read_json(request: HttpRequest, max_bytes: int) -> bytes:
    """The body of ``request`` as a JSON text that is still to be decoded.

    Raises UnsupportedMedia for another content type or charset than JSON in UTF-8, and what
    :func:`read_body` raises.
    """
    if (request.content_type or "").lower() != JSON:
        raise UnsupportedMedia("unsupported_media_type", f"Send {JSON}.")
    check_charset(request)
    body = read_body(request, max_bytes)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Invalid("not_utf8", f"The body is not UTF-8 (byte {error.start}).") from None
    return body


def check_charset(request: HttpRequest) -> None:
    """Raises UnsupportedMedia where the content type names another charset than UTF-8."""
    charset = (request.content_params or {}).get("charset", "utf-8").strip('"').lower()
    if charset not in {"utf-8", "utf8"}:
        raise UnsupportedMedia("unsupported_charset", "JSON is sent as UTF-8.")


def announced_length(request: HttpRequest) -> int | None:
    """``Content-Length``, or None where the client did not say: there is no body or it comes in chunks."""
    announced = request.META.get("CONTENT_LENGTH") or ""
    if not announced:
        return None
    if not (announced.isascii() and announced.isdecimal()):
        raise Invalid("bad_content_length", "Content-Length is not a number.")
    return int(announced)


def body_limit(view: Any) -> int:
    """How many bytes ``view`` takes: its ``max_body_bytes``, or ``API_MAX_BODY_BYTES``."""
    limit: int | None = getattr(view, "max_body_bytes", None)
    return settings.API_MAX_BODY_BYTES if limit is None else limit


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("body_too_large", f"A body is at most {max_bytes} bytes, also after decompression.")


def received_body(request: HttpRequest, max_bytes: int) -> bytes:
    """The body as it was sent, compressed or not, with a length or in chunks; raises as :func:`read_body`."""
    length = announced_length(request)
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    stream: Any = request
    if length is None and "wsgi.input" in request.META:
        if not request.META.get("wsgi.input_terminated"):
            if request.META.get("HTTP_TRANSFER_ENCODING"):
                # Better refused than taken for empty: this server does not say where the body ends.
                raise Invalid("bad_content_length", "This server takes bodies with a Content-Length only.")
            return b""
        # Django's own stream is empty where there is no length; the server's ends where the body does.
        stream = request.META["wsgi.input"]
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := stream.read(min(_CHUNK, max_bytes + 1 - size)):
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(max_bytes)
    except OSError:
        raise _incomplete() from None
    if length is not None and size < length:
        raise _incomplete()
    return b"".join(chunks)


def _incomplete() -> Invalid:
    return Invalid("incomplete_body", "The body ended before it was complete.")


def _decompressed(data: bytes, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
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
