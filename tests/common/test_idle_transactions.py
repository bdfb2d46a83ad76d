"""A process suspended inside a transaction does not keep its locks for ever."""

from __future__ import annotations

import signal

import pytest
from django.db import connection

from agent_factory_site.common.models import Team
from tests.children import start_child
from tests.processes import PATIENCE

SUSPENDED_WITH_A_LOCK = """
import os, signal
from datetime import timedelta
from django.db import DatabaseError, transaction
from agent_factory_site.common.db.idle import end_idle_transactions
from agent_factory_site.common.models import Team

end_idle_transactions(after=timedelta(seconds=0.5))
try:
    with transaction.atomic():
        Team.objects.select_for_update().get(name="held")
        print("locked", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        Team.objects.filter(name="held").update(name="never")
except DatabaseError as error:
    print(error)
"""


@pytest.mark.postgres_only
def test_a_row_locked_by_a_suspended_process_can_be_written_again(live_database: str) -> None:
    Team.objects.create(name="held")
    child = start_child(SUSPENDED_WITH_A_LOCK, 1, database=live_database)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with connection.cursor() as cursor:
            cursor.execute("UPDATE common_team SET name = 'free' WHERE name = 'held'")
            assert cursor.rowcount == 1
        child.send_signal(signal.SIGCONT)
        out, err = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
    assert (child.returncode, err) == (0, "")
    assert "idle-in-transaction timeout" in out
    assert Team.objects.values_list("name", flat=True).get() == "free"
