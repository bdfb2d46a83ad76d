"""``manage.py prepare``: what ``up`` does to the database before it serves, for containers."""

from __future__ import annotations

from typing import Any

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.services.installation import prepare_database


class Command(ServiceCommand):
    help = "Migrate the database and create the first administrator; prints the one-time password once."

    def handle(self, **options: Any) -> None:
        admin = prepare_database()
        self.stdout.write("The database is ready.")
        if admin:
            self.stdout.write(f"Sign in as {admin.username} with the one-time password {admin.password}")
