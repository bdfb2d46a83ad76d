"""Serializer fields that take a value of the stated JSON type and no other.

The REST framework's own fields are lenient (``"5"`` for 5, ``"yes"`` for true, naive times): right
for HTML forms, wrong for programs, whose mistakes should show at once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from rest_framework import serializers

from agent_factory_site.common.money import MoneyError, format_amount, parse_amount

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class TextField(serializers.CharField):
    """A JSON string, kept exactly as it is sent."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumberField(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class TruthField(serializers.BooleanField):
    """``true`` or ``false``."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class InstantField(serializers.DateTimeField):
    """An RFC 3339 time with its offset, in and out; UTC inside."""

    default_error_messages = {
        "invalid": "A time is RFC 3339 with an offset, such as 2026-11-02T10:11:12Z.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("invalid")
        try:
            return msgspec.convert(value, _Instant).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return format_instant(value)


class MoneyField(serializers.Field):
    """A decimal string such as ``"12.50"`` outside, integer nano-units inside."""

    def __init__(self, *, min_nano: int | None = None, max_nano: int | None = None, **kwargs: Any) -> None:
        self.min_nano = min_nano
        self.max_nano = max_nano
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        try:
            nano = parse_amount(data)
        except MoneyError as error:
            raise serializers.ValidationError(error.detail, error.code) from None
        if self.min_nano is not None and nano < self.min_nano:
            raise serializers.ValidationError(f"At least {format_amount(self.min_nano)}.", "min_value")
        if self.max_nano is not None and nano > self.max_nano:
            raise serializers.ValidationError(f"At most {format_amount(self.max_nano)}.", "max_value")
        return nano

    def to_representation(self, value: int) -> str:
        return format_amount(value)


def format_instant(value: datetime) -> str:
    """RFC 3339 in UTC with a ``Z``, microseconds only where there are any."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
