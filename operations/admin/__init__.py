"""Every screen of the app, gathered from its rooms: Django looks for screens here."""

from operations.health import admin as health
from operations.slo import admin as slo

__all__ = ["health", "slo"]
