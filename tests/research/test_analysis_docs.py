"""The examples of docs/analysis.md against a real server: what it prints is what comes back."""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent_factory_site.common.services.api_keys import create_api_key
from research.services.record_results import record_results
from tests.common.callers import granian
from tests.processes import PATIENCE

from .results_world import expose, make_experiment, result

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "analysis.md").read_text()
BLOCKS = re.findall(r"```(sh|json)\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def server(live_database: str) -> Iterator[str]:
    with granian("agent_factory_site.wsgi:application", live_database) as url:
        yield url


def sent(command: str, server: str, key: str) -> Any:
    """What a command of the page answers, which uses the address, ``-X``, ``-H`` and ``-d`` of curl."""
    words = iter(shlex.split(command.replace("localhost:8000", server).replace("$KEY", key)))
    assert next(words) == "curl"
    url, method, headers, body = "", "GET", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        else:
            url = word
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=PATIENCE)
    connection.request(method, f"{place.path}?{place.query}".rstrip("?"), body, headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    return json.load(answer)


def close(shown: Any) -> Any:
    """Printed numbers have six digits."""
    if isinstance(shown, dict):
        return {name: close(value) for name, value in shown.items()}
    if isinstance(shown, list):
        return [close(value) for value in shown]
    return pytest.approx(shown, rel=1e-5) if isinstance(shown, float) else shown


def picked(answer: Any, shown: Any) -> Any:
    """The parts of an answer that the page prints."""
    if isinstance(shown, dict) and isinstance(answer, dict):
        return {name: picked(answer[name], value) for name, value in shown.items()}
    if isinstance(shown, list) and isinstance(answer, list) and len(shown) == len(answer):
        return [picked(one, other) for one, other in zip(answer, shown, strict=True)]
    return answer


@pytest.mark.once_when_quick
def test_the_page_runs_as_it_is_printed(server: str) -> None:
    metrics = [{"key": "success", "kind": "proportion", "role": "primary", "mde": 0.02}]
    row = make_experiment("prompt-v2", metrics=metrics)
    for arm, units, successes in (("control", 120, 14), ("treatment", 118, 25)):
        expose(row, [f"{arm}-{place}" for place in range(units)], arm)
        items = [
            result(f"{arm}-{place}", "success", 1, f"{arm}-{place}", covariate=place)
            for place in range(successes)
        ]
        assert record_results(experiment=row.pk, results=items).rejected == {}
    _, key = create_api_key(name="docs", scopes=["research:read", "research:write"])
    waiting: Any = None
    compared = 0
    for kind, block in BLOCKS:
        if kind == "sh":
            for command in re.split(r"\n(?=curl )", block):
                waiting = sent(command, server, key)
            continue
        shown = json.loads(block)
        assert picked(waiting, shown) == close(shown)
        compared += 1
    assert compared == 3
    base = f"{server}/api/v1/research/experiments/prompt-v2"
    seen = sent(f"curl {base}/results -H 'X-API-Key: {key}'", server, key)
    assert seen["analysis"]["segments"] == [
        "covariate:high", "covariate:low", "covariate:none", "day:2026-03-02",
    ]  # fmt: skip
    for segment in seen["analysis"]["segments"]:
        part = sent(f"curl '{base}/results?segment={segment}' -H 'X-API-Key: {key}'", server, key)
        assert part["metrics"][0]["comparisons"][0]["undefined"] != "not_analysed"


def test_the_fields_that_the_page_lists_are_those_of_a_comparison() -> None:
    from .test_analysis_results import FIELDS

    table = TEXT.partition("| field | meaning |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "`" in line))
    assert sorted([*named, "variant", "baseline", "method"]) == sorted(FIELDS)
