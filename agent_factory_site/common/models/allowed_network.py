"""Networks inside the house that outgoing requests may reach."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7

from .audited import AuditedModel


class AllowedNetwork(AuditedModel):
    """A network that is not public and may be called nevertheless, on one port or on every port.

    It holds from its creation until ``archived_at``; who did either is in the audit trail.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cidr = models.CharField("network", max_length=43, help_text="In CIDR notation, as its only spelling.")
    port = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: every port.")
    purpose = models.CharField(max_length=200)
    created_by = models.CharField(max_length=272, editable=False, help_text="Who opened it: kind and id.")
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "allowed network"
        ordering = ["cidr", "port"]
        constraints = [
            models.UniqueConstraint(
                fields=["cidr", "port"],
                condition=models.Q(archived_at=None, port__isnull=False),
                name="common_allowednetwork_live_port",
            ),
            models.UniqueConstraint(
                fields=["cidr"],
                condition=models.Q(archived_at=None, port=None),
                name="common_allowednetwork_live",
            ),
            models.CheckConstraint(
                condition=models.Q(port=None) | models.Q(port__gte=1, port__lte=65535),
                name="common_allowednetwork_port",
            ),
            models.CheckConstraint(condition=~models.Q(purpose=""), name="common_allowednetwork_purpose"),
        ]

    def __str__(self) -> str:
        return f"{self.cidr} port {self.port}" if self.port else self.cidr
