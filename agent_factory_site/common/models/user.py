"""People who sign in."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models

from agent_factory_site.common.scopes import SCOPES, codename

from .audited import AuditedManager, AuditedModel, AuditedQuerySet


class AuditedUserManager(UserManager["User"], AuditedManager.from_queryset(AuditedQuerySet)):  # type: ignore[misc]
    """Django's user manager, audited."""

    # Migrations see plain models, whose writes have no trail.
    use_in_migrations = False


class User(AuditedModel, AbstractUser):
    """A person who signs in. Other rows name users by primary key only."""

    audit_secrets: ClassVar[frozenset[str]] = frozenset({"password"})
    audit_personal: ClassVar[frozenset[str]] = frozenset({"username", "first_name", "last_name", "email"})
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"last_login"})

    must_change_password = models.BooleanField(
        default=False, help_text="Set for a one-time password: the next sign-in leads to the password form."
    )

    objects: ClassVar[AuditedUserManager] = AuditedUserManager()

    def set_password(self, raw_password: str | None) -> None:
        """A password that somebody chose is no longer the one-time password."""
        super().set_password(raw_password)
        self.must_change_password = False

    class Meta(AbstractUser.Meta):
        permissions = [(codename(scope), f"API: {what}") for scope, what in SCOPES.items()]
