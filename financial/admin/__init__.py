"""Admin screens of money; importing this package registers them."""

from . import costs, exchange_rates, imports, prices, unit_prices

__all__ = ["costs", "exchange_rates", "imports", "prices", "unit_prices"]
