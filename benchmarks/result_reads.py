"""Results of 20 metrics in 3 arms by every engine, and plans, in-process over the API.

The same experiment with 10^4, 10^6 and (large) 10^7 recorded results. Sums lie in all the slots that concurrent
writers share, four metrics are quantiles, all means have a covariate and CUPED. The experiment has been analysed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from django.test import Client
from rest_framework.renderers import JSONRenderer

from agent_factory_site.common.services.api_keys import create_api_key
from research.domain.analysis_json import judged_json
from research.domain.analysis_rules import judge, settings_of
from research.domain.statistics.bayesian import share_above
from research.domain.statistics.values import Engine
from research.models import ResultEvent
from research.selectors.analysis import latest_analysis, measures_of, stopped_arms
from research.selectors.arm_data import health_of, progress_of
from research.selectors.experiments import get_experiment
from research.selectors.results import phase_data
from research.services.analyse import analyse_experiment
from research.services.check_results import check_results

from .outcome import Outcome
from .result_rows import Source, seed_sums, seed_units
from .rounds import interleave, milliseconds, ratio

ROUNDS: Final = 25
BAR: Final = 50.0
PLAN_BAR: Final = 20.0
GROWTH_BAR: Final = 1.3
ENGINES: Final[tuple[Engine, ...]] = ("fixed", "sequential", "group_sequential", "bayesian")
ARMS: Final = ("control", "b", "c")
KINDS: Final = ("proportion", "mean", "count", "ratio", "quantile")
VALUES: Final = {
    "proportion": "CASE WHEN u < 0.1 THEN 1.0 ELSE 0.0 END",
    "mean": "10 + u + 0.3 * v",
    "count": "floor(5.0 * v)",
    "quantile": "1.0 + floor(100 * w)",
}
SOURCES_OF_20: Final = 16


def main() -> list[Outcome]:
    sizes = [4, 6, 7] if os.environ.get("LARGE") == "1" else [4, 6]
    for size in sizes:
        _seed(size)
    _, secret = create_api_key(name="benchmark", scopes=["research:read"])
    api = _Api(secret)
    found: list[Outcome] = []
    by_size: dict[int, list[float]] = {}
    reads: dict[str, Callable[[], object]] = {
        f"{size} {engine}": api.results(size, engine) for size in sizes for engine in ENGINES
    }
    reads |= {f"{size} once": _all_engines(f"size-{size}") for size in sizes}
    worked: dict[str, list[float]] = {name: [] for name in reads}
    taken = interleave({name: _worked(read, worked[name]) for name, read in reads.items()}, ROUNDS)
    for size in sizes:
        engines = {engine: taken[f"{size} {engine}"] for engine in ENGINES}
        by_size[size] = [sum(one) for one in zip(*engines.values(), strict=True)]
        if size == 4:
            continue
        once = taken[f"{size} once"]
        found += [
            Outcome(
                f"20 metrics x 3 arms, sums of 10^{size} results read once, judged by all four engines, as JSON",
                median(once) * 1e3,
                "ms",
                "<=",
                BAR,
                f"{milliseconds(once)}; {_cpu(worked[f'{size} once'])}",
            ),
            Outcome(
                f"GET results of them, 10^{size} results, the slowest of the engines",
                max(map(median, engines.values())) * 1e3,
                "ms",
                "<=",
                BAR,
                ", ".join(
                    f"{engine} {milliseconds(one)}, {_cpu(worked[f'{size} {engine}'])}"
                    for engine, one in engines.items()
                ),
            ),
            Outcome(
                f"four GETs, one for each engine, 10^{size} results",
                median(by_size[size]) * 1e3,
                "ms",
                aside=milliseconds(by_size[size]),
            ),
            Outcome(
                f"these, 10^{size} results against 10^{4 if size == 6 else 6}",
                ratio(by_size[size], by_size[4 if size == 6 else 6]),
                "x the time",
                "<=",
                GROWTH_BAR,
            ),
        ]
    return found + _plans(api)


def _worked(read: Callable[[], object], into: list[float]) -> Callable[[], object]:
    """``read``, noting the CPU time of this process: what it would take on a machine that does nothing else."""

    def noted() -> None:
        began = time.process_time()
        read()
        into.append(time.process_time() - began)

    return noted


def _cpu(seconds: list[float]) -> str:
    return f"{median(seconds) * 1e3:.1f} ms of CPU in the process"


def _seed(size: int) -> None:
    metrics: list[dict[str, Any]] = []
    sources = []
    for number in range(20):
        kind, key = KINDS[number % 5], f"m{number}"
        metric: dict[str, Any] = {"key": key, "kind": kind, "mde": 0.02}
        metric["role"] = "primary" if not number else "guardrail" if number > 15 else "secondary"
        if number > 15:
            metric |= {"margin": 0.05, "scale": "relative"}
        if kind == "quantile":
            metric["q"] = 0.95
        if kind == "ratio":
            metric |= {"numerator": f"m{number - 2}", "denominator": f"m{number - 1}"}
        else:
            sources.append(Source(key, VALUES[kind], "10 + u" if kind == "mean" else None))
        metrics.append(metric)
    assert len(sources) == SOURCES_OF_20
    units = 10**size // SOURCES_OF_20
    analysis = {"engine": "sequential", "cuped": True, "correction": "holm"}
    made = seed_units(f"size-{size}", units, metrics, sources, ARMS, analysis, events=True)
    seed_sums(made)
    assert ResultEvent.objects.filter(experiment=made.experiment).count() == units * SOURCES_OF_20
    if size == 4:
        # The others were made by the same statements.
        assert check_results(experiment=made.experiment.pk).differences == 0
    analyse_experiment(experiment=made.experiment.pk)


class _Api:
    """The whole of the application but the server: middleware, the key, the view, JSON."""

    def __init__(self, secret: str) -> None:
        self.client = Client(headers={"X-API-Key": secret}, SERVER_NAME="localhost")

    def results(self, size: int, engine: str) -> Callable[[], object]:
        def read() -> object:
            response = self.client.get(f"/api/v1/research/experiments/size-{size}/results?engine={engine}")
            assert response.status_code == 200, response.content
            return response

        return read

    def plan(self, body: dict[str, Any]) -> Callable[[], object]:
        content = json.dumps(body)

        def ask() -> object:
            response = self.client.post(
                "/api/v1/research/experiments/size-6/plan", content, content_type="application/json"
            )
            assert response.status_code == 200, response.content
            return response

        return ask


def _all_engines(key: str) -> Callable[[], object]:
    """What ``analysed_results`` does, with every engine on what was read; nothing is remembered of the last time."""

    def read() -> object:
        share_above.cache_clear()
        data = phase_data(get_experiment(key))
        measures = measures_of(data, latest_analysis(data), None)
        health, progress, stopped = health_of(data), progress_of(data), stopped_arms(data)
        answers = []
        for engine in ENGINES:
            looks = (0.2, 0.4, 0.6) if engine == "group_sequential" else ()
            chosen = settings_of(data.experiment.analysis, engine=engine, looks=looks)
            answers.append(judged_json(judge(measures, chosen, health, progress, stopped)))
        return JSONRenderer().render(answers)

    return read


def _plans(api: _Api) -> list[Outcome]:
    bodies = {
        "a proportion, fixed": {"metric": "m0", "mean": 0.1, "mde": 0.02, "engine": "fixed"},
        "a mean, sequential": {"metric": "m1", "mean": 10.5, "variance": 2.0, "mde": 0.02},
        "a ratio, relative, with the smallest effect of as many units": {
            "metric": "m3", "mean": 0.5, "variance": 2.0, "mde": 0.02, "scale": "relative", "units": 10**6,
        },
        "a mean from history": {"metric": "m1", "history": True, "days": 14},
        "group sequential": {"metric": "m1", "mean": 10.5, "variance": 2.0, "engine": "group_sequential"},
    }  # fmt: skip
    worked: dict[str, list[float]] = {name: [] for name in bodies}
    asked = {name: api.plan({"units_per_day": 500, **body}) for name, body in bodies.items()}
    taken = interleave({name: _worked(ask, worked[name]) for name, ask in asked.items()}, ROUNDS)
    return [
        Outcome(
            f"POST plan, {name}",
            median(one) * 1e3,
            "ms",
            "<=",
            PLAN_BAR,
            f"{milliseconds(one)}; {_cpu(worked[name])}",
        )
        for name, one in taken.items()
    ]
