"""SIGTERM ends each program in its own time, whatever it is doing, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest
from celery import Celery
from redis import Redis

from agent_factory_site.common.supervisor import programs
from tests.ports import free_port
from tests.processes import PATIENCE, until

from .system import ROOT, environment

pytestmark = pytest.mark.once


@contextmanager
def running(command: tuple[str, ...], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A program in a group of its own, of which nothing stays behind."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def read_until(output: IO[str] | None, text: str) -> None:
    assert output is not None
    seen = []
    for line in output:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen))


@pytest.mark.parametrize(
    "application", ["agent_factory_site.wsgi:application", "agent_factory_site.asgi:application"]
)
def test_a_web_server_that_is_still_loading_ends_by_itself(tmp_path: Path, application: str) -> None:
    command = programs.granian(application, "127.0.0.1", free_port(), workers=1, threads=1)
    env = environment(tmp_path, DJANGO_SETTINGS_MODULE="tests.runtime.settings_that_never_load")
    with running(command, env) as server:
        read_until(server.stdout, "loading")
        server.terminate()
        # Neither a worker that "refused to gracefully stop" nor one that ended unexpectedly.
        assert (server.communicate(timeout=PATIENCE)[0], server.returncode) == ("", 0)


def test_a_task_that_does_not_end_in_time_goes_back_to_its_queue(tmp_path: Path, redis_url: str) -> None:
    command = (*programs.worker().argv, "--include", "tests.runtime.endless_task")
    with running(command, environment(tmp_path, REDIS_URL=redis_url)) as worker:
        Celery("test", broker=redis_url).send_task("tests.endless", (redis_url,))
        broker = Redis.from_url(redis_url)
        until(lambda: broker.llen("started") == 1)
        assert broker.llen("celery") == 0
        for _ in range(int(PATIENCE)):
            # Told again and again it does not begin to wait anew.
            worker.terminate()
            with suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=1)
                break
        output = worker.communicate(timeout=PATIENCE)[0]
    assert "worker: Warm shutdown (MainProcess)" in output
    assert "worker: Cold shutdown (MainProcess)" in output
    assert broker.llen("celery") == 1
