"""The system on the servers of a larger installation: PostgreSQL and Redis."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django_celery_beat.models import PeriodicTask

from agent_factory_site.common.models import User
from agent_factory_site.common.services.installation import ADMIN
from tests.processes import Child, until

from .system import System


@pytest.mark.postgres_only
def test_it_serves_from_postgres_and_redis(
    # In this order: the system ends before its tables and its broker are emptied.
    live_database: str,
    redis_url: str,
    start: Callable[..., System],
) -> None:
    system = start(DATABASE_URL=live_database, REDIS_URL=redis_url)
    system.wait_until_ready()
    # No broker of its own where one is named.
    assert set(system.pids()) == {"web", "worker", "beat"}
    assert not (system.runtime / "broker.url").exists()
    ready = system.browser().get("/readyz")
    assert (ready.status, json.loads(ready.body)["status"]) == (200, "ready")
    assert User.objects.get(username=ADMIN).must_change_password is True
    system.does_a_task()
    until(PeriodicTask.objects.filter(name="dispatch-outbox", last_run_at__isnull=False).exists)


@pytest.mark.once
def test_it_is_not_ready_without_its_tables_and_its_broker(start: Callable[..., System]) -> None:
    """The web server alone, as a container starts it: alive, and honest about the rest."""
    system = start(command=("run_process", "web"), REDIS_URL="redis://127.0.0.1:1")
    until(system.answers)
    ready = system.browser().get("/readyz")
    assert (ready.status, json.loads(ready.body)) == (
        503,
        {
            "status": "not ready",
            "checks": {"database": "ok", "migrations": "failed", "broker": "failed"},
        },
    )


def _prepare(child: Child) -> object:
    from agent_factory_site.common.services.installation import prepare_database

    child.say("ready")
    child.hear()
    return prepare_database()


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_machines_that_start_together_create_one_administrator() -> None:
    children = [Child(_prepare) for _ in range(4)]
    for child in children:
        assert child.hear() == "ready"
    for child in children:
        child.say("go")
    created = [admin for child in children if (admin := child.result())]
    assert len(created) == 1
    assert User.objects.filter(is_superuser=True).count() == 1
