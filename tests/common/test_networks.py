"""Which addresses are public, and what an operator may open."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.networks import (
    METADATA_ADDRESSES,
    SPECIAL_NETWORKS,
    AllowedRange,
    parse_network,
    refusal_of,
    why_not_allowable,
)

pytestmark = pytest.mark.once

NOT_PUBLIC = {
    "0.0.0.0": "this network",  # noqa: S104
    "0.1.2.3": "this network",
    "10.0.0.0": "private",
    "10.255.255.255": "private",
    "100.64.0.0": "shared by a provider's customers (CGNAT)",
    "100.100.100.200": "cloud metadata",
    "100.127.255.255": "shared by a provider's customers (CGNAT)",
    "127.0.0.1": "loopback",
    "127.1.2.3": "loopback",
    "127.255.255.255": "loopback",
    "168.63.129.16": "cloud metadata",
    "169.254.0.1": "link-local",
    "169.254.169.254": "cloud metadata",
    "169.254.170.2": "cloud metadata",
    "169.254.255.255": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "IETF protocol assignments",
    "192.0.0.9": "IETF protocol assignments",
    "192.0.0.170": "IETF protocol assignments",
    "192.0.0.192": "cloud metadata",
    "192.0.2.1": "documentation",
    "192.31.196.1": "AS112 name servers",
    "192.52.193.1": "multicast tunnels (AMT)",
    "192.88.99.1": "6to4 relays",
    "192.168.0.1": "private",
    "192.168.255.255": "private",
    "192.175.48.1": "AS112 name servers",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.7": "documentation",
    "203.0.113.7": "documentation",
    "224.0.0.1": "multicast",
    "232.1.1.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.254": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::2": "IPv4-compatible",
    "::127.0.0.1": "IPv4-compatible",
    "::8.8.8.8": "IPv4-compatible",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "::ffff:169.254.169.254": "IPv4-mapped",
    "::ffff:0:127.0.0.1": "IPv4-translated",
    "64:ff9b::10.0.0.1": "IPv4 through NAT64",
    "64:ff9b::8.8.8.8": "IPv4 through NAT64",
    "64:ff9b:1::1": "IPv4 through a local NAT64",
    "64:ff9b:1:ffff:ffff:ffff:7f00:1": "IPv4 through a local NAT64",
    "64:ff9c::1": "outside of global unicast",
    "100::1": "discarded",
    "100:0:0:1::1": "dummy prefix",
    "200::1": "outside of global unicast",
    "2001::1": "IPv4 through Teredo",
    "2001:0:53aa:64c::1": "IPv4 through Teredo",
    "2001:1::1": "IETF protocol assignments",
    "2001:2::1": "benchmarking",
    "2001:3::1": "multicast tunnels (AMT)",
    "2001:4:112::1": "AS112 name servers",
    "2001:10::1": "hashes (ORCHID)",
    "2001:20::1": "hashes (ORCHIDv2)",
    "2001:30::1": "drone ids (DRIP)",
    "2001:db8::1": "documentation",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": "documentation",
    "2002:7f00:1::": "IPv4 through 6to4",
    "2002:a00:1::1": "IPv4 through 6to4",
    "2002:808:808::1": "IPv4 through 6to4",
    "2620:4f:8000::1": "AS112 name servers",
    "3ffe::1": "the former 6bone",
    "3fff::1": "documentation",
    "3fff:fff:ffff::1": "documentation",
    "4000::1": "outside of global unicast",
    "5f00::1": "segment routing",
    "8000::1": "outside of global unicast",
    "fc00::1": "unique local",
    "fd00:ec2::254": "cloud metadata",
    "fd12:3456:789a::1": "unique local",
    "fdff:ffff::1": "unique local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "febf::1": "link-local",
    "fec0::1": "site-local",
    "feff::1": "site-local",
    "fe00::1": "outside of global unicast",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "::ffff:8.8.8.8%1": "IPv4-mapped",
    "fd20:ce::254": "cloud metadata",
}
PUBLIC = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888",
    "2003::1", "2400::1", "2606:4700:4700::1111", "2a00::1", "3ffd::1", "3fff:1000::1",
)  # fmt: skip
EVERYTHING_OPEN = [
    AllowedRange(each.network) for each in SPECIAL_NETWORKS if each.inside
]  # what operators can open at most


@pytest.mark.parametrize(("text", "kind"), NOT_PUBLIC.items())
def test_what_is_not_public_is_named(text: str, kind: str) -> None:
    assert refusal_of(ip_address(text), 443, ()) == kind


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_is_let_through(text: str) -> None:
    assert refusal_of(ip_address(text), 443, ()) is None


def test_the_edges_of_every_range() -> None:
    for each in SPECIAL_NETWORKS:
        for edge in (each.network[0], each.network[-1]):
            assert refusal_of(edge, 443, ()) is not None, edge


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_whatever_python_holds_for_special_is_special_to_us(address: IPv4Address | IPv6Address) -> None:
    if refusal_of(address, 443, ()) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved
        assert address.version == 4 or (address.ipv4_mapped, address.sixtofour, address.teredo) == (None,) * 3


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_inside_an_ipv6_one_is_never_reached(inner: IPv4Address) -> None:
    number = int(inner)
    carriers = ["::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"]
    wrapped = [IPv6Address(int(IPv6Address(carrier)) + number) for carrier in carriers]
    wrapped.append(IPv6Address((0x2002 << 112) + (number << 80) + 1))
    wrapped.append(IPv6Address((0x20010000 << 96) + (number ^ 0xFFFFFFFF)))
    assert all(refusal_of(each, 443, EVERYTHING_OPEN) for each in wrapped if int(each) != 1)


def test_an_open_network_is_reached_on_its_port() -> None:
    opened = [AllowedRange(ip_network("10.1.0.0/16"), 8443), AllowedRange(ip_network("fd12::/16"))]
    assert refusal_of(ip_address("10.1.2.3"), 8443, opened) is None
    assert refusal_of(ip_address("10.1.2.3"), 443, opened) == "private"
    assert refusal_of(ip_address("10.2.0.1"), 8443, opened) == "private"
    assert refusal_of(ip_address("fd12::7"), 1, opened) is None


def test_what_can_never_be_opened_is_refused_even_where_a_row_says_otherwise() -> None:
    everything = [AllowedRange(ip_network("0.0.0.0/0")), AllowedRange(ip_network("::/0"))]
    for address in METADATA_ADDRESSES:
        assert refusal_of(address, 80, everything) == "cloud metadata"
        assert refusal_of(address, 80, EVERYTHING_OPEN) == "cloud metadata"
    for text, kind in {
        "169.254.7.7": "link-local",
        "::ffff:10.0.0.1": "IPv4-mapped",
        "224.0.0.1": "multicast",
    }.items():
        assert refusal_of(ip_address(text), 80, everything) == kind


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.20.30.40", "10.20.30.40/32"),
        ("10.20.30.40/32", "10.20.30.40/32"),
        ("fd12:3456::/48", "fd12:3456::/48"),
        ("FD12:3456::/48", "fd12:3456::/48"),
        ("::1", "::1/128"),
    ],
)
def test_a_network_has_one_spelling(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.20.30.40/8", "Write it as 10.0.0.0/8."),
        ("10.0.0.0/255.0.0.0", "Write it as 10.0.0.0/8."),
        ("fd12:3456:0::/48", "Write it as fd12:3456::/48."),
        ("10.0.0.0/33", "An address or a network"),
        ("010.0.0.0/8", "An address or a network"),
        ("10/8", "An address or a network"),
        ("167772160", "An address or a network"),
        ("localhost", "An address or a network"),
        ("", "An address or a network"),
    ],
)
def test_odd_spellings_of_a_network_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("10.0.0.0/8", None),
        ("192.168.7.5/32", 80),
        ("100.64.0.0/10", None),
        ("fd00::/8", 443),
        ("127.0.0.1/32", 9),
    ],
)
def test_what_an_operator_may_open(text: str, port: int | None) -> None:
    assert why_not_allowable(ip_network(text), port) is None


@pytest.mark.parametrize(
    ("text", "port", "said"),
    [
        ("0.0.0.0/0", 80, "A network inside one of"),
        ("::/0", 80, "A network inside one of"),
        ("0.0.0.0/1", 80, "A network inside one of"),
        ("8.0.0.0/6", 80, "A network inside one of"),
        ("8.8.8.8/32", 80, "A network inside one of"),
        ("169.254.169.254/32", 80, "A network inside one of"),
        ("169.254.0.0/16", 80, "A network inside one of"),
        ("fe80::/10", 80, "A network inside one of"),
        ("::ffff:10.0.0.0/104", 80, "A network inside one of"),
        ("64:ff9b::/96", 80, "A network inside one of"),
        ("224.0.0.0/4", 80, "A network inside one of"),
        ("fd00:ec2::254/128", 80, "hands out credentials"),
        ("100.100.100.200/32", None, "hands out credentials"),
        ("127.0.0.0/8", None, "one port at a time"),
        ("::1/128", None, "one port at a time"),
    ],
)
def test_what_no_operator_may_open(text: str, port: int | None, said: str) -> None:
    assert said in str(why_not_allowable(ip_network(text), port))
