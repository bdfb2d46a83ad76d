"""What is said of a step."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["inference", "embedding", "tool", "retrieval", "agent", "workflow", "other"]


class StepSaid(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A step of a run (none: ``run_id`` is empty), told by a span or under the client's own ``step_id``.

    Times are microseconds since 1970, durations microseconds, amounts nano-units of the base currency.
    ``parent`` is the id of the step around it, as ``parent_span_id`` is where spans tell. ``cost_source`` and
    ``cost_event`` are those under which its cost is in the ledger, empty for none; ``charged`` is False where
    the other path charges, and ``other_cost`` then what it would cost. ``counted`` is False where another step
    tells of the same call.
    """

    run_id: str
    kind: Kind
    start: int
    step_id: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""
    parent_span_id: bytes = b""
    parent: str = ""
    end: int | None = None
    name: str = ""
    tool: str = ""
    failed: bool = False
    error_type: str = ""
    error_message: str = ""
    provider: str = ""
    model: str = ""
    usage: dict[str, int] | None = None
    first_token: int | None = None
    counted: bool = True
    charged: bool = False
    cost_source: str = ""
    cost_event: str = ""
    other_cost: int | None = None
    reported_cost: int | None = None
    input: str = ""
    output: str = ""
