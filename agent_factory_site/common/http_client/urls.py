"""Reading a URL strictly: what two parsers could understand differently is refused.

The standard library's ``urlsplit`` drops tabs and newlines, keeps user names and takes any host; the
resolver reads ``0x7f.1`` as 127.0.0.1. Here one grammar decides (RFC 3986, ASCII only), and a host is a
DNS name in letters, digits and hyphens, a dotted IPv4 address, or an IPv6 address in brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from agent_factory_site.common.networks import Address

from .errors import OutgoingRefused

MAX_URL: Final = 2048
MAX_HOST: Final = 253
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?"
    r"(?P<fragment>#.*)?"
)
_BRACKETED: Final = re.compile(r"\[(?P<host>[^\[\]]*)\](?::(?P<port>.*))?")
_PLAIN: Final = re.compile(r"(?P<host>[^:\[\]]*)(?::(?P<port>[^:]*))?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
# A last label that a resolver may take for the end of a number, as browsers see it (WHATWG URL).
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_TARGET: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_IPV6: Final = re.compile(r"[0-9a-fA-F:]+(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class OutgoingUrl:
    """The parts of a checked URL. ``literal`` is the address where the host is one and not a name."""

    scheme: str
    host: str
    port: int
    target: str
    literal: Address | None = None

    @property
    def host_header(self) -> str:
        """The ``Host`` header: the host, in brackets for IPv6, and the port unless it is the usual one."""
        host = f"[{self.host}]" if isinstance(self.literal, IPv6Address) else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(text: str) -> OutgoingUrl:
    """The parts of ``text``; raises :class:`OutgoingRefused` for whatever is not a plain http or https URL.

    Nothing is looked up: a name that is well-formed may still lead to an address that is refused.
    """
    if len(text) > MAX_URL:
        raise OutgoingRefused("url", f"A URL has at most {MAX_URL} characters.")
    if not _VISIBLE.fullmatch(text) or "\\" in text:
        raise OutgoingRefused(
            "url",
            "A URL is written in visible ASCII characters without backslashes: percent-encode the path, and "
            "write an international host name in Punycode (xn--…).",
        )
    parts = _URL.fullmatch(text)
    if parts is None:
        raise OutgoingRefused("url", "A URL begins with http:// or https:// and a host.")
    scheme = parts["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise OutgoingRefused("scheme", f"Only http and https are spoken here, not {scheme}.")
    if parts["fragment"] is not None:
        raise OutgoingRefused("url", "A fragment (#…) is never sent: leave it out.")
    target = (parts["path"] or "/") + (parts["query"] or "")
    if not _TARGET.fullmatch(target):
        raise OutgoingRefused(
            "url", 'The path or query holds a character that has to be percent-encoded, or a stray "%".'
        )
    host, port, literal = _authority(parts["authority"], DEFAULT_PORTS[scheme])
    return OutgoingUrl(scheme, host, port, target, literal)


def _authority(text: str, default_port: int) -> tuple[str, int, Address | None]:
    if "@" in text:
        raise OutgoingRefused(
            "userinfo", "A URL holds no user name or password: send credentials in a header."
        )
    bracketed = text.startswith("[")
    parts = (_BRACKETED if bracketed else _PLAIN).fullmatch(text)
    if parts is None:
        raise OutgoingRefused("host", "The host is a name, an IPv4 address, or an IPv6 address in brackets.")
    port = default_port
    if parts["port"] is not None:
        if not _PORT.fullmatch(parts["port"]) or int(parts["port"]) > 65535:
            raise OutgoingRefused("port", "A port is a number from 1 to 65535 without leading zeros.")
        port = int(parts["port"])
    literal = _ipv6(parts["host"]) if bracketed else _ipv4(parts["host"].lower())
    if literal is not None:
        return str(literal), port, literal
    return _name(parts["host"].lower()), port, None


def _ipv6(text: str) -> IPv6Address:
    try:
        # The pattern refuses scopes (%eth0), which ``ipaddress`` would take.
        if _IPV6.fullmatch(text):
            return IPv6Address(text)
    except ValueError:
        pass
    raise OutgoingRefused("host", "What stands in brackets is an IPv6 address without a scope.")


def _ipv4(text: str) -> IPv4Address | None:
    """The address, or ``None`` for what is no number at all."""
    if not _NUMERIC.fullmatch(text.rstrip(".").rpartition(".")[2]):
        return None
    try:
        # Refuses leading zeros, short forms, hexadecimal and octal.
        return IPv4Address(text)
    except ValueError:
        raise OutgoingRefused(
            "host", "An IPv4 address is four decimal numbers from 0 to 255 without leading zeros."
        ) from None


def _name(text: str) -> str:
    if not text:
        raise OutgoingRefused("host", "A URL names a host.")
    if len(text) > MAX_HOST or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise OutgoingRefused(
            "host",
            "A host name is made of labels of letters, digits and hyphens, joined by single dots, at most "
            f"{MAX_HOST} characters and without a dot at its end.",
        )
    return text
