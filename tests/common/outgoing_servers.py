"""Servers of a few lines that answer as they should not, and certificates to answer with."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.processes import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """A server on loopback: what it was asked so far, and the event that ends its answers."""

    host: str
    port: int
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0
    over: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"


Answer = Callable[[socket.socket, Server], None]


def fixed(data: bytes) -> Answer:
    """Sends ``data`` and closes."""
    return lambda connection, _server: connection.sendall(data)


ok: Answer = fixed(OK)


def endless(data: bytes, first: bytes = b"") -> Answer:
    """Sends ``first``, then ``data`` again and again for as long as somebody takes it."""

    def answer(connection: socket.socket, server: Server) -> None:
        connection.sendall(first)
        while not server.over.is_set():
            connection.sendall(data)

    return answer


def drip(data: bytes, first: bytes = b"") -> Answer:
    """Sends ``first``, then ``data`` again and again, one byte at a time, with a pause after each."""

    def answer(connection: socket.socket, server: Server) -> None:
        connection.sendall(first)
        while True:
            for byte in data:
                connection.sendall(bytes((byte,)))
                if server.over.wait(0.02):
                    return

    return answer


def silence(_connection: socket.socket, server: Server) -> None:
    """Says nothing until the test is over."""
    server.over.wait()


def reset(connection: socket.socket, _server: Server) -> None:
    """Ends the connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
            while len(body) < length and (piece := connection.recv(65536)):
                body += piece
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(
    answer: Answer = ok,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    reads: bool = True,
) -> Iterator[Server]:
    """A server that takes one connection after another and answers each with ``answer``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    server = Server(host, listener.getsockname()[1])
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: server.names.append(name)

    def serve_one(plain: socket.socket) -> None:
        server.connections += 1
        with suppress(OSError), plain:
            connection: socket.socket = plain
            if tls is not None:
                connection = tls.wrap_socket(plain, server_side=True)
            with connection:
                if reads:
                    server.requests.append(_read_request(connection))
                answer(connection, server)

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            serve_one(plain)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        with suppress(OSError):
            # Wakes the thread that waits in accept(), which closing alone does not.
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, folder: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Test authority")
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(True, None), critical=True)
        builder = builder.add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())
        authority = cls(folder, certificate, key)
        authority.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def context(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """What a server for ``names`` (host names and addresses) shows to its clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(names[0]), self.certificate.subject, key, expired)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(each) for each in names]), False
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = builder.add_extension(issuer, critical=False).sign(self.key, hashes.SHA256())
        path = self.folder / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, expired: bool = False
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    end = now - timedelta(days=1) if expired else now + timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(end)
    )
