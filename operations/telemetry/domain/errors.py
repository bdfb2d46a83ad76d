"""Why a request as a whole is refused."""

from __future__ import annotations

from agent_factory_site.common.errors import Invalid, TooLarge, UnsupportedMedia


class BadBody(Invalid):
    """The body is not what it says it is (400); the client must not send it again."""


def bad_body(detail: str) -> BadBody:
    """The refusal of a body that cannot be read."""
    return BadBody("bad_body", detail)


def too_large(limit: int) -> TooLarge:
    """The refusal of a body that is larger than ``limit`` bytes, as sent or decompressed (413)."""
    return TooLarge("body_too_large", f"The body is larger than {limit} bytes after decompression.")


def too_many_spans(limit: int) -> TooLarge:
    """The refusal of a request with more than ``limit`` spans (413)."""
    return TooLarge("too_many_spans", f"The request holds more than {limit} spans: send smaller batches.")


def unsupported(detail: str) -> UnsupportedMedia:
    """The refusal of a content type or encoding (415)."""
    return UnsupportedMedia("unsupported_media", detail)
