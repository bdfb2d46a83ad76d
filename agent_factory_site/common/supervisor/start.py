"""Everything that stands between ``manage.py up`` and a running system, each obstacle one sentence."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from django.apps import apps
from django.conf import settings
from django.core.management import call_command, get_commands
from django.db import DatabaseError, connections

from agent_factory_site.common.errors import DomainError
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.services.installation import FirstAdmin, prepare_database
from agent_factory_site.common.wake_ups import nobody_awake

from . import programs
from .broker import PrivateBroker, open_broker
from .child import Child
from .console import Console
from .loop import Supervisor
from .readiness import Readiness
from .state import AlreadyRunning, ProcessList, StartLock

ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


class CannotStart(Exception):
    """Why the system cannot start, in one sentence."""


def start(*, host: str, port: int) -> None:
    """Prepare and run the system; returns after a clean stop, raises :class:`CannotStart` otherwise."""
    folder = settings.RUNTIME_DIR
    console = Console()
    lock = _lock(folder)
    broker: PrivateBroker | None = None
    try:
        processes = ProcessList(folder)
        processes.end_leftovers(console.say)
        _check_port(host, port)
        address = _address(host, port)
        admin = _prepare(console)
        broker = _broker(folder, console)
        lock.describe(f"{address}/ (process {os.getpid()})")
        # Children open connections of their own; ours would be shared with them.
        connections.close_all()
        run = str(uuid7())
        children = [
            Child(programs.web(host, port)),
            Child(programs.worker(f"worker-{run}")),
            Child(programs.beat(f"{socket.gethostname()}:up:{run}")),
        ]
        Supervisor(
            [children, [broker.child]] if broker else [children],
            processes=processes,
            console=console,
            is_ready=Readiness(ANY_ADDRESS.get(host, host), port),
            on_ready=lambda: console.say(_welcome(address, admin)),
        ).run()
    finally:
        if broker is not None:
            broker.close()
        lock.release()
    console.say("stopped")


def _lock(folder: Path) -> StartLock:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return StartLock(folder)
    except AlreadyRunning as error:
        raise CannotStart(
            f"Agent Factory already runs on {settings.VAR_DIR}: {error}. "
            "Stop it first, or set VAR_DIR to another folder."
        ) from None
    except OSError as error:
        raise CannotStart(
            f"Cannot write to {settings.VAR_DIR} ({error.strerror}): set VAR_DIR to a writable folder."
        ) from None


def _check_port(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise CannotStart(f"There is no port {port}: a port is a number from 1 to 65535.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or error
        raise CannotStart(
            f"Cannot serve on {host} port {port} ({reason}): choose another with PORT=8001."
        ) from None


def _prepare(console: Console) -> FirstAdmin | None:
    console.say("preparing the database")
    try:
        admin = prepare_database()
        if settings.DEMO:
            _seed_demo(console)
    except DatabaseError as error:
        raise CannotStart(f"The database cannot be used: {_first_line(error)}.") from None
    except DomainError as error:
        raise CannotStart(error.detail) from None
    return admin


def _seed_demo(console: Console) -> None:
    """Fill an empty demo database, or add the days since the last start."""
    command, model = settings.DEMO_SEED
    if command in get_commands():
        empty = not apps.get_model(model)._default_manager.exists()
        console.say("making 90 days of demo data (once)" if empty else "bringing the demo data up to date")
        with nobody_awake():
            call_command(command)


def _broker(folder: Path, console: Console) -> PrivateBroker | None:
    """The private broker, unless ``REDIS_URL`` names one; None also where tasks go through a folder."""
    (folder / "broker.url").unlink(missing_ok=True)
    if settings.REDIS_URL:
        return None
    broker = open_broker(folder)
    if broker is not None and broker.start():
        return broker
    console.say("the private broker does not run on this machine: tasks go through a folder")
    for name in ("queue", "queue-control"):
        (folder / name).mkdir(exist_ok=True)
    return None


def _address(host: str, port: int) -> str:
    shown = ANY_ADDRESS.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _welcome(address: str, admin: FirstAdmin | None) -> str:
    lines = [
        "",
        f"Agent Factory{' (demo data)' if settings.DEMO else ''} is running; Ctrl-C stops it.",
        f"  Admin     {address}/admin/",
        f"  API       {address}/api/docs",
        "  API key   .venv/bin/python manage.py create_api_key NAME --scope '*'",
        "",
    ]
    if admin is not None:
        lines[3:3] = [
            f"            Sign in as {admin.username} with the one-time password {admin.password}",
            "            (shown only now; you choose your own when you sign in).",
        ]
    return "\n".join(lines)


def _first_line(error: Exception) -> str:
    with suppress(IndexError):
        return str(error).strip().splitlines()[0].rstrip(".")
    return type(error).__name__
