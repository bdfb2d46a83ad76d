"""Tables whose writes the models themselves do not record, each with its reason.

Our own models that are not audited carry the reason as ``audit_exempt``; here are those of others.
A test holds every table to be audited, or named in one of these ways.
"""

from __future__ import annotations

from typing import Final

from django.db import models

# Changed by people in the admin alone, whose AuditedAdminMixin records it.
RECORDED_BY_ADMIN: Final = {
    "auth.Group": "roles: changed in the admin, which records it",
    "auth.Group_permissions": "what roles may do: changed in the admin, which records it",
    "django_celery_beat.SolarSchedule": "schedules: changed in the admin, which records it",
    "django_celery_beat.IntervalSchedule": "schedules: changed in the admin, which records it",
    "django_celery_beat.ClockedSchedule": "schedules: changed in the admin, which records it",
    "django_celery_beat.CrontabSchedule": "schedules: changed in the admin, which records it",
    "django_celery_beat.PeriodicTask": "schedules: changed in the admin, which records it; beat counts runs",
}

EXEMPT: Final = {
    "admin.LogEntry": "a trail of its own, beside this one",
    "auth.Permission": "made by migrations from the models' code",
    "contenttypes.ContentType": "made by migrations from the models' code",
    "sessions.Session": "signed-in browsers, no business data; comes and goes by itself",
    "django_celery_beat.PeriodicTasks": "one row saying when the schedule last changed, kept by the library",
}


def exemption(model: type[models.Model]) -> str | None:
    """Why writes of ``model`` are not recorded by the model itself, or ``None`` when nobody said so."""
    label = model._meta.label
    reason: str | None = getattr(model, "audit_exempt", None)
    return reason or EXEMPT.get(label) or RECORDED_BY_ADMIN.get(label)


def recorded_by_admin() -> frozenset[type[models.Model]]:
    """The models of others that the admin records."""
    from django.apps import apps

    return frozenset(
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.label in RECORDED_BY_ADMIN
    )
