"""Admin screens of the kernel's tables; importing this package registers them."""

from django.contrib import admin

from . import api_keys, audit_events, entities, jobs, schedule, users

__all__ = ["api_keys", "audit_events", "entities", "jobs", "schedule", "users"]

admin.site.index_title = "Overview"
