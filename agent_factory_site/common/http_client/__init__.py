"""The only way out of this application: HTTP requests to addresses that were looked at first.

Whoever names a URL here (a probe's target, a receiver of notifications) must not make this machine ask
itself, its neighbours or the platform it runs on. See docs/outgoing_http.md.
"""

from .client import send
from .errors import FailureKind, OutgoingError, OutgoingFailed, OutgoingRefused, RefusalReason
from .resolution import Resolver, system_resolver
from .responses import Response
from .urls import OutgoingUrl, parse_url

__all__ = [
    "FailureKind",
    "OutgoingError",
    "OutgoingFailed",
    "OutgoingRefused",
    "OutgoingUrl",
    "RefusalReason",
    "Resolver",
    "Response",
    "parse_url",
    "send",
    "system_resolver",
]
