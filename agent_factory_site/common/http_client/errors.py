"""What can become of an outgoing request besides an answer."""

from __future__ import annotations

from typing import Literal

RefusalReason = Literal[
    "url", "scheme", "userinfo", "host", "port", "address", "method", "header", "body_too_large"
]
FailureKind = Literal["dns", "connect", "tls", "timeout", "too_large", "protocol"]


class OutgoingError(Exception):
    """No answer was had. ``code`` is stable, ``detail`` is a sentence for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class OutgoingRefused(OutgoingError):
    """We did not send it, and will not send it again as it is: nothing was connected to."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: RefusalReason = reason


class OutgoingFailed(OutgoingError):
    """We tried, and it may go better another time.

    ``sent`` tells whether bytes of the request may have reached the other side; ``address`` which one.
    """

    def __init__(
        self, kind: FailureKind, detail: str, *, address: str | None = None, sent: bool = False
    ) -> None:
        super().__init__(kind, detail)
        self.kind: FailureKind = kind
        self.address = address
        self.sent = sent
