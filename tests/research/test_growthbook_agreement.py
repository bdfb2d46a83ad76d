"""GrowthBook's SDK, given the same experiment, serves every unit the same variant for the same reason to be out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from growthbook import Experiment as TheirExperiment
from growthbook import GrowthBook

from agent_factory_site.common.services.api_keys import create_api_key
from research.services.assign import Unit, assign_units

from .experiment_setup import running

pytestmark = pytest.mark.django_db

COUNTRIES = ("DE", "FR", "US")
UNITS = [
    *(f"u-{number}" for number in range(1500)), "😀", "žluťoučký kůň", "用户42", "a@example.com",
]  # fmt: skip


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.2, 0.3, 0.5], [1 / 3, 1 / 3, 1 / 3]])
@pytest.mark.parametrize("coverage", [1.0, 0.4])
def test_the_sdk_serves_each_unit_the_same(weights: list[float], coverage: float) -> None:
    running(
        arms=[(f"arm-{number}", weight, {"number": number}) for number, weight in enumerate(weights)],
        coverage=coverage,
        targeting=[
            {"attribute": "country", "op": "in", "value": ["DE", "FR"]},
            {"attribute": "age", "op": "gte", "value": 20},
        ],
        exclusion_group="checkout",
        exclusion_share=0.7,
    )
    attributes = {
        unit: {"country": COUNTRIES[number % 3], "age": number % 60} for number, unit in enumerate(UNITS)
    }
    found = assign_units(experiment="prompt-v2", units=[Unit(unit, attributes[unit]) for unit in UNITS])
    experiment: TheirExperiment[int] = TheirExperiment(
        key="prompt-v2",
        variations=list(range(len(weights))),
        weights=weights,
        coverage=coverage,
        hashVersion=2,
        condition={"country": {"$in": ["DE", "FR"]}, "age": {"$gte": 20}},
        namespace=("checkout", 0.0, 0.7),
    )
    client = GrowthBook()
    served = 0
    for each in found:
        client.set_attributes({"id": each.unit, **attributes[each.unit]})
        theirs = client.run(experiment)
        assert theirs.inExperiment == each.decision.in_experiment, each
        if each.decision.arm is not None:
            assert each.decision.arm.payload == {"number": theirs.value}
            served += 1
    assert served > 100


def test_the_example_of_the_documentation_runs_as_it_is_printed() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "experiments.md").read_text()
    sent = re.search(r"-d '(\{.*?\})'\n", text, re.DOTALL)
    shown = re.search(r"```json\n(\{.*?\})\n```", text, re.DOTALL)
    assert sent is not None
    assert shown is not None
    _, key = create_api_key(name="docs", scopes=["research:write", "assign"])
    client, headers = Client(), {"X-API-Key": key}

    def call(method: str, path: str, body: bytes = b"") -> Any:
        response = client.generic(
            method,
            f"/api/v1/research/experiments{path}",
            body,
            content_type="application/json",
            headers=headers,
        )
        assert response.status_code < 300, response.content
        return response.json()

    call("POST", "", sent.group(1).encode())
    call("POST", "/prompt-v2/start")
    assert call("GET", "/prompt-v2/assign?unit_id=u-17&country=DE") == json.loads(shown.group(1))
