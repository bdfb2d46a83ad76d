"""Admin screens of experiments; importing this package registers them."""

from . import flags

__all__ = ["flags"]
