"""Which addresses on the internet are somebody's, and which are a house's own, special or nobody's.

The list is written out: ``ipaddress`` calls an address "private" by the registry of the Python release it
came with, and says nothing of the IPv4 address inside a translated, tunnelled or mapped IPv6 one.
Sources: IANA's special-purpose address registries (RFC 6890 and later entries), RFC 4291, RFC 6052, RFC 8215.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class SpecialNetwork:
    """A range that is not public unicast; ``inside`` where a house may have receivers of its own in it."""

    network: Network
    kind: str
    inside: bool = False


@dataclass(frozen=True, slots=True)
class AllowedRange:
    """Addresses that an operator has opened, on one port or on every port (``None``)."""

    network: Network
    port: int | None = None

    def covers(self, address: Address, port: int) -> bool:
        """Whether a connection to ``address`` and ``port`` is within what was opened."""
        return address in self.network and self.port in (None, port)


def _special(cidr: str, kind: str, *, inside: bool = False) -> SpecialNetwork:
    return SpecialNetwork(ip_network(cidr), kind, inside)


SPECIAL_NETWORKS: Final = (
    _special("0.0.0.0/8", "this network"),
    _special("10.0.0.0/8", "private", inside=True),
    _special("100.64.0.0/10", "shared by a provider's customers (CGNAT)", inside=True),
    _special("127.0.0.0/8", "loopback", inside=True),
    _special("169.254.0.0/16", "link-local"),
    _special("172.16.0.0/12", "private", inside=True),
    _special("192.0.0.0/24", "IETF protocol assignments"),
    _special("192.0.2.0/24", "documentation"),
    _special("192.31.196.0/24", "AS112 name servers"),
    _special("192.52.193.0/24", "multicast tunnels (AMT)"),
    _special("192.88.99.0/24", "6to4 relays"),
    _special("192.168.0.0/16", "private", inside=True),
    _special("192.175.48.0/24", "AS112 name servers"),
    _special("198.18.0.0/15", "benchmarking", inside=True),
    _special("198.51.100.0/24", "documentation"),
    _special("203.0.113.0/24", "documentation"),
    _special("224.0.0.0/4", "multicast"),
    _special("240.0.0.0/4", "reserved"),
    _special("255.255.255.255/32", "broadcast"),
    # Only 2000::/3 is given out as global unicast; of the rest, the parts that have names:
    _special("::/3", "outside of global unicast"),
    _special("4000::/2", "outside of global unicast"),
    _special("8000::/1", "outside of global unicast"),
    _special("::/96", "IPv4-compatible"),
    _special("::/128", "unspecified"),
    _special("::1/128", "loopback", inside=True),
    _special("::ffff:0:0/96", "IPv4-mapped"),
    _special("::ffff:0:0:0/96", "IPv4-translated"),
    _special("64:ff9b::/96", "IPv4 through NAT64"),
    _special("64:ff9b:1::/48", "IPv4 through a local NAT64"),
    _special("100::/64", "discarded"),
    _special("100:0:0:1::/64", "dummy prefix"),
    _special("2001::/23", "IETF protocol assignments"),
    _special("2001::/32", "IPv4 through Teredo"),
    _special("2001:2::/48", "benchmarking"),
    _special("2001:3::/32", "multicast tunnels (AMT)"),
    _special("2001:4:112::/48", "AS112 name servers"),
    _special("2001:10::/28", "hashes (ORCHID)"),
    _special("2001:20::/28", "hashes (ORCHIDv2)"),
    _special("2001:30::/28", "drone ids (DRIP)"),
    _special("2001:db8::/32", "documentation"),
    _special("2002::/16", "IPv4 through 6to4"),
    _special("2620:4f:8000::/48", "AS112 name servers"),
    _special("3ffe::/16", "the former 6bone"),
    _special("3fff::/20", "documentation"),
    _special("5f00::/16", "segment routing"),
    _special("fc00::/7", "unique local", inside=True),
    _special("fe80::/10", "link-local"),
    _special("fec0::/10", "site-local"),
    _special("ff00::/8", "multicast"),
)
"""Every range that is not public unicast. Of several that hold an address the longest prefix names it."""

LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

METADATA_ADDRESSES: Final[frozenset[Address]] = frozenset(
    ip_address(text)
    for text in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.42.42",
        "169.254.169.123",
        "169.254.169.253",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "192.0.0.192",
        "fd00:42::42",
        "fd00:ec2::23",
        "fd00:ec2::123",
        "fd00:ec2::253",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
"""Where cloud platforms hand credentials to whatever asks from inside: refused whatever was allowed."""


def special_network(address: Address) -> SpecialNetwork | None:
    """The most exact special range that holds ``address``, or ``None`` for public unicast."""
    # The scope of fe80::1%eth0 is no part of the comparison, and would not be equal to anything.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        address = IPv6Address(int(address))
    holding = [
        each
        for each in SPECIAL_NETWORKS
        if each.network.version == address.version and address in each.network
    ]
    return max(holding, key=lambda each: each.network.prefixlen, default=None)


def refusal_of(address: Address, port: int, allowed: Collection[AllowedRange]) -> str | None:
    """What kind of address keeps us from connecting to ``address`` and ``port``, or ``None``."""
    if address in METADATA_ADDRESSES:
        return "cloud metadata"
    special = special_network(address)
    if special is None:
        return None
    if special.inside and any(each.covers(address, port) for each in allowed):
        return None
    return special.kind


def parse_network(text: str) -> Network:
    """``text`` as a network; raises ValueError with a sentence for any spelling but the usual one."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            "An address or a network in CIDR notation, such as 10.20.0.0/16 or fd12:3456::/48."
        ) from None
    usual = {str(network), network.compressed}
    if network.prefixlen == network.max_prefixlen:
        usual.add(str(network.network_address))
    if text.lower() not in usual:
        raise ValueError(f"Write it as {network}.")
    return network


def why_not_allowable(network: Network, port: int | None) -> str | None:
    """A sentence on why an operator cannot open ``network``, or ``None`` when that can be done."""
    home = next(
        (
            each
            for each in SPECIAL_NETWORKS
            if each.inside and each.network.version == network.version and network.subnet_of(each.network)  # type: ignore[arg-type]
        ),
        None,
    )
    if home is None:
        inside = ", ".join(str(each.network) for each in SPECIAL_NETWORKS if each.inside)
        return f"A network inside one of {inside}: public addresses need no permission, others never get one."
    if network.num_addresses == 1 and network.network_address in METADATA_ADDRESSES:
        return "This is where a cloud platform hands out credentials: it stays closed."
    if home.network in LOOPBACK and port is None:
        return (
            "Loopback is opened one port at a time: this machine's database and broker listen there as well."
        )
    return None
