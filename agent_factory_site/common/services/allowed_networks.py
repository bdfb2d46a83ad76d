"""Opening networks inside the house to outgoing requests, and closing them again."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.models import AllowedNetwork
from agent_factory_site.common.networks import Network, parse_network, why_not_allowable
from agent_factory_site.common.selectors.allowed_networks import allowed_network_by_id

MAX_PURPOSE: Final = 200


def allow_network(*, cidr: str, purpose: str, port: int | None = None) -> AllowedNetwork:
    """Let outgoing requests reach ``cidr``, on ``port`` alone or on every port.

    Raises Invalid for what no operator can open (public or special ranges, cloud metadata, loopback
    without a port) and Conflict where the same is open already.
    """
    errors = []
    network: Network | None = None
    if port is not None and not 1 <= port <= 65535:
        errors.append(FieldError("/port", "invalid", "A port from 1 to 65535."))
    try:
        network = parse_network(cidr.strip())
    except ValueError as error:
        errors.append(FieldError("/cidr", "invalid", str(error)))
    else:
        reason = why_not_allowable(network, port)
        if reason is not None:
            errors.append(FieldError("/cidr", "not_allowable", reason))
    purpose = purpose.strip()
    if not purpose or len(purpose) > MAX_PURPOSE:
        errors.append(FieldError("/purpose", "invalid", f"A purpose of 1 to {MAX_PURPOSE} characters."))
    if errors or network is None:
        raise Invalid.fields(*errors)
    row = AllowedNetwork(cidr=str(network), port=port, purpose=purpose, created_by=str(current_actor()))
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise Conflict("already_allowed", f"{row} is open already.") from None
    return row


def archive_allowed_network(*, network_id: UUID) -> AllowedNetwork:
    """Close a network from the next request on; one that is closed stays as it is. Raises NotFound."""
    with transaction.atomic():
        AllowedNetwork.objects.filter(pk=network_id, archived_at=None).update(archived_at=timezone.now())
        return allowed_network_by_id(network_id)
