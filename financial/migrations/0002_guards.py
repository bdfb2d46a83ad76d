"""What the database itself refuses: changes of the ledger and of prices."""

from django.db import migrations

from agent_factory_site.common.db.triggers import AppendOnly
from financial.db.price_triggers import GuardPrices


class Migration(migrations.Migration):
    dependencies = [("financial", "0001_initial")]

    operations = [
        AppendOnly("financial_costevent"),
        AppendOnly("financial_costattribution"),
        AppendOnly("financial_costeventkey"),
        AppendOnly("financial_costseries"),
        GuardPrices(),
    ]
