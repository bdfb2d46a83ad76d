"""Every screen of the app, gathered from its rooms: Django looks for screens here."""

from operations.health import admin as health

__all__ = ["health"]
