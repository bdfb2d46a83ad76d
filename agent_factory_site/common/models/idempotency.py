"""Stored answers of requests made with an ``Idempotency-Key``."""

from __future__ import annotations

from django.db import models


class IdempotencyRecord(models.Model):
    """The first answer to a (principal, key) pair, replayed for a day; ``status`` is null while in flight."""

    audit_exempt = "stored answers; what was done is recorded where it was done"

    principal = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)
    created_at = models.DateTimeField()
    locked_until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["principal", "key"], name="common_idempotency_once"),
        ]
        indexes = [models.Index(fields=["created_at"], name="common_idempotency_age")]

    def __str__(self) -> str:
        return f"{self.principal} {self.key}"
