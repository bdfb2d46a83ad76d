"""Build the rollups of the pairs and tags named in the settings, and drop those no longer named."""

from __future__ import annotations

from typing import Any

from agent_factory_site.common.management.base import ServiceCommand
from financial.services.build_rollups import build_rollups


class Command(ServiceCommand):
    help = (
        "Build the rollups that COST_ROLLUP_PAIRS and COST_ROLLUP_TAGS ask for, and drop those they no longer "
        "name. Recording costs waits meanwhile."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with self.progress("events") as progress:
            built = build_rollups(progress=progress.move_to)
        for name in built.built:
            self.stdout.write(f"built: {name}")
        for name in built.dropped:
            self.stdout.write(f"dropped: {name}")
        self.stdout.write(f"{built.events} events read")
