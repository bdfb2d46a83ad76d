"""Monthly partitions of the ledger on PostgreSQL; on SQLite, rows of a month being archived may go."""

from typing import Any

from django.db import migrations

from agent_factory_site.common.db.triggers import AppendOnly
from financial.db.partitions import partition_ledger
from financial.models.ledger_archive import REMOVABLE
from financial.services.partitions import ensure_partitions


def partition(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            partition_ledger(cursor)
        ensure_partitions()


class Migration(migrations.Migration):
    dependencies = [("financial", "0006_ledger_archives")]

    operations = [
        AppendOnly("financial_costevent", removable=REMOVABLE),
        AppendOnly("financial_costattribution", removable=REMOVABLE),
        # Partitioned tables behave like those before: there is nothing to take back.
        migrations.RunPython(partition, migrations.RunPython.noop),
    ]
