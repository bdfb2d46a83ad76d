"""From a name to the addresses we may connect to: looked up once, every address judged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Final

from agent_factory_site.common.networks import Address, AllowedRange, refusal_of

from .deadline import Deadline
from .errors import OutgoingFailed, OutgoingRefused
from .urls import OutgoingUrl

Resolver = Callable[[str, int], Sequence[str]]
"""From host and port to addresses as text; raises OSError where there are none."""

MAX_ADDRESSES: Final = 64
MAX_LOOKUPS: Final = 64
# The system's resolver cannot be interrupted: a look-up we stopped waiting for still holds its place.
_places = BoundedSemaphore(MAX_LOOKUPS)


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses of ``host`` by the system's own resolver, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def addresses_of(
    url: OutgoingUrl, *, resolver: Resolver, allowed: Callable[[], Sequence[AllowedRange]], deadline: Deadline
) -> list[Address]:
    """The addresses of ``url``, all of them public or allowed; ``allowed`` is asked only when it matters.

    Raises OutgoingRefused when any address is neither: of a name with one good and one bad address the
    next look-up may answer with the bad one first. Raises OutgoingFailed (dns, timeout).
    """
    if url.literal is not None:
        addresses: list[Address] = [url.literal]
    else:
        addresses = _read(url.host, _look_up(url, resolver, deadline))
    if any(refusal_of(address, url.port, ()) for address in addresses):
        opened = allowed()
        for address in addresses:
            kind = refusal_of(address, url.port, opened)
            if kind is not None:
                name = "" if url.literal is not None else f"{url.host} leads to "
                raise OutgoingRefused("address", _sentence(name, address, url.port, kind))
    return addresses


def _sentence(name: str, address: Address, port: int, kind: str) -> str:
    return f"{name}{address} ({kind}), and port {port} there is not allowed."


def _read(host: str, texts: Sequence[str]) -> list[Address]:
    if len(texts) > MAX_ADDRESSES:
        raise OutgoingFailed("dns", f"{host} has more than {MAX_ADDRESSES} addresses.")
    try:
        addresses = [ip_address(text) for text in texts]
    except ValueError:
        raise OutgoingFailed(
            "dns", f"The look-up of {host} answered with something that is no address."
        ) from None
    if not addresses:
        raise OutgoingFailed("dns", f"{host} has no address.")
    return addresses


def _look_up(url: OutgoingUrl, resolver: Resolver, deadline: Deadline) -> Sequence[str]:
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver(url.host, url.port))
        except Exception as error:  # handed to the one who waits
            answers.put(error)
        finally:
            _places.release()

    if not _places.acquire(timeout=deadline.left()):
        raise deadline.passed()
    try:
        Thread(target=ask, name="dns-look-up", daemon=True).start()
    except RuntimeError:
        _places.release()
        raise OutgoingFailed("dns", f"No thread is left to look {url.host} up.") from None
    try:
        answer = answers.get(timeout=deadline.left())
    except Empty:
        raise deadline.passed() from None
    if isinstance(answer, (OSError, UnicodeError)):
        reason = getattr(answer, "strerror", None) or "the look-up failed"
        raise OutgoingFailed("dns", f"{url.host} has no address: {reason}.") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer
