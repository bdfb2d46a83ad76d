"""Keys that programs authenticate with."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from agent_factory_site.common.ids import uuid7

from .audited import AuditedModel


class ApiKey(AuditedModel):
    """A key for programs: only its SHA-256 is stored (the key itself is 256 random bits)."""

    audit_secrets: ClassVar[frozenset[str]] = frozenset({"digest"})
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"last_used_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    prefix = models.CharField(
        max_length=16, editable=False, help_text="The first characters, to recognise a key by."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="api_keys"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
