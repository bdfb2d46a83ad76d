"""One request to one checked address."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from agent_factory_site.common.selectors.allowed_networks import allowed_ranges

from .connection import connect, send_all
from .deadline import Deadline
from .errors import OutgoingFailed
from .requests import request_bytes
from .resolution import Resolver, addresses_of, system_resolver
from .responses import Response, read_response
from .urls import parse_url

MAX_DEADLINE: Final = 300.0
MAX_RESPONSE: Final = 64 * 1024 * 1024


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    deadline: float,
    max_bytes: int,
    truncate: bool = False,
    resolver: Resolver = system_resolver,
) -> Response:
    """Send one request and read its answer, all of it within ``deadline`` seconds.

    The name is looked up once, through ``resolver``; every address must be public or within an allowed
    network, read afresh each time; the connection goes to one of those very addresses. Nothing is
    retried, no redirect is followed, no proxy of the environment is used, certificates are verified.

    An answer with more than ``max_bytes`` of body fails as ``too_large``; with ``truncate`` it is cut.
    Call it outside of transactions: what they lock would stay locked while the other side thinks.

    Raises :class:`OutgoingRefused` for what is never sent, :class:`OutgoingFailed` for what went wrong
    on the way, ValueError for limits out of range (``deadline`` up to 300 s, ``max_bytes`` to 64 MiB).
    """
    if not 0 < deadline <= MAX_DEADLINE:
        raise ValueError(f"deadline: more than 0 and at most {MAX_DEADLINE:g} seconds")
    if not 0 <= max_bytes <= MAX_RESPONSE:
        raise ValueError(f"max_bytes: from 0 to {MAX_RESPONSE}")
    target = parse_url(url)
    data = request_bytes(method, target, headers or {}, body)
    until = Deadline.within(deadline)
    addresses = addresses_of(target, resolver=resolver, allowed=allowed_ranges, deadline=until)
    with connect(target, addresses, until) as connection:
        try:
            send_all(connection, data, until)
        except ssl.SSLError as error:
            raise OutgoingFailed(
                "tls",
                f"TLS broke off: {error.reason or 'no reason given'}.",
                address=until.address,
                sent=True,
            ) from error
        except OSError:
            # It may have answered before it stopped reading (413, 401): that answer says more than the error.
            pass
        return read_response(connection, method, max_bytes=max_bytes, truncate=truncate, deadline=until)
