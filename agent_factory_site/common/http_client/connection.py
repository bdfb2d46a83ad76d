"""A connection to exactly one address, and bytes over it until the deadline."""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from django.conf import settings

from agent_factory_site.common.networks import Address

from .deadline import Deadline
from .errors import OutgoingFailed
from .urls import OutgoingUrl

MAX_ATTEMPTS: Final = 4


def connect(url: OutgoingUrl, addresses: Sequence[Address], deadline: Deadline) -> socket.socket:
    """A connected socket, with TLS for https; the first few addresses are tried in turn.

    The socket is given the address itself: no name is looked up here. Raises OutgoingFailed.
    """
    context = _tls_context(settings.OUTGOING_CA_FILE) if url.scheme == "https" else None
    connection = _open(addresses[:MAX_ATTEMPTS], url.port, deadline)
    if context is None:
        return connection
    try:
        # The name stands in SNI and is what the certificate is checked against; an address is only checked.
        secured = context.wrap_socket(connection, server_hostname=url.host, do_handshake_on_connect=False)
    except BaseException:
        connection.close()
        raise
    try:
        secured.settimeout(deadline.left())
        secured.do_handshake()
    except TimeoutError:
        secured.close()
        raise deadline.passed() from None
    except (OSError, ValueError) as error:
        secured.close()
        raise OutgoingFailed(
            "tls", f"No TLS with {url.host}: {_tls_words(error)}.", address=deadline.address
        ) from error
    except BaseException:
        secured.close()
        raise
    return secured


def _open(addresses: Sequence[Address], port: int, deadline: Deadline) -> socket.socket:
    last: OSError | None = None
    for number, address in enumerate(addresses):
        deadline.address = str(address)
        left = deadline.left()
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # An address that swallows packets must leave time for those after it.
            connection.settimeout(left / (len(addresses) - number))
            connection.connect((str(address), port))
        except OSError as error:
            connection.close()
            last = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    if isinstance(last, TimeoutError):
        raise deadline.passed()
    reason = last.strerror if last is not None and last.strerror else "the connection failed"
    raise OutgoingFailed(
        "connect", f"No connection to {deadline.address} port {port}: {reason}.", address=deadline.address
    )


@lru_cache(maxsize=4)
def _tls_context(ca_file: str) -> ssl.SSLContext:
    # Not create_default_context(), which would write session keys to SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise OutgoingFailed("tls", "The authorities in OUTGOING_CA_FILE cannot be read.") from error
    return context


def _tls_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid ({error.verify_message})"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or "the handshake was cut off"


def send_all(connection: socket.socket, data: bytes, deadline: Deadline) -> None:
    """Send ``data``; a receiver that does not read is waited for until the deadline and no longer."""
    rest = memoryview(data)
    while rest:
        connection.settimeout(deadline.left())
        try:
            deadline.sent = True
            rest = rest[connection.send(rest) :]
        except TimeoutError:
            raise deadline.passed() from None


class DeadlineReader(io.RawIOBase):
    """The bytes that arrive on ``connection``, as many as are let in, none after the deadline.

    A time limit on each single read would never end a body that drips one byte a second.
    """

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline
        self._left = 0
        self._words = ""

    def let_in(self, count: int, words: str) -> None:
        """Let ``count`` more bytes come; ``words`` say what is wrong when there are more."""
        self._left = count
        self._words = words

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what has arrived; 0 at the end."""
        if self._left <= 0:
            raise OutgoingFailed("too_large", self._words, address=self._deadline.address, sent=True)
        self._connection.settimeout(self._deadline.left())
        try:
            count = self._connection.recv_into(memoryview(buffer)[: self._left])
        except TimeoutError:
            raise self._deadline.passed() from None
        self._left -= count
        return count
