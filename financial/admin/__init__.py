"""Admin screens of money; importing this package registers them."""

from . import (
    archives,
    budget_overrides,
    budgets,
    costs,
    exchange_rates,
    holds,
    imports,
    prices,
    unit_prices,
)

__all__ = [
    "archives",
    "budget_overrides",
    "budgets",
    "costs",
    "exchange_rates",
    "holds",
    "imports",
    "prices",
    "unit_prices",
]
