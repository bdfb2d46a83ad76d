"""Every table of the app, gathered from its rooms: Django looks for models here."""

from operations.health import models as health
from operations.slo import models as slo

__all__ = ["health", "slo"]
