"""``manage.py up`` serves web, worker and beat, and keeps them running."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from celery import Celery
from redis import ConnectionError, Redis

from tests.processes import PATIENCE, until

from .system import PROGRAMS, System, group_members, manage

pytestmark = pytest.mark.once


def broker(system: System) -> Celery:
    """A client of the system's own broker."""
    return Celery("test", broker=(system.runtime / "broker.url").read_text())


def worker_name(system: System) -> str:
    return system.wait_for(r"(worker-\S+) ready").group(1)


def test_it_says_where_to_go_and_how_to_sign_in(running: System) -> None:
    assert f"  Admin     {running.url}/admin/" in running.output
    assert f"  API       {running.url}/api/docs" in running.output
    assert "  API key   .venv/bin/python manage.py create_api_key NAME --scope '*'" in running.output
    shown = re.findall(
        r"Sign in as admin with the one-time password ([a-z2-9]{4}(?:-[a-z2-9]{4}){3})$", running.output, re.M
    )
    assert len(shown) == 1


def test_web_worker_and_beat_are_programs_of_their_own(running: System) -> None:
    pids = running.pids()
    assert set(pids) == {*PROGRAMS, "broker"}
    commands = {name: Path(f"/proc/{pid}/cmdline").read_text().split("\0") for name, pid in pids.items()}
    assert "granian" in commands["web"]
    assert "worker" in commands["worker"]
    assert "beat" in commands["beat"]
    assert not {"-B", "--beat"} & set(commands["worker"])
    assert all(os.getpgid(pid) == pid for pid in pids.values())


def test_it_answers_probes_without_a_key_under_any_name(running: System) -> None:
    running.wait_for(" ready")
    browser = running.browser()
    alive = browser.get("/livez", Host="10.0.0.7:8000")
    assert (alive.status, alive.body) == (200, "ok\n")
    ready = browser.get("/readyz", Host="10.0.0.7:8000")
    assert (ready.status, json.loads(ready.body)) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "migrations": "ok", "broker": "ok"}},
    )
    assert browser.ask("POST", "/livez").status == 405
    # Anything else still wants to be asked by its name.
    assert browser.get("/admin/login/", Host="10.0.0.7:8000").status == 400


def test_static_files_are_served_from_the_packages(running: System) -> None:
    browser = running.browser()
    page = browser.get("/admin/login/")
    styles = re.findall(r'href="(/static/[^"]+\.css)"', page.body)
    assert styles
    answers = {path: browser.get(path) for path in styles}
    assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(styles, 200)
    assert all(answer.headers["Content-Type"].startswith("text/css") for answer in answers.values())


def test_a_one_time_password_leads_to_the_form_that_replaces_it(running: System) -> None:
    password = running.wait_for(r"one-time password (\S+)").group(1)
    browser = running.browser()
    assert browser.submit("/admin/login/", username="admin", password=password, next="/admin/").status == 302
    refused = browser.get("/admin/")
    assert (refused.status, refused.headers["Location"]) == (302, "/admin/password_change/")
    api = browser.get("/api/v1/financial/costs")
    assert (api.status, json.loads(api.body)["code"]) == (403, "password_change_required")
    again = browser.submit(
        "/admin/password_change/", old_password=password, new_password1=password, new_password2=password
    )
    assert again.status == 200
    assert "This is the one-time password: choose another." in again.body
    chosen = "correct-horse-battery"
    done = browser.submit(
        "/admin/password_change/", old_password=password, new_password1=chosen, new_password2=chosen
    )
    assert done.status == 302
    assert browser.get("/admin/").status == 200


def test_the_worker_does_what_others_send(running: System) -> None:
    name = worker_name(running)
    client = broker(running)
    assert client.control.ping(destination=[name], timeout=PATIENCE, limit=1) == [{name: {"ok": "pong"}}]
    running.does_a_task()
    # Sent by beat alone.
    inspect = client.control.inspect(destination=[name], timeout=PATIENCE, limit=1)
    until(lambda: inspect.stats()[name]["total"].get("common.dispatch_outbox", 0) > 0)


def test_a_second_one_on_the_same_folder_is_refused(running: System) -> None:
    second = manage("up", folder=running.folder, PORT="1")
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr == (
        f"Agent Factory already runs on {running.folder}: {running.url}/ (process {running.process.pid}). "
        "Stop it first, or set VAR_DIR to another folder.\n"
    )


def test_other_commands_find_the_private_broker(running: System) -> None:
    shown = manage(
        "shell",
        "-v0",
        "-c",
        "from django.conf import settings; print(settings.CELERY_BROKER_URL)",
        folder=running.folder,
    )
    assert shown.stdout.strip() == (running.runtime / "broker.url").read_text()
    assert shown.stdout.startswith("redis+socket:///")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_program_is_started_again(running: System, name: str) -> None:
    running.wait_for(r"beat: ticking as")
    line = len(running.lines)
    old = running.pids()[name]
    assert old in group_members(old)
    new = running.kill_program(name)
    assert new != old
    # What the killed program had started is gone as well.
    until(lambda: group_members(old) == [])
    if name == "web":
        until(running.answers)
    elif name == "worker":
        running.wait_for(r"worker-\S+ ready", after=line)
    else:
        # Not after the lease of the dead one has run out, which takes an hour here: it is the same holder.
        running.wait_for(r"beat: ticking as", after=line)


def test_tasks_go_on_after_the_broker_was_killed(running: System) -> None:
    worker_name(running)
    running.kill_program("broker")
    url = (running.runtime / "broker.url").read_text()
    client = Redis(unix_socket_path=url.removeprefix("redis+socket://"))

    def connected() -> bool:
        with suppress(ConnectionError):
            return bool(client.ping())
        return False

    until(connected)
    running.does_a_task()
