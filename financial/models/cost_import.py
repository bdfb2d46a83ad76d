"""Imports of files: what was read, what became of it, and where to go on."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Job


class CostImport(AuditedModel):
    """One import of one file.

    Counts and sums are those of the rows read so far; they are written after each batch together
    with the place to go on from. ``amount`` and ``usage`` are of the accepted events alone, ``amount``
    in nano-units of the base currency.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        INTERRUPTED = "interrupted"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    audit_ignored = frozenset({
        "sha256", "fingerprint", "bytes_total", "bytes_done", "lines_done", "rows", "accepted", "duplicates",
        "rejected", "unpriced", "amount", "usage", "rejects_path", "rejects_bytes", "counted_at",
    })  # fmt: skip

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    file_name = models.CharField(max_length=255)
    stored_file = models.CharField(
        max_length=300, blank=True, help_text="An uploaded file, below MEDIA_ROOT."
    )
    profile = models.CharField(max_length=50)
    options = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    error = models.TextField(blank=True)
    job = models.OneToOneField(
        Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="cost_import"
    )
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=255)

    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the content, unpacked.")
    fingerprint = models.CharField(
        max_length=64,
        blank=True,
        help_text="Of content, profile and options: equal ones are the same import.",
    )
    bytes_total = models.BigIntegerField(null=True)
    bytes_done = models.BigIntegerField(default=0)
    lines_done = models.BigIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    accepted = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    amount = models.BigIntegerField(default=0)
    usage = models.JSONField(default=dict)
    rejects_path = models.CharField(max_length=4096, blank=True)
    rejects_bytes = models.BigIntegerField(default=0)

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField(null=True, help_text="Events recorded later are not in the counts yet.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rows=models.F("accepted") + models.F("duplicates") + models.F("rejected")),
                name="financial_import_rows_add_up",
            ),
        ]
        indexes = [models.Index(fields=["fingerprint"], name="financial_import_same")]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.profile})"

    @property
    def outcome(self) -> str:
        """The state for people, who would take a file of which nothing was recorded for imported."""
        if self.state != self.State.SUCCEEDED or not self.rejected:
            return str(self.state)
        return "all rows rejected" if self.rejected == self.rows else "rows rejected"
