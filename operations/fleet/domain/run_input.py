"""What a client says of a run over the API, decoded and checked without a database or a clock."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import MoneyError, parse_amount
from financial.domain.cost_input import ServiceTier, UsageInput

from .step_said import Kind

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Short = Annotated[str, Meta(max_length=200)]
RunId = Annotated[str, Meta(min_length=1, max_length=200)]
Instant = Annotated[datetime, Meta(tz=True)]
MAX_STEPS: Final = 1000
MAX_SCORES: Final = 50
_RUN_ID: Final = re.compile(r"[\x21-\x7e]+\Z")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?\Z")


class UnitInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who or what experiments assign a variant to."""

    type: Annotated[str, Meta(min_length=1, max_length=100)]
    id: Name


class RunInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A run that begins. ``unit`` as a text is one of the type ``user``."""

    agent: Name
    run_id: RunId | None = None
    user: Name | None = None
    session: Name | None = None
    unit: UnitInput | Name | None = None
    attributes: dict[str, Any] = {}
    started_at: Instant | None = None
    environment: Short = ""
    release: Short = ""
    agent_version: Short = ""
    parent_run_id: RunId | None = None
    hold_id: str | None = None
    costs_from: Literal["spans", "api"] | None = None


class CallCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What calls of a model used: ``usage`` of a provider's ``model``, or an ``amount`` in a ``currency``."""

    provider: Annotated[str, Meta(max_length=100)] | None = None
    model: Annotated[str, Meta(max_length=255)] | None = None
    service_tier: ServiceTier = "standard"
    usage: UsageInput | None = None
    amount: str | None = None
    currency: str | None = None


class StepInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step of a run under an id that is unique within the run; sent again it changes nothing."""

    step_id: RunId
    kind: Kind
    name: Short = ""
    parent: RunId | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None
    status: Literal["ok", "failed"] = "ok"
    error_type: Short = ""
    error_message: str = ""
    tool: Annotated[str, Meta(max_length=255)] = ""
    cost: CallCost | None = None
    reported_cost: str | None = None
    hold_id: str | None = None
    input: str = ""
    output: str = ""


class FinishInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a run ended. ``usage`` is what the whole run used, for clients that send no steps with costs."""

    status: Literal["ok", "failed", "cancelled"]
    scores: dict[str, float] = {}
    error_type: Short = ""
    error_message: str = ""
    ended_at: Instant | None = None
    usage: CallCost | None = None
    reported_cost: str | None = None
    hold_id: str | None = None


def traceparent_run(header: str | None) -> tuple[bytes, bytes] | None:
    """Trace and span id of a W3C ``traceparent`` header; None for none or one that is not valid."""
    found = _TRACEPARENT.match((header or "").strip())
    if found is None or header is None or header.startswith("ff"):
        return None
    trace, span = bytes.fromhex(found[1]), bytes.fromhex(found[2])
    return (trace, span) if any(trace) and any(span) else None


def check_run(run: RunInput) -> list[FieldError]:
    """What a well-formed beginning still gets wrong."""
    errors = [
        FieldError(f"/{name}", "bad_id", "Is of visible ASCII characters without spaces.")
        for name in ("run_id", "parent_run_id")
        if (value := getattr(run, name)) is not None and not _RUN_ID.match(value)
    ]
    unit = run.unit
    if isinstance(unit, UnitInput) and unit.type == "user" and run.user not in (None, unit.id):
        errors.append(FieldError("/unit", "contradiction", "The unit of the type user is another user."))
    for name in ("agent", "user", "session"):
        if (value := getattr(run, name)) is not None and (not value.strip() or "\0" in value):
            errors.append(FieldError(f"/{name}", "blank", "This may not be blank."))
    return errors + check_hold(run.hold_id)


def check_hold(hold_id: str | None) -> list[FieldError]:
    """What is wrong with what names a hold: one that is mistyped would be kept until it expires."""
    try:
        if hold_id:
            UUID(hold_id)
    except ValueError:
        return [FieldError("/hold_id", "bad_id", "Is not the id of a hold: a UUID.")]
    return []


def check_call(call: CallCost | None, pointer: str) -> list[FieldError]:
    """What is wrong with what a call used."""
    if call is None:
        return []
    if (call.usage is None) == (call.amount is None):
        detail = "Give the usage of a provider's model, or an amount with its currency."
        return [FieldError(f"{pointer}/usage", "required", detail)]
    return []


def check_step(step: StepInput) -> list[FieldError]:
    """What a well-formed step still gets wrong."""
    errors = check_call(step.cost, "/cost") + _check_amount(step.reported_cost, "/reported_cost")
    for name in ("step_id", "parent"):
        if (value := getattr(step, name)) is not None and not _RUN_ID.match(value):
            errors.append(FieldError(f"/{name}", "bad_id", "Is of visible ASCII characters without spaces."))
    if step.started_at and step.ended_at and step.ended_at < step.started_at:
        errors.append(FieldError("/ended_at", "before_start", "Is before started_at."))
    return errors + check_hold(step.hold_id)


def check_finish(finish: FinishInput) -> list[FieldError]:
    """What a well-formed end still gets wrong."""
    errors = check_call(finish.usage, "/usage") + _check_amount(finish.reported_cost, "/reported_cost")
    if len(finish.scores) > MAX_SCORES:
        errors.append(FieldError("/scores", "too_many", f"At most {MAX_SCORES}."))
    for name, value in finish.scores.items():
        if not name.strip() or len(name) > 80:
            errors.append(FieldError("/scores", "bad_name", "A score has a name of at most 80 characters."))
        elif not math.isfinite(value) or abs(value) > 1e9:
            errors.append(FieldError(f"/scores/{name}", "not_finite", "Is a number of at most 1e9."))
    return errors + check_hold(finish.hold_id)


def _check_amount(amount: str | None, pointer: str) -> list[FieldError]:
    if amount is None:
        return []
    try:
        value = parse_amount(amount)
    except MoneyError as error:
        return [FieldError(pointer, error.code, error.detail)]
    return [FieldError(pointer, "negative", "Is not negative.")] if value < 0 else []
