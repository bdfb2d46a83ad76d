"""Callers that need no key to read numbers and checks: those in ``METRICS_ALLOWED_NETWORKS``."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_BY_A_PROXY = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


def from_allowed_network(request: HttpRequest) -> bool:
    """Whether the connection comes straight from an allowed network.

    What a proxy passes on never does: the address is the proxy's own, and the one it names in a header is
    whatever a client claims.
    """
    if not settings.METRICS_ALLOWED_NETWORKS or any(name in request.META for name in _BY_A_PROXY):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # A socket that listens on both families shows IPv4 callers like this.
        address = address.ipv4_mapped
    return any(address in network for network in settings.METRICS_ALLOWED_NETWORKS)
