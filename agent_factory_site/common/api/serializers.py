"""Serializers that refuse what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from rest_framework import serializers
from rest_framework.request import Request

from agent_factory_site.common.errors import FieldError, Invalid

from .fields import InstantField
from .problems import field_errors

S = TypeVar("S", bound="StrictSerializer")

# Parameters of every list, read by its pagination.
PAGE_PARAMETERS = frozenset({"limit", "cursor"})


class StrictSerializer(serializers.Serializer):
    """A serializer that refuses unknown fields and fields that cannot be written.

    Times have to be :class:`~.fields.InstantField`: the framework's own field lets naive times in.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, field in cls._declared_fields.items():
            if isinstance(field, serializers.DateTimeField) and not isinstance(field, InstantField):
                raise TypeError(f"{cls.__name__}.{name}: use InstantField, which refuses naive times")

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            for name in data:
                field = self.fields.get(name)
                if field is None:
                    errors[name] = [serializers.ErrorDetail("There is no such field.", "unknown_field")]
                elif field.read_only:
                    errors[name] = [serializers.ErrorDetail("This field cannot be written.", "read_only")]
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not errors or not isinstance(error.detail, dict):
                raise
            raise serializers.ValidationError({**error.detail, **errors}) from None
        if errors:
            raise serializers.ValidationError(errors)
        return value


def validated(serializer: type[S], request: Request) -> dict[str, Any]:
    """The checked body of ``request``; every field that is wrong is named in one problem."""
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def validated_query(serializer: type[S], request: Request) -> dict[str, Any]:
    """The checked query parameters of ``request``.

    A parameter that is unknown, or repeated where ``serializer`` has no list for it, is refused:
    a misspelt filter must not look like an answer about everything.
    """
    fields = serializer().fields
    data: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, values in request.query_params.lists():
        if name in PAGE_PARAMETERS and name not in fields:
            continue
        field = fields.get(name)
        if isinstance(field, (serializers.ListField, serializers.MultipleChoiceField)):
            data[name] = [part for value in values for part in value.split(",")]
        elif len(values) > 1:
            errors.append(FieldError(f"?{name}", "repeated", "This parameter may be given once."))
        else:
            value = values[0]
            # A "+" that was not percent-encoded arrives as a space, most often in a time's offset.
            data[name] = value.replace(" ", "+") if isinstance(field, InstantField) else value
    checked = serializer(data=data)
    if not checked.is_valid():
        for error in field_errors(checked.errors):
            detail = "There is no such parameter." if error.code == "unknown_field" else error.detail
            code = "unknown_parameter" if error.code == "unknown_field" else error.code
            name = error.pointer.removeprefix("/").split("/")[0].replace("~1", "/").replace("~0", "~")
            errors.append(FieldError(f"?{name}", code, detail))
    if errors:
        sentence = "; ".join(f"{error.pointer[1:]}: {error.detail}" for error in errors[:5])
        raise Invalid("invalid", sentence, errors)
    return dict(checked.validated_data)
