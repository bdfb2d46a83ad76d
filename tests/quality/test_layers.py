"""The import contracts cover every package there is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINTER = CONFIGURATION["tool"]["importlinter"]
ROOMS = {"admin", "api", "domain", "management", "models", "selectors", "services"}


def _contract(name: str) -> dict[str, Any]:
    return next(contract for contract in LINTER["contracts"] if contract["id"] == name)


def _packages() -> list[str]:
    """Top-level packages of the application."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return sorted(found - {"tests", "benchmarks", "client", "tools"})


def test_every_package_is_held_to_the_contracts() -> None:
    assert "financial" in _packages()
    assert set(_packages()) == set(LINTER["root_packages"])
    assert set(_packages()) <= set(CONFIGURATION["tool"]["coverage"]["run"]["source"])


def test_every_package_has_its_place_in_the_house() -> None:
    placed = {
        name.strip().strip("()").partition(".")[0]
        for layer in _contract("house")["layers"]
        for name in layer.replace("|", ":").split(":")
    }
    assert set(_packages()) <= placed


def _rooms_of(room: str) -> list[str]:
    """Dotted names of the packages that have ``room``, outside of the kernel."""
    names = [
        ".".join(path.relative_to(ROOT).parts)
        for package in _packages()
        for path in sorted((ROOT / package).glob(f"**/{room}/"))
        if (path / "__init__.py").exists() or any(path.glob("*.py"))
    ]
    return [name for name in names if not name.startswith("agent_factory_site.common.")]


def test_every_domain_is_held_pure() -> None:
    assert set(_rooms_of("domain")) <= set(_contract("pure-domain")["source_modules"])


@pytest.mark.parametrize("room", ["services", "models"])
def test_every_app_with_rooms_has_them_in_order(room: str) -> None:
    apps = {name.rpartition(".")[0] for name in _rooms_of(room)}
    assert apps <= set(_contract("rooms")["containers"])
