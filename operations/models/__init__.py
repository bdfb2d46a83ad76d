"""Every table of the app, gathered from its rooms: Django looks for models here."""

from operations.slo import models as slo

__all__ = ["slo"]
