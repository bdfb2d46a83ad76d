"""Results as CSV: a line for every comparison of a metric, with the figures of the JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.http import HttpResponse

COLUMNS: Final = (
    "experiment", "phase", "segment", "as_of", "engine", "alpha", "verdict", "metric", "kind", "role", "variant",
    "baseline", "variant_n", "variant_estimate", "variant_sd", "baseline_n", "baseline_estimate", "baseline_sd",
    "effect", "ci_low", "ci_high", "relative_effect", "relative_ci_low", "relative_ci_high",
    "p_value", "p_adjusted", "method", "cuped_theta", "cuped_variance_reduction", "cuped_raw_effect",
    "cuped_raw_ci_low", "cuped_raw_ci_high", "chance_to_beat", "expected_loss",
    "sequential_ci_low", "sequential_ci_high", "sequential_p_value", "undefined",
)  # fmt: skip


def results_csv(answers: Sequence[Mapping[str, Any]]) -> HttpResponse:
    """The file of what ``results.rendered`` answers of one experiment, once or for several segments; an empty cell is
    unknown, numbers have all their digits.
    """
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n")
    write.writerow(COLUMNS)
    for rendered in answers:
        for metric in rendered["metrics"]:
            arms = {arm["variant"]: arm for arm in metric["arms"]}
            for one in metric["comparisons"]:
                if len(answers) > 1 and one["undefined"] == "not_analysed":
                    # Days are of the primary metric alone.
                    continue
                write.writerow(_cells(rendered, metric, arms, one))
    response = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
    name = "segments" if len(answers) > 1 else "results"
    response["Content-Disposition"] = f'attachment; filename="{answers[0]["experiment"]}-{name}.csv"'
    return response


def _cells(
    rendered: Mapping[str, Any],
    metric: Mapping[str, Any],
    arms: Mapping[str, Mapping[str, Any]],
    one: Mapping[str, Any],
) -> list[object]:
    cuped = one["cuped"] or dict.fromkeys(("theta", "variance_reduction", "raw_effect", "raw_ci"))
    found: list[object] = [
        *(rendered[name] for name in ("experiment", "phase", "segment", "as_of", "engine", "alpha")),
        rendered["verdict"]["code"],
        *(metric[name] for name in ("key", "kind", "role")),
        one["variant"],
        one["baseline"],
    ]
    for arm in (one["variant"], one["baseline"]):
        known = arms.get(arm, {})
        found += [known.get(name) for name in ("n", "estimate", "sd")]
    found += [one["effect"], *_pair(one["ci"]), one["relative_effect"], *_pair(one["relative_ci"])]
    found += [one["p_value"], one["p_adjusted"], one["method"]]
    found += [cuped["theta"], cuped["variance_reduction"], cuped["raw_effect"], *_pair(cuped["raw_ci"])]
    found += [one["bayesian"]["chance_to_beat"], one["bayesian"]["expected_loss"]]
    found += [*_pair(one["sequential"]["ci"]), one["sequential"]["p_value"], one["undefined"]]
    return ["" if cell is None else cell for cell in found]


def _pair(interval: Sequence[float] | None) -> tuple[object, object]:
    return (None, None) if interval is None else (interval[0], interval[1])
