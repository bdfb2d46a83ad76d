"""Fields of the API of service levels."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from agent_factory_site.common.api.fields import InstantField
from operations.slo.domain.maintenance_input import EARLIEST, LATEST


class MomentField(InstantField):
    """A time that windows, which reach back and ahead of it, can be computed for."""

    default_error_messages: ClassVar = {"out_of_range": "Is between the years 2000 and 2099."}

    def to_internal_value(self, value: Any) -> datetime:
        found = super().to_internal_value(value)
        if not EARLIEST <= found < LATEST:
            self.fail("out_of_range")
        return found
