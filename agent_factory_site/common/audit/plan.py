"""What of a model is recorded in the audit trail, and how a value is written there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import models
from django.db.backends.utils import format_number
from django.utils.duration import duration_iso_string

SECRET: Final = "[secret]"  # noqa: S105 - what is written instead of a secret
PERSONAL: Final = "[personal]"

Values = Mapping[str, Any]
Changes = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Pending:
    """An audit event about to be written."""

    action: str
    target_type: str
    target_id: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """A many-to-many table: its rows are told of as a change of the model that declares the field."""

    owner_label: str
    field_name: str
    owner_attname: str
    member_attname: str


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """The audited fields of one model by their attribute names, and which values are masked."""

    label: str
    fields: Mapping[str, models.Field[Any, Any]]
    masks: Mapping[str, str]
    ignored: frozenset[str]
    link: Link | None = None

    def concerns(self, names: Collection[str]) -> bool:
        """Whether a write of these fields (names or attribute names) is recorded at all."""
        return any(name not in self.ignored for name in names)

    def values(self, instance: models.Model, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The JSON-safe exact values of ``instance``, of all audited fields or of those in ``names``."""
        loaded = instance.__dict__
        wanted = self.fields if names is None else [name for name in names if name in self.fields]
        return {name: serialise(self.fields[name], loaded[name]) for name in wanted if name in loaded}

    def created(self, pk: Any, after: Values) -> Pending:
        changes = self._masked({name: (None, value) for name, value in after.items()})
        return Pending("create", self.label, target_id(pk), changes)

    def deleted(self, pk: Any, before: Values) -> Pending:
        changes = self._masked({name: (value, None) for name, value in before.items()})
        return Pending("delete", self.label, target_id(pk), changes)

    def updated(self, pk: Any, before: Values, after: Values) -> Pending | None:
        """The event of an update, or ``None`` when nothing changed."""
        changes = self._masked({name: (before.get(name), after[name]) for name in after})
        return Pending("update", self.label, target_id(pk), changes) if changes else None

    def _masked(self, pairs: Mapping[str, tuple[Any, Any]]) -> Changes:
        changes: Changes = {}
        for name, (old, new) in pairs.items():
            if old == new and type(old) is type(new):
                continue
            if mask := self.masks.get(name):
                changes[self.fields[name].name] = [None if value is None else mask for value in (old, new)]
            else:
                changes[self.fields[name].name] = [old, new]
        return changes


_plans: dict[type[models.Model], AuditPlan] = {}


def audit_plan(model: type[models.Model]) -> AuditPlan:
    """The plan of ``model``, from its ``audit_*`` attributes."""
    if (plan := _plans.get(model)) is None:
        plan = _plans[model] = _make_plan(model)
    return plan


def _make_plan(model: type[models.Model]) -> AuditPlan:
    concrete = model._meta.concrete_model or model
    meta = concrete._meta
    ignored = _with_attnames(concrete, getattr(concrete, "audit_ignored", frozenset()))
    personal = _with_attnames(concrete, getattr(concrete, "audit_personal", frozenset()))
    masks = dict.fromkeys(personal, PERSONAL)
    secrets = _with_attnames(concrete, getattr(concrete, "audit_secrets", frozenset()))
    masks.update(dict.fromkeys(secrets, SECRET))
    fields = {
        field.attname: field
        for field in meta.concrete_fields
        if not field.generated and field.attname not in ignored and not field.primary_key
    }
    return AuditPlan(meta.label, fields, masks, ignored, _link(concrete))


def _with_attnames(model: type[models.Model], names: Iterable[str]) -> frozenset[str]:
    both: set[str] = set()
    for name in names:
        field = model._meta.get_field(name)
        both.update((field.name, getattr(field, "attname", field.name)))
    return frozenset(both)


def _link(model: type[models.Model]) -> Link | None:
    # Django sets it to the owning model, whatever the stubs say.
    owner: Any = model._meta.auto_created
    if not owner:
        return None
    for field in owner._meta.local_many_to_many:
        if field.remote_field.through is model:
            return Link(
                owner._meta.label,
                field.name,
                model._meta.get_field(field.m2m_field_name()).attname,
                model._meta.get_field(field.m2m_reverse_field_name()).attname,
            )
    return None


def is_expression(value: object) -> bool:
    """Whether the database computes ``value``, so that it must be read back."""
    return hasattr(value, "resolve_expression")


def target_id(pk: object) -> str:
    """A primary key as text; the parts of a composite one are joined by commas."""
    return ",".join(str(part) for part in pk) if isinstance(pk, tuple) else str(pk)


def serialise(field: models.Field[Any, Any], value: Any) -> Any:
    """``value`` of ``field`` as exact JSON: the same before it is stored as after it is read back."""
    if value is None:
        return None
    if isinstance(field, models.DecimalField):
        number = field.to_python(value)
        return format_number(number, field.max_digits, field.decimal_places)
    if isinstance(field, models.JSONField):
        return json.loads(json.dumps(value, cls=field.encoder))
    if isinstance(field, models.ForeignKey):
        return serialise(field.target_field, value)
    return json_safe(field.to_python(value))


def json_safe(value: Any) -> Any:
    """A plain Python value as exact JSON: no float is made, no zone lost."""
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case Decimal():
            return format(value, "f") if value.is_finite() else str(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return duration_iso_string(value)
        case UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            # The trail tells that bytes changed, it is not the place to keep them.
            return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        case Mapping():
            return {str(key): json_safe(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [json_safe(item) for item in value]
        case _:
            return str(value)
