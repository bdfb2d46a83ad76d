"""What this installation is and how much room it has."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import django
from celery import current_app
from django.conf import settings
from django.db import connection
from kombu import Connection

BROKER_TIMEOUT: Final = 2.0
QUEUE: Final = "celery"


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of a file system: all, and those that this process may still write."""

    size: int
    free: int


@cache
def release() -> str:
    """The version of this project, from its ``pyproject.toml``."""
    import tomllib

    with (Path(settings.BASE_DIR) / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def build_labels() -> dict[str, str]:
    """What is running."""
    return {
        "version": release(),
        "python": platform.python_version(),
        "django": django.get_version(),
        "celery": metadata.version("celery"),
        "database": connection.vendor,
    }


def database_size() -> int:
    """Bytes that the database takes on disk."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        size = int(cursor.fetchone()[0])
    log = Path(f"{connection.settings_dict['NAME']}-wal")
    return size + (log.stat().st_size if log.exists() else 0)


def disk() -> Disk:
    """The file system of ``VAR_DIR``, on which the embedded database lies as well."""
    used = shutil.disk_usage(settings.VAR_DIR)
    return Disk(used.total, used.free)


def reach_broker() -> None:
    """Raises whatever stands between this process and the broker."""
    if settings.CELERY_BROKER_URL.startswith("filesystem://"):
        os.stat(str(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"]))
        return
    with _broker() as broker:
        # A connection is made lazily; the first command is what reaches the server.
        broker.default_channel.client.ping()


def queue_length() -> int | None:
    """Messages that wait in the broker for a worker; None where no system has made the broker's folder yet."""
    if settings.CELERY_BROKER_URL.startswith("filesystem://"):
        folder = str(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])
        if not os.path.isdir(folder):
            return None
        return sum(name.endswith(f".{QUEUE}.msg") for name in os.listdir(folder))
    with _broker() as broker:
        return int(broker.default_channel.client.llen(QUEUE))


def _broker() -> Any:
    options = {"socket_timeout": BROKER_TIMEOUT, "socket_connect_timeout": BROKER_TIMEOUT, "max_retries": 0}
    broker: Any = Connection(  # type: ignore[no-untyped-call]
        current_app.conf.broker_url, connect_timeout=BROKER_TIMEOUT, transport_options=options
    )
    broker.ensure_connection(max_retries=1, timeout=BROKER_TIMEOUT)
    return broker
