"""Admin screens of money; importing this package registers them."""

from . import archives, costs, exchange_rates, imports, prices, unit_prices

__all__ = ["archives", "costs", "exchange_rates", "imports", "prices", "unit_prices"]
