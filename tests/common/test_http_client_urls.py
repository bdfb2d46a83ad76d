"""URLs are read strictly: no spelling leads to an address that was not looked at."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.http_client import OutgoingRefused, OutgoingUrl, parse_url
from agent_factory_site.common.networks import SPECIAL_NETWORKS, refusal_of

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "expected", "host_header"),
    [
        ("http://example.com", OutgoingUrl("http", "example.com", 80, "/"), "example.com"),
        ("https://example.com", OutgoingUrl("https", "example.com", 443, "/"), "example.com"),
        ("HTTPS://EXAMPLE.Com/A", OutgoingUrl("https", "example.com", 443, "/A"), "example.com"),
        ("https://example.com:443/", OutgoingUrl("https", "example.com", 443, "/"), "example.com"),
        ("https://example.com:80/", OutgoingUrl("https", "example.com", 80, "/"), "example.com:80"),
        ("http://h:65535?q=1&r=%20", OutgoingUrl("http", "h", 65535, "/?q=1&r=%20"), "h:65535"),
        (
            "http://xn--bcher-kva.example/",
            OutgoingUrl("http", "xn--bcher-kva.example", 80, "/"),
            "xn--bcher-kva.example",
        ),
        ("http://a-b.c1/x/../y;z=1", OutgoingUrl("http", "a-b.c1", 80, "/x/../y;z=1"), "a-b.c1"),
        ("http://1.2.3.4.example/", OutgoingUrl("http", "1.2.3.4.example", 80, "/"), "1.2.3.4.example"),
        ("http://8.8.8.8:81/", OutgoingUrl("http", "8.8.8.8", 81, "/", ip_address("8.8.8.8")), "8.8.8.8:81"),
        (
            "https://[2606:4700:0:0::1111]/",
            OutgoingUrl("https", "2606:4700::1111", 443, "/", ip_address("2606:4700::1111")),
            "[2606:4700::1111]",
        ),
        ("http://[::1]:81/", OutgoingUrl("http", "::1", 81, "/", ip_address("::1")), "[::1]:81"),
    ],
)
def test_plain_urls(text: str, expected: OutgoingUrl, host_header: str) -> None:
    assert parse_url(text) == expected
    assert parse_url(text).host_header == host_header


REFUSED = {
    "url": [
        "", " ", "example.com", "//example.com/", "/path", "http:", "http:/example.com", "http:example.com",
        "http://example.com/a b", "http://example.com/\t", "http://exa\tmple.com/", "\nhttp://example.com/",
        "http://example.com/\r\nHost: inside", "http://example.com\n", "http://example.com/\x00", "http://example.com/\x7f",
        "http://example.com\\@10.0.0.1/", "http:\\\\example.com/", "http://example.com/\\..\\", "http://exämple.com/",
        "http://１２７.０.０.１/", "http://127。0。0。1/", "http://ⓔxample.com/", "http://example.com/ä",
        "http://example.com/#fragment", "http://example.com#@10.0.0.1/", "http://example.com/%", "http://example.com/%zz",
        "http://example.com/%1", "http://example.com/<>", 'http://example.com/"', "http://example.com/{x}",
        "http://example.com/a|b", "http://example.com/?a=^", "http://example.com/`", "http://example.com/[x]",
        "http://example.com/" + "a" * 2048, "http ://example.com/", " http://example.com/", "http://example.com/ ",
        "http://example.com/\u200b", "http://\u202eexample.com/", "1http://example.com/",
    ],
    "scheme": [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "ws://example.com/", "javascript://example.com/",
        "data://text", "httpss://example.com/", "unix://example.com/", "http+unix://example.com/",
    ],
    "userinfo": [
        "http://user@example.com/", "http://user:password@example.com/", "http://@example.com/",
        "http://example.com@10.0.0.1/", "http://example.com:80@10.0.0.1/", "http://10.0.0.1:80@example.com/",
        "http://[::1]@example.com/", "http://example.com%40@10.0.0.1/",
    ],
    "host": [
        "http:///", "http://", "http://:80/", "http://?q", "http://.", "http://./", "http://../", "http://example.com./",
        "http://example..com/", "http://.example.com/", "http://-example.com/", "http://example-.com/",
        "http://exam_ple.com/", "http://exam!ple.com/", "http://example.com,10.0.0.1/", "http://%31%32%37.0.0.1/",
        "http://127.0.0.1%00.example.com/", "http://example%2ecom/", "http://2130706433/", "http://0x7f000001/",
        "http://0x7f.1/", "http://0X7F.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.1/",
        "http://127.0.1/", "http://127.0.0.01/", "http://127.0.0.0x1/", "http://0x7f.0.0.1/", "http://0x7f.0x0.0x0.0x1/",
        "http://127.0.0.1./", "http://127.0.0.1.1/", "http://256.0.0.1/", "http://1.2.3.4.5/", "http://1.2.3/",
        "http://0/", "http://00/", "http://0x/", "http://4294967296/", "http://1e3.1/", "http://example.1/",
        "http://example.0x7f/", "http://foo.1./", "http://127..1/", "http://[/", "http://]/", "http://[]/", "http://[:]/",
        "http://[::1/", "http://::1/", "http://::1]/", "http://[::1]a/", "http://a[::1]/", "http://[[::1]]/",
        "http://[127.0.0.1]/", "http://[example.com]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/",
        "http://[v1.x]/", "http://[::1::]/", "http://[1:2:3:4:5:6:7]/", "http://[1:2:3:4:5:6:7:8:9]/",
        "http://[::ffff:127.0.0.01]/", "http://[::ffff:127.1]/", "http://[::ffff:0x7f.0.0.1]/", "http://[::00001]/",
        "http://[%20::1]/", "http://" + "a" * 64 + ".com/", "http://" + "a." * 127 + "com/",
        "http://[::1]80/", "http://example.com:80:80/", "http://127.0.0.1:80:10.0.0.1/", "http://*.example.com/", "http://~/",
    ],
    "port": [
        "http://example.com:/", "http://example.com:0/", "http://example.com:65536/", "http://example.com:080/",
        "http://example.com:+80/", "http://example.com:-1/", "http://example.com:8o/",
        "http://example.com:0x50/", "http://example.com:999999/", "http://[::1]:/",
        "http://[::1]:0/", "http://example.com:80%20/",
    ],
}  # fmt: skip
CASES = [(reason, text) for reason, texts in REFUSED.items() for text in texts]


@pytest.mark.parametrize(("reason", "text"), CASES)
def test_odd_urls_are_refused_with_the_reason(reason: str, text: str) -> None:
    with pytest.raises(OutgoingRefused) as caught:
        parse_url(text)
    assert caught.value.reason == reason
    assert caught.value.detail.endswith(".")


def test_there_are_enough_odd_urls() -> None:
    assert len({text for _, text in CASES}) > 120


def dotted(number: int, bases: tuple[Callable[[int], str], ...]) -> str:
    """``number`` as an IPv4 address in as many parts as there are ``bases``, the last taking the rest."""
    rest = len(bases) - 1
    parts = [(number >> (24 - 8 * place)) & 0xFF for place in range(rest)]
    parts.append(number & ((1 << (32 - 8 * rest)) - 1))
    return ".".join(base(part) for base, part in zip(bases, parts))


BASES: tuple[Callable[[int], str], ...] = (str, hex, lambda part: f"0{part:o}", lambda part: f"{part:04d}")
special = st.sampled_from(SPECIAL_NETWORKS).flatmap(
    lambda each: st.integers(int(each.network[0]), int(each.network[-1])).map(type(each.network[0]))
)
addresses = special | st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address)


@st.composite
def spelt_hosts(draw: st.DrawFn) -> str:
    """An address in one of the spellings that some parser takes."""
    address = draw(addresses)
    if isinstance(address, IPv4Address):
        number = int(address)
        bases = draw(st.lists(st.sampled_from(BASES), min_size=1, max_size=4))
        forms = [dotted(number, tuple(bases)), str(address), f"[::ffff:{address}]", f"[::{address}]"]
        forms += [f"[64:ff9b::{address}]", f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::]"]
    else:
        forms = [f"[{address}]", f"[{address.exploded}]", f"[{address}%251]", str(address)]
    host = draw(st.sampled_from(forms))
    return host + draw(st.sampled_from(["", "", "", ".", "%00", "@example.com", "\t"]))


@given(
    spelt_hosts(), st.sampled_from(["", ":80", ":0x50", ":65536"]), st.sampled_from(["", "/", "/@8.8.8.8/"])
)
def test_no_spelling_of_an_address_gets_past_the_list(host: str, port: str, path: str) -> None:
    text = f"http://{host}{port}{path}"
    try:
        url = parse_url(text)
    except OutgoingRefused:
        return
    # What was accepted means the same to the system's resolver, and to another parser, as to us.
    assert url.literal is not None
    found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    assert {ip_address(sockaddr[0]) for *_, sockaddr in found} == {url.literal}
    assert ip_address(str(urlsplit(text).hostname)) == url.literal
    if refusal_of(url.literal, url.port, ()) is None:
        assert url.literal.is_global
        assert not url.literal.is_multicast


@given(st.text(max_size=60) | st.text("abz019.:@/\\[]%#?xX- \t\r\n", max_size=30).map("http://".__add__))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except OutgoingRefused:
        return
    assert url.host == urlsplit(text).hostname
    assert url.target.startswith("/")
    assert text.isascii()
    if url.literal is None:
        with pytest.raises(ValueError):
            IPv4Address(url.host)
        # No resolver takes the name for a number.
        with pytest.raises(OSError):
            socket.inet_aton(url.host)
