"""Make ``.venv`` and install the locked dependencies: ``python3 tools/environment.py run|test|bench``.

``test`` makes ``.venv-clients`` too, for the clients that tests run apart from everything else; where
that cannot be done those tests are skipped, and nothing else suffers.

Runs on the machine's own interpreter, before anything is installed, and does nothing (in some
20 ms) when the lock file has not changed since the last time. It adds and updates, and never
uninstalls, so that ``make run`` after ``make test`` keeps the tools of the tests.

The syntax is that of Python 3.6, so that an old interpreter gets a sentence and not a SyntaxError.
"""

import filecmp
import os
import pathlib
import shutil
import subprocess
import sys
import venv

OLDEST = (3, 11)
ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
PIP_INSTALL = [
    str(PYTHON),
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--require-hashes",
]
CLIENTS = ROOT / ".venv-clients"
CLIENTS_LOCK = ROOT / "requirements-clients.txt"
LOCKS = {
    "run": ROOT / "requirements.txt",
    "test": ROOT / "requirements-dev.txt",
    "bench": ROOT / "requirements-bench.txt",
}


def main():
    """Set up for ``run``, ``test`` or ``bench``; exits with one sentence when that is impossible."""
    if sys.version_info < OLDEST:
        sys.exit(
            "Agent Factory needs Python {}.{} or newer, and this is {}.{}.{}: "
            "name a newer one with `make PYTHON=python3.12 ...`.".format(*(OLDEST + sys.version_info[:3]))
        )
    purpose = sys.argv[1] if len(sys.argv) == 2 else ""
    if purpose not in LOCKS:
        sys.exit("usage: environment.py run|test|bench")
    lock = LOCKS[purpose]
    install(lock, VENV / f"installed-{purpose}.txt")
    if purpose == "test" and CLIENTS_LOCK.exists():
        install_clients()


def install(lock, installed):
    """``.venv`` with what ``lock`` names, unless ``installed`` says the same already."""
    usable = is_usable(VENV)
    if usable and is_same(lock, installed):
        return
    if not usable:
        say("making .venv with Python {}.{}.{}".format(*sys.version_info[:3]))
        make_venv(VENV)
    pin = uv_pin(lock)
    with_uv = works(UV) or pip_installs_uv(pin)
    say("installing {} ({})".format(lock.name, "uv" if with_uv else "pip"))
    if not (with_uv and uv_installs(lock, PYTHON)):
        if with_uv:
            say("uv did not manage it: trying pip")
        if not pip_installs(lock):
            sys.exit("The dependencies could not be installed; the reason is above.")
    shutil.copyfile(str(lock), str(installed))


def install_clients():
    """``.venv-clients`` as locked, or a sentence about what the tests do without."""
    installed = CLIENTS / "installed.txt"
    if is_usable(CLIENTS) and is_same(CLIENTS_LOCK, installed):
        return
    say(f"installing {CLIENTS_LOCK.name} into {CLIENTS.name}")
    if CLIENTS.exists():
        shutil.rmtree(str(CLIENTS))
    if works(UV):
        make_venv(CLIENTS)
        if uv_installs(CLIENTS_LOCK, CLIENTS / "bin" / "python"):
            shutil.copyfile(str(CLIENTS_LOCK), str(installed))
            return
        shutil.rmtree(str(CLIENTS))
    say("that did not work: tests of those clients are skipped")


def is_usable(folder):
    """Whether ``folder`` is an environment of this Python that starts."""
    library = folder / "lib" / "python{}.{}".format(*sys.version_info[:2])
    return works(folder / "bin" / "python") and library.is_dir()


def is_same(lock, installed):
    """Whether ``installed`` is a copy of ``lock``."""
    return installed.exists() and filecmp.cmp(str(lock), str(installed), shallow=False)


def say(text):
    """One line of progress."""
    print("[setup] " + text, flush=True)


def quiet(command):
    """Run ``command`` and say only whether it succeeded."""
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def works(program):
    """Whether ``program`` starts: a moved folder or an upgraded interpreter breaks a venv."""
    try:
        return quiet([str(program), "-V"])
    except OSError:
        return False


def make_venv(folder):
    """An empty environment; pip joins ``.venv`` when uv has to be installed."""
    try:
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(str(folder))
    except OSError as error:
        sys.exit(f"Cannot make {folder}: {error.strerror or error}.")


def has_pip():
    """Whether the venv can run pip, after putting it there if this interpreter brings it."""
    return quiet([str(PYTHON), "-c", "import pip"]) or quiet([str(PYTHON), "-m", "ensurepip"])


def uv_pin(lock):
    """The lines of ``lock`` that pin uv and its hashes; none where it pins no uv."""
    lines = lock.read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("uv==")]
    if not starts:
        return ""
    end = next(number for number in range(starts[0], len(lines)) if not lines[number].endswith("\\"))
    return "\n".join(lines[starts[0] : end + 1]) + "\n"


def pip_installs_uv(pin):
    """Let pip install the locked uv; False when only pip is left."""
    if not pin or not has_pip():
        return False
    say("installing uv")
    wanted = VENV / "uv.txt"
    wanted.write_text(pin)
    done = subprocess.run([*PIP_INSTALL, "--only-binary=:all:", "-r", str(wanted)])
    return done.returncode == 0 and works(UV)


def uv_installs(lock, python):
    """Install ``lock`` for ``python`` with uv; where it fails pip may do better: uv reads none of its settings."""
    environment = dict(os.environ)
    if "PIP_INDEX_URL" in environment:
        environment.setdefault("UV_DEFAULT_INDEX", environment["PIP_INDEX_URL"])
    command = [str(UV), "pip", "install", "--quiet", "--require-hashes", "--system-certs"]
    command += ["--python", str(python), "-r", str(lock)]
    return subprocess.run(command, env=environment).returncode == 0


def pip_installs(lock):
    """Install ``lock`` with pip."""
    if not has_pip():
        say("this Python has no pip: install it (on Debian, the package python3-venv)")
        return False
    return subprocess.run([*PIP_INSTALL, "-r", str(lock)]).returncode == 0


if __name__ == "__main__":
    main()
