"""Fixtures of every test: a scratch folder, an actor, the database in use, Redis and a browser.

Without ``DATABASE_URL`` tests run on SQLite, in a file, as the application does.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import hypothesis
import pytest

from tests import browsers, servers
from tests.effort import SLOW, examples

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from whitenoise.responders import StaticFile

SCRATCH = Path(tempfile.mkdtemp(prefix="agent-factory-tests-"))

# Settings are read after this module: tests never see the machine's own configuration or data.
REDIS_URL = os.environ.get("REDIS_URL", "")
for _name in ("PRODUCTION", "DEBUG", "DEMO", "BASE_CURRENCY", "REDIS_URL", "CELERY_BROKER_URL", "LOG_FORMAT"):
    os.environ.pop(_name, None)
os.environ["DJANGO_SETTINGS_MODULE"] = "agent_factory_site.settings"
os.environ["VAR_DIR"] = str(SCRATCH / "var")
os.environ["LOG_LEVEL"] = "WARNING"
if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
    os.environ["DATABASE_URL"] = f"sqlite:///{SCRATCH / 'var' / 'agent_factory.sqlite3'}"

WITHOUT_DATABASE = ("common", "financial", "operations", "quality", "research", "runtime")
# Redis too has its databases shared out between the runs on SQLite and on PostgreSQL.
DATABASE_FIXTURES = {"db", "transactional_db", "live_database", "redis_url"}
ON_POSTGRES = os.environ["DATABASE_URL"].startswith("postgres")


# The same examples in every run of the same tests; `--hypothesis-profile=others` looks for others.
for _profile, _same in (("agent-factory", True), ("others", False)):
    hypothesis.settings.register_profile(
        _profile,
        max_examples=examples(100),
        derandomize=_same,
        # How long an example takes is no property of what is tested: machines are busy with other things.
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile("agent-factory")

# What is today, or this quarter of an hour, when a test begins is to be that when it ends.
QUARTER_SECONDS = 900
LAST_SECONDS = 8


def pytest_configure() -> None:
    # Loads the settings, now that the environment is right; pytest-django completes the set-up.
    from django.conf import settings

    if not str(settings.VAR_DIR).startswith(str(SCRATCH)):
        raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: settings were read before tests/conftest.py")


def pytest_report_header() -> str:
    return f"database: {'PostgreSQL' if ON_POSTGRES else 'SQLite'}; slow tests: {'yes' if SLOW else 'no'}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not SLOW and item.get_closest_marker("once_when_quick"):
            item.add_marker("once")
        if item.get_closest_marker("once") and _is_pure(item):
            item.add_marker("pure")
        if ON_POSTGRES and item.get_closest_marker("sqlite_only"):
            item.add_marker(pytest.mark.skip(reason="is about SQLite; this run is on PostgreSQL"))
        if not ON_POSTGRES and item.get_closest_marker("postgres_only"):
            item.add_marker(pytest.mark.skip(reason="is about PostgreSQL; this run is on SQLite"))
        if not SLOW and item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="a long proof: SLOW=1 runs it"))


def _is_pure(item: pytest.Item) -> bool:
    """Whether a test asks no database of this run; the system that it starts may have one of its own."""
    return (
        item.path.parent.name in WITHOUT_DATABASE
        and item.get_closest_marker("django_db") is None
        and DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    left = QUARTER_SECONDS - time.time() % QUARTER_SECONDS
    if left < LAST_SECONDS:
        time.sleep(left)


def pytest_collection_finish() -> None:
    # Modules and tests stay to the end: looking through them at every collection costs seconds in a hundred.
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(autouse=True)
def _acting() -> Iterator[None]:
    """Tests act as ``system:tests``: a write without an actor is refused."""
    from agent_factory_site.common.actors import Actor, acting

    with acting(Actor.system("tests")):
        yield


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Caches of committed rows outlive neither a test nor the flush at its end, nor do outcomes just written."""
    from agent_factory_site.common.caching import clear_committed_caches
    from agent_factory_site.common.services import task_outcomes

    clear_committed_caches()
    task_outcomes._last_written.clear()
    yield
    clear_committed_caches()


@pytest.fixture(scope="session", autouse=True)
def _flush_lifts_append_only() -> Iterator[None]:
    """Tests that commit are cleaned up by a flush, which the ledger's triggers would refuse."""
    from tests.append_only import flush_lifts_append_only

    with flush_lifts_append_only():
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_found_once() -> Iterator[None]:
    """A client sets up the middleware anew, and each time looks through all static files of all packages."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    look = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, dict[str, StaticFile]] = {}

    def look_once(self: WhiteNoiseMiddleware) -> None:
        if self.static_prefix not in found:
            look(self)
            found[self.static_prefix] = dict(self.files)
        self.files.update(found[self.static_prefix])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", look_once)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """SQLite tests use a file: an in-memory database has neither WAL nor locks between processes."""
    from django.db import connections

    if not ON_POSTGRES:
        connections["default"].settings_dict["TEST"]["NAME"] = str(SCRATCH / "test.sqlite3")


@pytest.fixture
def live_database(transactional_db: None) -> str:
    """The ``DATABASE_URL`` of the present test database, for child processes."""
    from django.db import connection

    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    login = quote(settings["USER"], safe="")
    if settings["PASSWORD"]:
        login += ":" + quote(settings["PASSWORD"], safe="")
    host = settings["HOST"] or "localhost"
    if host.startswith("/"):
        return f"postgres://{login}@/{host}/{settings['NAME']}"
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    return f"postgres://{login}@{host}{port}/{settings['NAME']}"


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    if REDIS_URL:
        yield REDIS_URL
        return
    with servers.scratch_folder("af-redis-") as folder, servers.redis(folder) as server:
        yield server.url


@pytest.fixture
def redis_url(_redis_server: str) -> Iterator[str]:
    """The URL of an empty database of a real Redis, emptied afterwards."""
    from redis import Redis

    # The run on PostgreSQL may take place beside the one on SQLite: each looks through its own half.
    for number in range(14 if ON_POSTGRES else 15, 0, -2):
        url = urlsplit(_redis_server)._replace(path=f"/{number}").geturl()
        with Redis.from_url(url) as client:
            if client.dbsize() == 0:
                yield url
                client.flushdb()
                return
    pytest.fail("every database of the Redis at REDIS_URL is in use: name one that tests may write to")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium that reaches this machine alone; open a context of your own in each test."""
    with browsers.chromium() as browser:
        yield browser
