"""Every table of the app, gathered from its rooms: Django looks for models here."""

from operations.fleet import models as fleet
from operations.health import models as health
from operations.slo import models as slo
from operations.telemetry import models as telemetry

__all__ = ["fleet", "health", "slo", "telemetry"]
