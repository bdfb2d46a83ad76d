"""The audit trail is append-only, and migrations see users through a plain manager."""

from django.db import migrations

from agent_factory_site.common.db.triggers import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("common", "0001_initial")]

    operations = [
        migrations.AlterModelManagers(name="user", managers=[]),
        AppendOnly("common_auditevent"),
    ]
