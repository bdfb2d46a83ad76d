"""``manage.py check_beat``: does some beat tick? For health checks."""

from __future__ import annotations

import sys
from typing import Any

from agent_factory_site.common.beat import LEASE
from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.selectors.leases import lease_holder


class Command(ServiceCommand):
    help = "Exit 0 and name the holder while a beat holds the lease, else exit 1."

    def handle(self, **options: Any) -> None:
        holder = lease_holder(LEASE)
        if holder is None:
            sys.exit("No beat holds the lease: nothing that is due happens.")
        self.stdout.write(holder)
