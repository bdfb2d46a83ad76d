"""Admin screens of the kernel's tables; importing this package registers them."""

from django.contrib import admin

from . import allowed_networks, api_keys, audit_events, entities, jobs, published_numbers, schedule, users

__all__ = [
    "allowed_networks",
    "api_keys",
    "audit_events",
    "entities",
    "jobs",
    "published_numbers",
    "schedule",
    "users",
]

admin.site.index_title = "Overview"
