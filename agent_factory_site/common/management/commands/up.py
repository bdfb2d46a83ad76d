"""``manage.py up``: the whole system on this machine, under one supervisor."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from agent_factory_site.common.supervisor.start import CannotStart, start


class Command(BaseCommand):
    help = "Migrate, then run web, worker and beat until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=settings.WEB_HOST, help="address to serve on (%(default)s)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="port to serve on (%(default)s)")

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        try:
            start(host=host, port=port)
        except CannotStart as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            sys.exit(130)
