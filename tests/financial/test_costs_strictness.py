"""What may not be left open: a name twice in one cost, a parameter twice, a type that no path can name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain.cost_input import CostInput, decode_cost
from financial.domain.hold_input import decode_hold
from financial.domain.repeated_names import quotation_marks
from financial.models import CostEvent

from .conftest import COSTS, Api

COST: dict[str, Any] = {
    "source": "s", "event_id": "e", "occurred_at": "2026-11-02T10:11:12Z", "entity_type": "agent",
    "entity_id": "bot", "cost_type": "llm", "provider": "openai", "model": "gpt-4o",
    "usage": {"input_tokens": 1200, "output_tokens": 310}, "tags": {"env": "prod"}, "entities": {"team": "emea"},
}  # fmt: skip


def twice(name: str, said: dict[str, Any] = COST) -> str:
    """The JSON of ``said`` with ``name`` once more, inside of the object where it is."""
    for inner in ("usage", "tags", "entities"):
        if name in said.get(inner, {}):
            text = json.dumps(said[inner])
            value = json.dumps(said[inner][name])
            return json.dumps(said).replace(text, f'{text[:-1]}, "{name}": {value}}}')
    return f'{json.dumps(said)[:-1]}, "{name}": {json.dumps(said[name])}}}'


@pytest.mark.parametrize("name", ["source", "event_id", "model", "usage", "input_tokens", "env", "team"])
def test_a_name_twice_is_refused_however_it_is_sent(api: Api, name: str) -> None:
    text = twice(name)
    sentence = f'The name "{name}" stands twice in one object.'
    one = api.post(COSTS, text.encode())
    assert (one.status_code, one.json()["code"], one.json()["detail"]) == (400, "duplicate_name", sentence)
    rejected = {"index": 0, "errors": [{"pointer": "", "code": "duplicate_name", "detail": sentence}]}
    for body, media in ((f"[{text}]", "application/json"), (f"{text}\n", "application/x-ndjson")):
        batch = api.post(COSTS, body.encode(), content_type=media)
        assert (batch.status_code, batch.json()["rejected"]) == (200, [rejected])
    assert CostEvent.objects.count() == 0


def test_credits_corrections_and_holds_say_each_name_once_as_well() -> None:
    credit = {"kind": "credit", "amount": "-1", "currency": "USD", "reason": "r"} | {
        name: COST[name] for name in ("source", "event_id", "occurred_at", "entity_type", "entity_id")
    }
    correction = {"source": "s", "event_id": "e", "corrects": "01a2065a-b1b1-7000-a7ed-fffc67694928",
                  "amount": "-1", "reason": "r"}  # fmt: skip
    hold = {"entity_type": "agent", "entity_id": "bot", "cost_type": "tool", "amount": "1"}
    for said, decode in ((credit, decode_cost), (correction, decode_cost), (hold, decode_hold)):
        assert not isinstance(decode(json.dumps(said).encode()), list)
        errors = decode(twice("amount", said).encode())
        assert isinstance(errors, list)
        assert [error.code for error in errors] == ["duplicate_name"]


@given(
    texts=st.dictionaries(st.sampled_from(["provider", "model", "run_id", "unit"]), st.text(max_size=5)),
    tags=st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=4),
    usage=st.dictionaries(st.sampled_from(["input_tokens", "images"]), st.integers(0, 3)),
    ascii_only=st.booleans(),
)
def test_marks_are_never_more_than_are_written(
    texts: dict[str, str], tags: dict[str, str], usage: dict[str, int], ascii_only: bool
) -> None:
    """Else a repeat could hide behind marks that were counted and are not there."""
    said = {**COST, "tags": tags, "usage": usage, "entities": {}}
    said = {**said, "provider": None, "model": None, **texts}
    text = json.dumps(said, ensure_ascii=ascii_only)
    cost = decode_cost(text.encode())
    assert isinstance(cost, CostInput)
    optional = (cost.provider, cost.model, cost.run_id, cost.amount, cost.currency, cost.unit, cost.reason)
    assert quotation_marks(6, optional, (cost.entities, cost.tags), cost.usage) <= text.count('"')
    # However it is written, a repeat is found.
    repeated = decode_cost((text[:-1] + ', "source" : "s"}').encode())
    assert isinstance(repeated, list)
    assert [error.code for error in repeated] == ["duplicate_name"]


@pytest.mark.parametrize("kind", ["a/b", "a,b"])
def test_a_type_that_cannot_be_asked_about_is_refused(api: Api, kind: str) -> None:
    for said, pointer in (
        ({**COST, "entity_type": kind}, "/entity_type"),
        ({**COST, "entities": {kind: "x"}}, f"/entities/{kind.replace('/', '~1')}"),
    ):
        answer = api.post(COSTS, said)
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {
                "pointer": pointer,
                "code": "bad_value",
                "detail": 'At most 100 characters without "/" and ",", and not "*".',
            }
        ]
    assert CostEvent.objects.count() == 0


@pytest.mark.parametrize("name", ["start", "end", "tz", "format"])
@pytest.mark.parametrize("path", [f"{COSTS}/agent/bot", "/api/v1/financial/summary"])
def test_a_parameter_twice_is_refused(api: Api, path: str, name: str) -> None:
    value = {"tz": "UTC", "format": "json"}.get(name, "2026-11-01")
    answer = api.get(f"{path}?{name}={value}&{name}={value}")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"parameter": name, "code": "repeated", "detail": "This parameter may be given once."}
    ]


def test_json_in_another_charset_is_not_read_as_utf_8(api: Api) -> None:
    answer = api.post(COSTS, COST, content_type="application/json; charset=utf-16")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_charset")
