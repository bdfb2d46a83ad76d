"""The programs that make up the system, each as a command line.

``manage.py up`` runs them side by side; in containers ``manage.py run_process`` becomes one of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings
from django.db import connection

RUNNING_AS_ROOT: Final = "You're running the worker with superuser privileges"
"""Celery's six lines about it are for workers that accept pickles; ours take JSON only."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command line, which SIGTERM asks to stop, and what it needs in its environment."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def web(host: str, port: int) -> Program:
    """The web server: granian, WSGI, threads."""
    application = "agent_factory_site.wsgi:application"
    return Program("web", granian(application, host, port, workers=web_workers(), threads=web_threads()))


def granian(application: str, host: str, port: int, *, workers: int, threads: int) -> tuple[str, ...]:
    """The command line that serves ``application``: by ASGI, with one thread, where its module is called so."""
    interface = "asgi" if ".asgi:" in application else "wsgi"
    return (
        *(sys.executable, "-m", "granian", "--interface", interface, "--http", "1", "--no-ws"),
        *("--host", host, "--port", str(port), "--workers", str(workers)),
        *("--blocking-threads", "1" if interface == "asgi" else str(threads)),
        # A database connection lives as long as its thread.
        *("--blocking-threads-idle-timeout", "600"),
        # A process that hangs on its way out would hold up the stop for ever.
        *("--workers-kill-timeout", "5", "--log-level", "warning"),
        application,
    )


def worker(node: str = "worker") -> Program:
    """The Celery worker; ``node`` is its name among the workers of one broker and machine."""
    return Program(
        "worker",
        (
            *_celery("worker"),
            *("--concurrency", str(settings.WORKER_CONCURRENCY), "--hostname", f"{node}@%h"),
            # Nobody listens to its events; sending one to a broker that is gone waits for ever, and a stop with it.
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
    )


def beat(holder: str = "") -> Program:
    """Celery beat, never inside the worker; ``holder`` is its name to the lease."""
    return Program(
        "beat",
        (*_celery("beat"), "--pidfile="),
        environment={"BEAT_HOLDER": holder} if holder else {},
    )


def web_threads() -> int:
    """Requests that one web process works on at a time: ``WEB_THREADS``, else by the cores."""
    return int(settings.WEB_THREADS) or min(8, 2 * (os.cpu_count() or 1) + 1)


def web_workers() -> int:
    """Processes of the web server: ``WEB_WORKERS``, else one on SQLite, which has one writer."""
    if settings.WEB_WORKERS:
        return int(settings.WEB_WORKERS)
    return 1 if connection.vendor == "sqlite" else min(4, os.cpu_count() or 1)


def _celery(command: str) -> tuple[str, ...]:
    quiet = ("-W", f"ignore:{RUNNING_AS_ROOT}") if os.geteuid() == 0 else ()
    return (
        *(sys.executable, *quiet, "-m", "celery", "--quiet"),
        *("-A", "agent_factory_site", command, "--loglevel", settings.LOG_LEVEL),
    )
