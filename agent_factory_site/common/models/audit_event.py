"""The audit trail."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7


class AuditEvent(models.Model):
    """Who did what to which row, with the values before and after; written in the same transaction.

    Rows are appended only; triggers refuse UPDATE and DELETE.
    """

    audit_exempt = "the trail itself"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=255)
    action = models.CharField(max_length=100)
    target_type = models.CharField(max_length=100)
    target_id = models.CharField(max_length=255, blank=True)
    changes = models.JSONField(default=dict, help_text='{"field": [before, after]}, or a summary of a batch.')
    request_id = models.CharField(max_length=100, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["-at", "-id"], name="common_audit_at"),
            # One for each filter of the trail, in the order it is read in.
            models.Index(fields=["target_type", "target_id", "-at", "-id"], name="common_audit_target"),
            models.Index(fields=["actor_kind", "actor_id", "-at", "-id"], name="common_audit_actor"),
            models.Index(fields=["action", "-at", "-id"], name="common_audit_action"),
            models.Index(fields=["request_id"], name="common_audit_request"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_type} {self.target_id}"
