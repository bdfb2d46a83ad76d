"""Domain packages are arithmetic and rules: they import in a bare interpreter and touch nothing outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
KERNEL = ("actors", "currencies", "errors", "ids", "money")
OUTSIDE = {
    "asyncio", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
CLOCKS = {"now", "today", "utcnow", "open"}

# Runs in `python -S -E`: without the packages of the environment, but those the rules may count with.
IMPORT_ALL = """
import importlib, importlib.util, sys
sys.path.insert(0, {root!r})
ALLOWED = {{"dateutil", "google", "msgspec", "numpy", "opentelemetry", "orjson", "re2", "_re2", "scipy", "six"}}
class Allow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ALLOWED:
            from importlib.machinery import PathFinder
            return PathFinder.find_spec(name, path or {site!r})
        return None
sys.meta_path.append(Allow())
for name in {modules!r}:
    importlib.import_module(name)
print(len({modules!r}), sorted({{"django", "celery", "kombu", "rest_framework"}} & set(sys.modules)))
"""


def _files() -> list[Path]:
    domains = [
        path
        for package in ("agent_factory_site", "financial", "research", "operations", "compliance")
        for path in (ROOT / package).glob("**/domain/**/*.py")
    ]
    return sorted([*domains, *(ROOT / "agent_factory_site" / "common" / "forecasting").glob("*.py")])


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_domains_and_value_types_import_in_a_bare_interpreter() -> None:
    modules = [_name(path) for path in _files()] + [f"agent_factory_site.common.{name}" for name in KERNEL]
    assert "financial.domain.pricing" in modules
    site = [path for path in sys.path if path.endswith("site-packages")]
    code = IMPORT_ALL.format(root=str(ROOT), site=site, modules=modules)
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, cwd="/")
    assert (done.stderr, done.stdout.strip()) == ("", f"{len(modules)} []")


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_domain_modules_do_no_io_and_read_no_clock(path: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in OUTSIDE]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [node.module] if (node.module or "").partition(".")[0] in OUTSIDE else []
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
            found += [f"{name}() in line {node.lineno}"] if name in CLOCKS else []
    assert found == []
