"""Headers of outgoing requests that this service writes by itself; without Django, for rules to know them too."""

from __future__ import annotations

from typing import Final

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
