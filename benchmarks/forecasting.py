"""Forecasts of the 3,003 series of the M3 competition, beside a straight line and the last season again."""

from __future__ import annotations

import time
from typing import Final

from tests.competitions import coverage_of_totals, forecasts, m3, score, scores, seasonal_naive, straight_line

from .outcome import Outcome

SMAPE_BAR: Final = 13.0
MASE_BAR: Final = 1.45
SECONDS_BAR: Final = 20.0


def main() -> list[Outcome]:
    series = m3()
    began = time.perf_counter()
    found = forecasts(series)
    seconds = time.perf_counter() - began
    ours = scores(series, found)
    naive = score(series, seasonal_naive)
    line = score(series, straight_line)
    totals = coverage_of_totals(series)
    kinds = {
        kind: scores(*zip(*[(one, made) for one, made in zip(series, found) if one.kind == kind]))
        for kind in ("yearly", "quarterly", "monthly", "other")
    }
    return [
        Outcome(
            "sMAPE over 3,003 series of M3",
            ours.smape,
            "%",
            "<=",
            SMAPE_BAR,
            f"seasonal naive {naive[0]:.2f}, straight line {line[0]:.2f}; "
            + ", ".join(f"{kind} {one.smape:.2f}" for kind, one in kinds.items()),
        ),
        Outcome(
            "MASE over the same",
            ours.mase,
            "",
            "<=",
            MASE_BAR,
            f"seasonal naive {naive[1]:.2f}, straight line {line[1]:.2f}; "
            + ", ".join(f"{kind} {one.mase:.2f}" for kind, one in kinds.items()),
        ),
        Outcome("sMAPE against a straight line's", ours.smape / line[0], "x of a straight line", "<="),
        Outcome("sMAPE against the last season again", ours.smape / naive[0], "x of seasonal naive", "<="),
        Outcome("all forecasts with their intervals, in one process", seconds, "s", "<=", SECONDS_BAR),
        Outcome(
            "values inside the interval of 80 %",
            ours.coverage[0] * 100,
            "%",
            aside=", ".join(f"{kind} {one.coverage[0]:.1%}" for kind, one in kinds.items())
            + f"; sums over the horizon {totals[0]:.1%}",
        ),
        Outcome(
            "values inside the interval of 95 %",
            ours.coverage[1] * 100,
            "%",
            aside=", ".join(f"{kind} {one.coverage[1]:.1%}" for kind, one in kinds.items())
            + f"; sums over the horizon {totals[1]:.1%}",
        ),
    ]
