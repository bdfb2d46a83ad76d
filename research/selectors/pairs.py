"""Reading replays."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from research.models import Experiment, PairedResult


def paired_results(
    experiment: Experiment, *, batch: str | None = None, metric: str | None = None
) -> QuerySet[PairedResult]:
    """The values of an experiment's replays, of one set and one metric where they are named."""
    rows: QuerySet[PairedResult] = PairedResult.objects.filter(experiment=experiment).select_related(
        "source", "variant", "judge"
    )
    if batch is not None:
        rows = rows.filter(batch=batch)
    if metric is not None:
        rows = rows.filter(source__key=metric)
    return rows


def paired_values(experiment: Experiment, *, batch: str, metric: str) -> dict[str, dict[str, list[float]]]:
    """Per item and variant the values of its repetitions, in order: what paired tests read."""
    rows = PairedResult.objects.filter(experiment=experiment, batch=batch, source__key=metric)
    found: dict[str, dict[str, list[float]]] = {}
    ordered = rows.order_by("item", "variant__position", "repetition")
    for item, variant, value in ordered.values_list("item", "variant__key", "value"):
        found.setdefault(item, {}).setdefault(variant, []).append(value)
    return found


def pair_sets(experiment: Experiment) -> list[tuple[str, str, int]]:
    """Name, metric and number of values of each set."""
    rows = PairedResult.objects.filter(experiment=experiment).values_list("batch", "source__key")
    return [
        (batch, metric, count)
        for batch, metric, count in rows.annotate(Count("pk")).order_by("batch", "source__key")
    ]
