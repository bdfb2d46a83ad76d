"""The database fixtures themselves."""

from __future__ import annotations

import os
import subprocess
import sys

from django.db import connection

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.models import Team


def test_tests_act_as_the_tests() -> None:
    assert str(current_actor()) == "system:tests"


def test_a_child_process_sees_committed_rows(live_database: str) -> None:
    Team.objects.create(key="emea", name="EMEA")
    code = (
        "import django; django.setup();"
        "from agent_factory_site.common.models import Team;"
        "print(list(Team.objects.values_list('key', flat=True)))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DATABASE_URL": live_database},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "['emea']"


def test_sqlite_tests_use_a_file(live_database: str) -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA database_list")
            assert cursor.fetchone()[2] == connection.settings_dict["NAME"]
    else:
        assert live_database.startswith("postgres://")
