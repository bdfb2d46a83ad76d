from .pending_charge import PendingCharge
from .source import TelemetrySource
from .trace import Trace

__all__ = ["PendingCharge", "TelemetrySource", "Trace"]
