"""What the database itself refuses: changes of unit prices and exchange rates."""

from django.db import migrations

from financial.db.frozen_rows import FreezeRows


class Migration(migrations.Migration):
    dependencies = [("financial", "0004_price_differences")]

    operations = [
        FreezeRows(
            "financial_unitprice",
            ["id", "cost_type", "provider", "model", "unit", "price", "currency", "valid_from", "created_at"],
            "a unit price never changes or goes: end or archive it and write another",
        ),
        FreezeRows(
            "financial_exchangerate",
            ["id", "base", "quote", "day", "rate", "source", "created_at"],
            "an exchange rate never changes or goes: archive it and write another",
        ),
    ]
