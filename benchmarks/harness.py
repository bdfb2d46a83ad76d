"""How a benchmark's process begins and ends: Django ready, an actor, outcomes on the last line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import django

from .outcome import Outcome, to_text


def main() -> None:
    """Run the benchmark named by the first argument and print its outcomes."""
    django.setup()
    logging.disable(logging.INFO)
    from importlib import import_module

    from agent_factory_site.common.actors import Actor, acting

    with acting(Actor.command("benchmark")):
        found: Sequence[Outcome] = import_module(f"benchmarks.{sys.argv[1]}").main()
    print(to_text(found), flush=True)


if __name__ == "__main__":
    main()
