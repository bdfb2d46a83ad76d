"""A charge of a trace in the form in which the ledger takes costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from financial.domain.cost_input import CostInput

from .runs import Charge

SOURCE: Final = "otlp"
UNKNOWN: Final = "unknown"
"""The agent, provider or model that nobody named: such a call is recorded and has no price."""

AHEAD: Final = timedelta(minutes=5)
"""How far a client's clock may be ahead before the time of arrival is believed instead."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(nanoseconds: int) -> datetime:
    """The time of nanoseconds since 1970, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def believable(nanoseconds: int, *, received: datetime, earliest: datetime) -> datetime:
    """When something happened: as the client says, or on arrival when its clock cannot be right."""
    said = moment_of(nanoseconds)
    return said if earliest <= said <= received + AHEAD else received


def to_cost(charge: Charge, *, received: datetime, earliest: datetime, source: str = SOURCE) -> CostInput:
    """The cost event of a charge, to be priced by the ledger; a client's own price is not in it.

    It happened when the call started. Its entity is the agent, or ``unknown``; the user is another one.
    """
    reading = charge.reading
    entities = {"user": reading.user} if reading.user else {}
    said = {"environment": reading.environment, "release": reading.release, "service": reading.service}
    return CostInput(
        source=source,
        event_id=charge.event_id,
        occurred_at=believable(reading.start, received=received, earliest=earliest),
        entity_type="agent",
        entity_id=charge.agent or UNKNOWN,
        cost_type="llm",
        entities=entities,
        provider=reading.provider[:100] or UNKNOWN,
        model=reading.model or UNKNOWN,
        service_tier=reading.service_tier,
        usage=reading.usage,
        run_id=charge.run_id or None,
        tags={name: value for name, value in said.items() if value},
    )
