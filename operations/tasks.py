"""Every task of the app, gathered from its rooms: Celery looks for tasks here."""

from operations.fleet import tasks as fleet
from operations.health import tasks as health
from operations.slo import tasks as slo
from operations.telemetry import tasks as telemetry

__all__ = ["fleet", "health", "slo", "telemetry"]
