"""From the body of ``POST /v1/traces`` to spans."""

from __future__ import annotations

from typing import Final, Literal

from .compression import decompress
from .errors import unsupported
from .otlp_json import decode_json
from .protobuf import decode_protobuf
from .spans import BOUNDS, Bounds, Decoded, Wanted, everything

Form = Literal["protobuf", "json"]

MEDIA_TYPES: Final[dict[Form, str]] = {"protobuf": "application/x-protobuf", "json": "application/json"}


def form_of(content_type: str) -> Form:
    """Which of the two forms a ``Content-Type`` names; UnsupportedMedia (415) for any other."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("application/x-protobuf", "application/protobuf"):
        return "protobuf"
    if media_type == "application/json":
        return "json"
    raise unsupported("The content type is application/x-protobuf or application/json.")


def decode_traces(
    body: bytes, form: Form, *, encoding: str = "", bounds: Bounds = BOUNDS, wanted: Wanted = everything
) -> Decoded:
    """The spans of a request body as it was sent, in the order of the request.

    Raises TooLarge (413), BadBody (400) or UnsupportedMedia (415); a bad span is rejected by itself.
    """
    plain = decompress(body, encoding, bounds.body)
    return (
        decode_protobuf(plain, bounds, wanted) if form == "protobuf" else decode_json(plain, bounds, wanted)
    )
