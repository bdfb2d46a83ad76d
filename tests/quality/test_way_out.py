"""Nothing but the outgoing HTTP client opens connections; whoever else needs a socket says why here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
NO_APPLICATION = {"tests", "benchmarks", "client", "tools", "var"}
WAYS_OUT = {
    "aiohttp", "asyncio", "ftplib", "h11", "h2", "http.client", "httpcore", "httpx", "imaplib", "niquests", "poplib",
    "pycurl", "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "tornado", "treq", "twisted",
    "urllib.request", "urllib3", "websocket", "websockets", "wsgiref", "xmlrpc",
}  # fmt: skip
CLIENT = "agent_factory_site/common/http_client/"
REASONS = {
    "agent_factory_site/common/beat.py": ({"socket"}, "the name of this machine, for its lease"),
    "agent_factory_site/common/supervisor/broker.py": (
        {"socket"},
        "its own broker, by a socket in its folder",
    ),
    "agent_factory_site/common/supervisor/loop.py": ({"socket"}, "a pair of sockets, to be woken by signals"),
    "agent_factory_site/common/supervisor/readiness.py": ({"socket"}, "whether its own web server answers"),
    "agent_factory_site/common/supervisor/start.py": (
        {"socket"},
        "whether the port of its web server is free",
    ),
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a file may import, also as ``from package import module`` and by name in a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = (
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            )
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def ways_out(source: str) -> set[str]:
    """Those of :data:`WAYS_OUT` that ``source`` imports."""
    names = set(imported(ast.parse(source)))
    return {way for way in WAYS_OUT if any(name == way or name.startswith(f"{way}.") for name in names)}


def application() -> list[Path]:
    packages = {path.parent for path in ROOT.glob("*/__init__.py")}
    roots = [package for package in packages if package.name not in NO_APPLICATION]
    return sorted(path for package in roots for path in package.rglob("*.py")) + [ROOT / "manage.py"]


def test_there_is_one_way_out() -> None:
    found = {
        name: ways
        for path in application()
        if not (name := path.relative_to(ROOT).as_posix()).startswith(CLIENT)
        and (ways := ways_out(path.read_text()))
    }
    assert found == {name: ways for name, (ways, _reason) in REASONS.items()}


def test_the_client_itself_is_found() -> None:
    used = set().union(*(ways_out(path.read_text()) for path in (ROOT / CLIENT).glob("*.py")))
    assert used == {"http.client", "socket", "ssl"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import requests", {"requests"}),
        ("import urllib.request as r", {"urllib.request"}),
        ("from urllib import request", {"urllib.request"}),
        ("from http import client", {"http.client"}),
        ("from http.client import HTTPConnection", {"http.client"}),
        ("def f():\n    from httpx import get", {"httpx"}),
        ("from importlib import import_module\nimport_module('urllib3.util')", {"urllib3"}),
        ("import urllib.parse, http.cookies, sslproxy", set()),
        ("from .requests import request_bytes", set()),
    ],
)
def test_what_is_searched_for_is_found(source: str, found: set[str]) -> None:
    assert ways_out(source) == found
