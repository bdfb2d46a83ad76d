from .source import TelemetrySource
from .trace import Trace

__all__ = ["TelemetrySource", "Trace"]
