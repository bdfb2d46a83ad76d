"""``manage.py run_process web|worker|beat``: become one of the processes of the system, as containers do."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from agent_factory_site.common.supervisor import programs


class Command(BaseCommand):
    help = "Become the web server, the worker or the beat (this process is replaced)."
    # Whatever starts next looks for itself.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("program", choices=["web", "worker", "beat"])

    def handle(self, *, program: str, **options: Any) -> None:
        chosen = {
            "web": lambda: programs.web(settings.WEB_HOST, settings.PORT),
            "worker": programs.worker,
            "beat": programs.beat,
        }[program]()
        os.execve(chosen.argv[0], chosen.argv, {**os.environ, **chosen.environment})  # noqa: S606
