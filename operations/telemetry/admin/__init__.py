"""Screens of those who send telemetry; importing this package registers them."""

from . import sources

__all__ = ["sources"]
