"""Months of the ledger whose rows were written to a file and taken out of the database."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel

REMOVABLE: Final = (
    "EXISTS (SELECT 1 FROM financial_ledgerarchive a WHERE a.unlocked "
    'AND OLD.occurred_at >= a.start AND OLD.occurred_at < a."end")'
)
"""When the triggers of SQLite let a ledger row go: within the transaction that removes its month."""


class LedgerArchive(AuditedModel):
    """One archive file of one UTC month ``[start, end)``.

    ``amounts`` are sums by currency and ``base_amount`` is in the base currency, all in nano-units;
    A restored one has its rows in the database again, and stays as a record.
    ``charges`` and ``unpriced`` are sums of what the rollups call events and unpriced. ``unlocked`` is true
    only inside a transaction that removes rows, never in what others see.
    """

    class State(models.TextChoices):
        EXPORTING = "exporting"
        EXPORTED = "exported"
        REMOVING = "removing"
        ARCHIVED = "archived"
        RESTORING = "restoring"
        RESTORED = "restored"

    audit_ignored = frozenset({"unlocked"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    start = models.DateTimeField()
    end = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.EXPORTING)
    folder = models.CharField(max_length=4096)
    file_name = models.CharField(max_length=255)
    rows = models.BigIntegerField(default=0)
    attributions = models.BigIntegerField(default=0)
    charges = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    amounts = models.JSONField(default=dict)
    base_amount = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the file as it lies there.")
    created_at = models.DateTimeField(auto_now_add=True)
    removal_started_at = models.DateTimeField(null=True)
    restored_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    unlocked = models.BooleanField(default=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["start"],
                condition=models.Q(state__in=["exporting", "exported", "removing"]),
                name="financial_archive_one_open",
            ),
            models.CheckConstraint(
                condition=models.Q(unlocked=False) | models.Q(state="removing"),
                name="financial_archive_unlocked",
            ),
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def month(self) -> str:
        """``2026-08``."""
        start: datetime = self.start
        return f"{start:%Y-%m}"
