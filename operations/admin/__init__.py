"""Every screen of the app, gathered from its rooms: Django looks for screens here."""

from operations.fleet import admin as fleet
from operations.health import admin as health
from operations.slo import admin as slo
from operations.telemetry import admin as telemetry

__all__ = ["fleet", "health", "slo", "telemetry"]
