"""Bringing a database to the state that this code needs: its tables, and somebody who can sign in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from agent_factory_site.common.models import User

ADMIN: Final = "admin"
_ADVISORY_LOCK: Final = 0x6166_696E_7374
# No letters and digits that are mistaken for each other when copied by hand.
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """Who can sign in to a new installation; the password is nowhere else."""

    username: str
    password: str


def prepare_database() -> FirstAdmin | None:
    """Migrate, and create the first administrator where there is none.

    Safe to call from several processes at once. Returns the administrator if one was created.
    """
    with _one_at_a_time():
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", verbosity=0, interactive=False)
        return create_first_admin()


def create_first_admin() -> FirstAdmin | None:
    """An administrator with a one-time password, unless there is an active one already."""
    with transaction.atomic():
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return None
        taken = User.objects.filter(username=ADMIN).exists()
        admin = FirstAdmin(f"{ADMIN}-{secrets.token_hex(3)}" if taken else ADMIN, _one_time_password())
        User.objects.create_superuser(
            username=admin.username, password=admin.password, must_change_password=True
        )
        return admin


def _one_time_password() -> str:
    """16 letters in groups of four: 79 bits."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """On PostgreSQL several machines may start together; on SQLite the start lock is enough."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])
