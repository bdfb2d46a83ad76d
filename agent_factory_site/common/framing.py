"""What a header of an outgoing request may be, and which this service writes alone; without Django, for rules too."""

from __future__ import annotations

import re
from typing import Final

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?", re.ASCII)
"""Visible ASCII, with spaces and tabs inside; both are to be matched whole."""
MAX_HEADER_BYTES: Final = 16 * 1024
"""Of all headers of one request."""

# How a message is framed, where it goes and what may come back is decided here alone.
OUR_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def written_here(name: str) -> bool:
    """Whether this service alone writes the header."""
    lower = name.lower()
    return lower in OUR_HEADERS or lower.startswith("proxy-")


def header_bytes(name: str, value: str) -> int:
    """The room that a header takes."""
    return len(name) + len(value) + 4
