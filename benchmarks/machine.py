"""On what the numbers were measured."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path


def processor() -> str:
    """The model of the processor and how many there are."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} x {name}"


def memory() -> str:
    """The memory of the machine."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / 2**30:.0f} GiB"


def versions() -> str:
    """What the numbers depend on, the PostgreSQL server aside."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("Django", "psycopg", "granian", "msgspec"))
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {libraries}"


def busy() -> str:
    """How busy the machine is with other things as well."""
    return f"load average {os.getloadavg()[0]:.1f}"
