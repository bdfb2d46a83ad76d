"""What is published of all experiments."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, OuterRef, Subquery, Sum
from django.db.models.fields.json import KeyTransform

from research.models import Analysis, Experiment, ExposureDay, FeatureFlag, Variant

IN_USE = (Experiment.State.RUNNING, Experiment.State.PAUSED)


def experiments_by_state() -> dict[str, int]:
    """How many experiments are in each state; every state is there."""
    found = dict(Experiment.objects.order_by().values_list("state").annotate(Count("pk")))
    return {str(state): found.get(str(state), 0) for state in Experiment.State}


def flags_by_state() -> dict[str, int]:
    """How many flags in use are on and off."""
    found = dict(
        FeatureFlag.objects.filter(archived_at=None).order_by().values_list("enabled").annotate(Count("pk"))
    )
    return {"on": found.get(True, 0), "off": found.get(False, 0)}


def stopped_arms() -> dict[str, int]:
    """How many arms of each running or paused experiment take no new units, by key; 0 where all do."""
    found = dict.fromkeys(Experiment.objects.filter(state__in=IN_USE).values_list("key", flat=True), 0)
    rows = Variant.objects.filter(experiment__state__in=IN_USE, stopped_at__isnull=False)
    found.update(rows.order_by().values_list("experiment__key").annotate(Count("pk")))
    return found


def exposed_units() -> dict[str, int]:
    """How many units each running or paused experiment has exposed, in all its phases."""
    found = dict.fromkeys(Experiment.objects.filter(state__in=IN_USE).values_list("key", flat=True), 0)
    rows = ExposureDay.objects.filter(experiment__state__in=IN_USE)
    found.update(rows.order_by().values_list("experiment__key").annotate(Sum("units")))
    return found


def sample_ratios() -> dict[str, tuple[datetime | None, bool | None]]:
    """Of each running or paused experiment: when it was last analysed, and whether its arms hold their shares.

    None where it was not analysed yet, or too few units were there to say.
    """
    latest = Analysis.objects.filter(experiment=OuterRef("pk")).order_by("-as_of")
    rows = Experiment.objects.filter(state__in=IN_USE).annotate(
        analysed=Subquery(latest.values("as_of")[:1]),
        srm=Subquery(latest.annotate(found=KeyTransform("srm", "result")).values("found")[:1]),
    )
    return {
        key: (analysed, srm.get("ok") if isinstance(srm, dict) else None)
        for key, analysed, srm in rows.values_list("key", "analysed", "srm")
    }
