"""TLS: the name of the URL is asked for and verified, at the address that was judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_factory_site.common.http_client import OutgoingFailed, Response, send
from agent_factory_site.common.services.allowed_networks import allow_network
from tests.common.outgoing_servers import OK, Authority, Server, fixed, serving, silence

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NAME = "receiver.example.test"


@pytest.fixture
def authority(tmp_path: Path, settings: Any) -> Authority:
    """An authority that this application trusts."""
    authority = Authority.create(tmp_path)
    settings.OUTGOING_CA_FILE = str(authority.file)
    return authority


def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def ask(server: Server, host: str = NAME, **changes: Any) -> Response:
    allow_network(cidr="127.0.0.1", port=server.port, purpose="tests")
    url = f"https://{host}:{server.port}/hook"
    return send(
        "POST", url, **{"body": b"{}", "deadline": 200, "max_bytes": 100, "resolver": here, **changes}
    )


def failure(server: Server, host: str = NAME, **changes: Any) -> OutgoingFailed:
    with pytest.raises(OutgoingFailed) as caught:
        ask(server, host, **changes)
    return caught.value


def test_the_name_is_in_the_handshake_the_certificate_and_the_host_header(authority: Authority) -> None:
    with serving(tls=authority.context(NAME)) as server:
        answer = ask(server)
    assert (answer.status, answer.body, answer.address) == (200, b"ok", "127.0.0.1")
    assert server.names == [NAME]
    assert f"Host: {NAME}:{server.port}\r\n".encode() in server.requests[0]


def test_an_address_is_verified_as_one(authority: Authority) -> None:
    with serving(tls=authority.context("127.0.0.1")) as server:
        assert ask(server, "127.0.0.1").status == 200
    assert server.names == [None]


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (("other.example.test",), NAME),
        (("127.0.0.1",), NAME),
        ((NAME,), "127.0.0.1"),
        (("*.test",), NAME),
        (("*.receiver.example.test",), NAME),
    ],
)
def test_a_certificate_for_another_name(authority: Authority, names: tuple[str, ...], host: str) -> None:
    with serving(tls=authority.context(*names)) as server:
        failed = failure(server, host)
    assert (failed.kind, failed.sent, server.requests) == ("tls", False, [])
    assert "certificate is not valid for" in failed.detail


def test_a_certificate_that_has_expired(authority: Authority) -> None:
    with serving(tls=authority.context(NAME, expired=True)) as server:
        failed = failure(server)
    assert (failed.kind, server.requests) == ("tls", [])
    assert failed.detail == f"No TLS with {NAME}: the certificate is not valid (certificate has expired)."


def test_an_authority_that_nobody_trusts(tmp_path: Path, settings: Any) -> None:
    settings.OUTGOING_CA_FILE = ""
    with serving(tls=Authority.create(tmp_path).context(NAME)) as server:
        failed = failure(server)
    assert (failed.kind, failed.sent, server.requests) == ("tls", False, [])
    assert "unable to get local issuer certificate" in failed.detail


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_authorities_that_cannot_be_read(tmp_path: Path, settings: Any, text: str | None) -> None:
    path = tmp_path / "authorities.pem"
    if text is not None:
        path.write_text(text)
    settings.OUTGOING_CA_FILE = str(path)
    with serving() as server:
        failed = failure(server)
    assert (failed.kind, failed.detail) == ("tls", "The authorities in OUTGOING_CA_FILE cannot be read.")
    assert server.connections == 0


def test_a_server_that_speaks_no_tls(authority: Authority) -> None:
    with serving(fixed(OK), reads=False) as server:
        assert failure(server).kind == "tls"


def test_a_handshake_that_does_not_end(authority: Authority) -> None:
    with serving(silence, reads=False) as server:
        failed = failure(server, deadline=0.4)
    assert (failed.kind, failed.sent) == ("timeout", False)


def test_the_deadline_holds_over_tls(authority: Authority) -> None:
    with serving(silence, tls=authority.context(NAME)) as server:
        failed = failure(server, deadline=6)
    assert (failed.kind, failed.sent) == ("timeout", True)
