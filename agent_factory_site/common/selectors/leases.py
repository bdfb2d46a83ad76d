"""Who holds which lease."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models.functions import Now

from agent_factory_site.common.models.lease import Lease

BEAT: Final = "beat"
"""The lease of whoever runs the schedule."""


def lease_holder(name: str) -> str | None:
    """The holder of the lease ``name`` at this moment by the database's clock, or None."""
    return Lease.objects.filter(name=name, expires_at__gt=Now()).values_list("holder", flat=True).first()


def lease_renewed_at(name: str) -> datetime | None:
    """When the lease ``name`` was last taken or renewed, whoever had it; None when it never was."""
    renewed = Lease.objects.filter(name=name).values_list("renewed_at", flat=True).first()
    return renewed if renewed is not None and renewed.year > 1970 else None
