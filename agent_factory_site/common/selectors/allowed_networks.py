"""Which networks inside the house may be called."""

from __future__ import annotations

from ipaddress import ip_network
from uuid import UUID

from django.db.models import QuerySet

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import AllowedNetwork
from agent_factory_site.common.networks import AllowedRange


def allowed_ranges() -> list[AllowedRange]:
    """What is open now. One query, never remembered: what was closed is closed from the next request on."""
    rows = AllowedNetwork.objects.filter(archived_at=None).values_list("cidr", "port")
    return [AllowedRange(ip_network(cidr), port) for cidr, port in rows]


def allowed_network_by_id(network_id: UUID) -> AllowedNetwork:
    """The network with this id, open or not; raises NotFound."""
    found: AllowedNetwork | None = AllowedNetwork.objects.filter(pk=network_id).first()
    if found is None:
        raise NotFound("not_found", "There is no such allowed network.")
    return found


def list_allowed_networks(*, archived: bool = False) -> QuerySet[AllowedNetwork]:
    """Those that are open, or those that were."""
    rows: QuerySet[AllowedNetwork] = AllowedNetwork.objects.filter(archived_at__isnull=not archived)
    return rows
