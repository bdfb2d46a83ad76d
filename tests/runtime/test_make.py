"""The set-up behind ``make run`` and ``make test``, on a lock file and packages of the test's own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.processes import PATIENCE

from .system import ROOT

pytestmark = pytest.mark.once

TARGETS = ("run", "demo", "test", "bench", "bench-large", "lock", "clean", "help")


class Checkout:
    """A folder with the Makefile, its tools, and packages that are installed from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # pip takes several places, separated by spaces.
        self.packages = folder.parent / "packages"
        self.packages.mkdir()
        folder.mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        (folder / "tools").mkdir()
        shutil.copy(ROOT / "tools" / "environment.py", folder / "tools")

    def package(self, name: str, version: str) -> str:
        """Build a wheel; the line of a lock file that pins it."""
        wheel = self.packages / f"{name}-{version}-py3-none-any.whl"
        information = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}.py", f"version = {version!r}\n")
            archive.writestr(
                f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            archive.writestr(
                f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{information}/RECORD", "")
        return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"

    def lock(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("".join(lines))

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make as on a fresh machine: nothing in the environment but the path and a home."""
        return subprocess.run(
            ["make", f"PYTHON={sys.executable}", *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                # No network: packages come from the folder.
                **dict.fromkeys(("PIP_NO_INDEX", "UV_NO_INDEX"), "1"),
                **dict.fromkeys(("PIP_FIND_LINKS", "UV_FIND_LINKS"), str(self.packages)),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def lend_uv(self) -> None:
        """The uv of the test's own environment stands for the one that would be installed."""
        uv = self.folder / ".venv" / "bin" / "uv"
        uv.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).with_name("uv")}" "$@"\n')
        uv.chmod(0o755)

    def set_up(self, purpose: str) -> str:
        done = self.make(f"{purpose}-environment")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def installed(self, name: str, environment: str = ".venv") -> str | None:
        """The version of a package in an environment, or None."""
        code = f"try:\n    import {name}\n    print({name}.version)\nexcept ImportError:\n    pass"
        python = self.folder / environment / "bin" / "python"
        # Versions made in the same second would share what is compiled: their files are alike in size and time.
        shown = subprocess.run([python, "-B", "-c", code], capture_output=True, text=True, check=True)
        return shown.stdout.strip() or None


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path / "a folder")
    checkout.lock("requirements.txt", checkout.package("afprobe", "1.0"))
    checkout.lock(
        "requirements-dev.txt", checkout.package("afprobe", "1.0"), checkout.package("aftool", "1.0")
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.folder / ".venv"], check=True)
    checkout.lend_uv()
    return checkout


def test_it_installs_once_follows_the_lock_and_removes_nothing(checkout: Checkout) -> None:
    assert checkout.set_up("test") == "[setup] installing requirements-dev.txt (uv)\n"
    assert (checkout.installed("afprobe"), checkout.installed("aftool")) == ("1.0", "1.0")
    assert checkout.set_up("run") == "[setup] installing requirements.txt (uv)\n"
    assert checkout.installed("aftool") == "1.0"
    assert checkout.set_up("run") == ""
    assert checkout.set_up("test") == ""

    checkout.lock("requirements.txt", checkout.package("afprobe", "2.0"))
    assert checkout.set_up("run") == "[setup] installing requirements.txt (uv)\n"
    assert checkout.installed("afprobe") == "2.0"
    assert checkout.set_up("test") == ""


def test_clients_of_tests_live_apart_and_are_done_without_where_they_cannot_be_had(
    checkout: Checkout,
) -> None:
    checkout.set_up("test")
    checkout.set_up("run")
    checkout.lock("requirements-clients.txt", checkout.package("afclient", "1.0"))
    installing = "[setup] installing requirements-clients.txt into .venv-clients\n"
    assert checkout.set_up("run") == ""
    assert checkout.set_up("test") == installing
    assert checkout.set_up("test") == ""
    assert (checkout.installed("afclient"), checkout.installed("afclient", ".venv-clients")) == (None, "1.0")
    # A package that is dropped from the lock is gone, and one that cannot be had stops nobody.
    checkout.lock("requirements-clients.txt", checkout.package("afother", "1.0"))
    assert checkout.set_up("test") == installing
    assert checkout.installed("afclient", ".venv-clients") is None
    checkout.lock("requirements-clients.txt", checkout.package("afother", "2.0")[:-5] + "0000\n")
    skipped = "[setup] that did not work: tests of those clients are skipped\n"
    assert checkout.set_up("test") == installing + skipped
    assert not (checkout.folder / ".venv-clients").exists()


@pytest.mark.slow
def test_a_broken_environment_is_made_anew_and_pip_will_do_but_only_with_what_is_locked(
    checkout: Checkout,
) -> None:
    python = checkout.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    # Something called uv that installs, and is no program: what is left is pip.
    checkout.lock("requirements.txt", checkout.package("afprobe", "1.0"), checkout.package("uv", "0.1"))
    said = checkout.set_up("run").splitlines()
    assert said[0].startswith("[setup] making .venv with Python 3.")
    assert said[1:] == ["[setup] installing uv", "[setup] installing requirements.txt (pip)"]
    assert checkout.installed("afprobe") == "1.0"

    # Neither of the two takes a package that is not the locked one, and it is not taken for done.
    checkout.lend_uv()
    checkout.lock("requirements.txt", checkout.package("afprobe", "2.0")[:-5] + "0000\n")
    for _ in range(2):
        done = checkout.make("run-environment")
        assert done.returncode == 2
        assert done.stdout.splitlines()[-1] == "[setup] uv did not manage it: trying pip"
        assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
        assert "The dependencies could not be installed; the reason is above." in done.stderr
        assert checkout.installed("afprobe") == "1.0"


def test_a_python_that_is_too_old_is_one_sentence() -> None:
    code = (
        "import runpy, sys\n"
        "sys.version_info = (3, 9, 18, 'final', 0)\n"
        "sys.argv = ['environment.py', 'run']\n"
        "runpy.run_path('tools/environment.py', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Agent Factory needs Python 3.11 or newer, and this is 3.9.18: "
        "name a newer one with `make PYTHON=python3.12 ...`.\n"
    )


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as at a prompt: below another make it would tell which folder it enters."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_python_that_is_not_there_is_one_sentence() -> None:
    done = make("run", "PYTHON=no-such-python")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "Agent Factory needs Python 3.11 or newer, and there is no no-such-python: "
        "install it, or name one with make PYTHON=..."
    )


def test_make_alone_says_what_there_is() -> None:
    done = make()
    assert done.returncode == 0
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert sorted(listed) == sorted(TARGETS)
