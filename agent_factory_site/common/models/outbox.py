"""The transactional outbox."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7


class OutboxMessage(models.Model):
    """A domain event, written in the transaction of what it tells of."""

    audit_exempt = "tells of a change that is recorded itself"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    topic = models.CharField(max_length=100)
    payload = models.JSONField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.topic} {self.id}"


class OutboxDelivery(models.Model):
    """One subscriber's copy of a message; delivered at least once, retried with backoff."""

    audit_exempt = "the state of a delivery, moved by the dispatcher"

    message = models.ForeignKey(OutboxMessage, on_delete=models.CASCADE, related_name="deliveries")
    subscriber = models.CharField(max_length=200)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "outbox deliveries"
        constraints = [
            models.UniqueConstraint(fields=["message", "subscriber"], name="common_outbox_once"),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="common_outbox_due",
                condition=models.Q(delivered_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscriber} <- {self.message_id}"
