"""Admin screens of money; importing this package registers them."""

from . import costs, imports, prices

__all__ = ["costs", "imports", "prices"]
