"""What must be well for spans to be taken in quickly."""

from __future__ import annotations

from agent_factory_site.common.health_checks import Finding, register_check
from operations.telemetry.domain.protobuf import protobuf_implementation

FAST = "upb"


def check_protobuf() -> Finding:
    """Which implementation decodes protobuf: all but ``upb`` are many times slower."""
    used = protobuf_implementation()
    if used == FAST:
        return Finding("pass", "protobuf is decoded by upb")
    return Finding("warn", f"protobuf is decoded by {used}, many times slower than upb: reinstall protobuf")


register_check("otlp", check_protobuf, thresholds="warns when protobuf is not decoded by upb")
