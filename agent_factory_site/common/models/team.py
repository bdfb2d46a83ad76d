"""Teams of people who own agents, budgets and promises."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from .audited import AuditedModel


class Team(AuditedModel):
    """A named group of people."""

    key = models.SlugField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="teams")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.name
