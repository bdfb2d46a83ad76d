"""Who holds which lease."""

from __future__ import annotations

from django.db.models.functions import Now

from agent_factory_site.common.models.lease import Lease


def lease_holder(name: str) -> str | None:
    """The holder of the lease ``name`` at this moment by the database's clock, or None."""
    return Lease.objects.filter(name=name, expires_at__gt=Now()).values_list("holder", flat=True).first()
