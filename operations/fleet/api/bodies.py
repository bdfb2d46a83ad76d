"""Bodies of requests about runs, decoded strictly."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from rest_framework.request import Request

from agent_factory_site.common.api.bodies import body_limit, read_json
from agent_factory_site.common.errors import FieldError, Invalid
from financial.domain.repeated_names import repeated_name
from operations.fleet.domain.litellm_payload import LiteLLMCall, read_payload
from operations.fleet.domain.run_input import MAX_STEPS, FinishInput, RunInput, StepInput
from research.domain.result_input import decode

S = TypeVar("S", bound=msgspec.Struct)

MAX_EVENTS: Final = 1000
RUN: Final = msgspec.json.Decoder(RunInput)
FINISH: Final = msgspec.json.Decoder(FinishInput)
_STEP: Final = msgspec.json.Decoder(StepInput)


class _Steps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    steps: list[msgspec.Raw]


_STEPS: Final = msgspec.json.Decoder(_Steps)
_PLAIN: Final = msgspec.json.Decoder()


def read_struct(request: Request, view: Any, decoder: msgspec.json.Decoder[S], called: str) -> S:
    """The object in the body; raises Invalid naming every bad field."""
    body = read_json(request._request, body_limit(view))
    found = decode(body, decoder, called)
    if isinstance(found, list):
        raise _refusal(found)
    if repeated := repeated_name(body):
        raise Invalid(repeated[0].code, repeated[0].detail)
    return found


def read_steps(request: Request, view: Any) -> list[StepInput | list[FieldError]]:
    """The steps in ``{"steps": [...]}``, each decoded or with its errors."""
    body = read_json(request._request, body_limit(view))
    found = decode(body, _STEPS, "A batch of steps")
    if isinstance(found, list):
        raise _refusal(found)
    if len(found.steps) > MAX_STEPS:
        raise Invalid.field_error("/steps", "too_many", f"At most {MAX_STEPS} at once.")
    steps = [decode(raw, _STEP, "A step") for raw in found.steps]
    if not (repeated := repeated_name(body)):
        return steps
    within = [repeated_name(bytes(raw)) for raw in found.steps]
    if not any(within):
        raise Invalid(repeated[0].code, repeated[0].detail)
    return [wrong or step for wrong, step in zip(within, steps, strict=True)]


def read_events(request: Request, view: Any) -> list[LiteLLMCall | list[FieldError]]:
    """LiteLLM's payloads: one object or a list of them."""
    try:
        body = _PLAIN.decode(read_json(request._request, body_limit(view)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("malformed_json", f"The body is not JSON: {error}.") from None
    items = body if isinstance(body, list) else [body]
    if len(items) > MAX_EVENTS:
        raise Invalid.field_error("", "too_many", f"At most {MAX_EVENTS} at once.")
    return [read_payload(item) for item in items]


def _refusal(errors: list[FieldError]) -> Invalid:
    if errors[0].code == "malformed":
        return Invalid("malformed_json", f"The body is not JSON: {errors[0].detail}")
    return Invalid.fields(*errors)
