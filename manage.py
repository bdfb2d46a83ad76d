#!/usr/bin/env python3
"""Command-line entry point; every command acts under its own name in the audit trail."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agent_factory_site.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(
            "Django is not installed in this Python: run .venv/bin/python manage.py (`make run` makes .venv)."
        )
    from django.core.exceptions import ImproperlyConfigured

    from agent_factory_site.common.actors import Actor, acting

    try:
        with acting(Actor.command(sys.argv[1] if len(sys.argv) > 1 else "help")):
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
