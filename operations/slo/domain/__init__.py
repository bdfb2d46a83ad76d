"""Service levels as pure arithmetic: windows, counts, budgets, burn rates. No database, no clock."""
