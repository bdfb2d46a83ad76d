"""Every write of a budget renews the token under which processes keep budgets in memory."""

from django.db import migrations

from financial.db.budget_triggers import NoticeBudgets


class Migration(migrations.Migration):
    dependencies = [("financial", "0009_restored_archives")]

    operations = [NoticeBudgets()]
