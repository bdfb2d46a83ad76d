"""A cold analysis of 10^6 units and four metrics from the database, beside tea-tasting on a frame of the same.

The metrics: a proportion, a mean, a ratio and a mean with CUPED, from four sources, in two arms over two weeks. Ours
reads five million rows, works out the metrics whole and the primary one by day, takes the verdict and stores the
snapshot. tea-tasting works out the four metrics, once on a frame in memory, and once on one that pandas.read_sql
has first to make of the same rows. Effects must agree. Sums and rollups are not read by either.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from django.db import connection

from research.models import Analysis, Assignment, ResultSource, UnitMetric, Variant
from research.services.analyse import analyse_experiment

from .outcome import Outcome
from .result_rows import Made, Source, seed_sums, seed_units
from .rounds import interleave, milliseconds, ratio

UNITS: Final = int(os.environ.get("UNITS", "1000000"))
ROUNDS: Final = 3
METRICS: Final[list[dict[str, Any]]] = [
    {"key": "success", "kind": "proportion", "role": "primary"},
    {"key": "cost", "kind": "mean", "missing": "zero", "aggregate": "sum"},
    {"key": "cost_per_run", "kind": "ratio", "numerator": "cost", "denominator": "runs"},
    {"key": "score", "kind": "mean"},
]
SOURCES: Final = (
    Source("success", "CASE WHEN u < 0.1 THEN 1.0 ELSE 0.0 END"),
    Source("cost", "u + 2.0 * v * w"),
    Source("runs", "1.0 + floor(5 * w)"),
    Source("score", "10 + u + 0.3 * v", "10 + u"),
)
ABSENT: Final = (
    "tea-tasting is not installed, so that nothing stands beside it: requirements-bench.txt has it"
)


def main() -> list[Outcome]:
    made = seed_units("cold", UNITS, METRICS, SOURCES, analysis={"engine": "fixed", "cuped": True})
    seed_sums(made)
    name = f"10^{int(math.log10(UNITS))} units x 4 metrics"

    def ours() -> None:
        analyse_experiment(experiment=made.experiment.pk)

    ours()
    theirs = _tea_tasting()
    if theirs is None:
        print(ABSENT)
        taken = interleave({"ours": ours}, ROUNDS)
        return [
            Outcome(
                f"a cold analysis of {name}", median(taken["ours"]), "s", aside=milliseconds(taken["ours"])
            )
        ]
    frame = _frame(made)
    _compare(made, theirs(frame))
    taken = interleave(
        {"ours": ours, "memory": lambda: theirs(frame), "loaded": lambda: theirs(_frame(made))}, ROUNDS
    )
    mine, memory, loaded = taken["ours"], taken["memory"], taken["loaded"]
    return [
        Outcome(
            f"a cold analysis of {name} from the database against tea-tasting on a pandas frame in memory",
            ratio(mine, memory),
            "x the time",
            "<=",
            1.0,
            f"{milliseconds(mine)} against {milliseconds(memory)}",
        ),
        Outcome(
            "the same against tea-tasting on the frame that pandas.read_sql makes of the same rows",
            ratio(mine, loaded),
            "x the time",
            "<=",
            1.0,
            f"{milliseconds(mine)} against {milliseconds(loaded)}",
        ),
    ]


def _tea_tasting() -> Callable[[Any], Any] | None:
    """The four metrics by tea-tasting; None where it is not installed."""
    try:
        import tea_tasting
    except ImportError:
        return None
    experiment = tea_tasting.Experiment(
        success=tea_tasting.Mean("success"),
        cost=tea_tasting.Mean("cost"),
        cost_per_run=tea_tasting.RatioOfMeans("cost", "runs"),
        score=tea_tasting.Mean("score", covariate="score_covariate"),
    )
    return lambda frame: experiment.analyze(frame, control="control")


def _frame(made: Made) -> Any:
    """What somebody would read for it: a row for each unit, with a column for each source."""
    import pandas

    quote = connection.ops.quote_name
    numbers = dict(ResultSource.objects.filter(experiment=made.experiment).values_list("key", "pk"))
    columns = ", ".join(f"{source.key}.total AS {source.key}" for source in SOURCES)
    joins = " ".join(
        f"LEFT JOIN {quote(UnitMetric._meta.db_table)} AS {source.key} "
        f"ON {source.key}.source_id = {numbers[source.key]} AND {source.key}.entity_id = assigned.entity_id"
        for source in SOURCES
    )
    sql = (
        f"SELECT variant.key AS variant, {columns}, score.covariate AS score_covariate "
        f"FROM {quote(Assignment._meta.db_table)} AS assigned "
        f"JOIN {quote(Variant._meta.db_table)} AS variant ON variant.id = assigned.variant_id {joins} "
        f"WHERE assigned.phase_id = {made.phase.pk}"
    )
    connection.ensure_connection()
    with warnings.catch_warnings():
        # That only SQLAlchemy was tested: a cursor of the driver takes a layer less.
        warnings.simplefilter("ignore", UserWarning)
        return pandas.read_sql_query(sql, connection.connection)


def _compare(made: Made, theirs: Any) -> None:
    stored = Analysis.objects.filter(experiment=made.experiment).latest("as_of").result["comparisons"]
    for metric in METRICS:
        mine = stored[metric["key"]][0]["effect"]
        other = theirs[metric["key"]].effect_size
        if not math.isclose(mine, other, rel_tol=1e-6, abs_tol=1e-12):
            raise RuntimeError(f"tea-tasting finds another effect on {metric['key']}: {other}, not {mine}")
