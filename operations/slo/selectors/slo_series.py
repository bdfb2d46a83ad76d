"""Series of SLOs: that of all events, and those of combinations of labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.db.models import Max, Q, QuerySet

from agent_factory_site.common.errors import FieldError, Invalid, NotFound
from operations.slo.domain.label_sets import ALL, labels_hash
from operations.slo.models import Slo, SloCondition, SloObjective, SloSeries

from .definitions import definition_of

EVERYTHING = labels_hash(ALL)
_FEW: Final = 200


def few(field: str, wanted: Collection[Any]) -> Q:
    """Those of ``wanted`` where these are few; else all, for naming many takes longer than reading the rest."""
    return Q(**{f"{field}__in": wanted}) if len(wanted) <= _FEW else Q()


def latest_objectives(slos: Iterable[Slo]) -> dict[UUID, int]:
    """For each SLO the objective that counts for it, or counted last; one query."""
    wanted = {slo.pk for slo in slos}
    rows = SloObjective.objects.filter(few("slo", wanted)).order_by()
    found = rows.values("slo_id").annotate(latest=Max("pk")).values_list("slo_id", "latest")
    return {slo: latest for slo, latest in found if slo in wanted}


def whole_series(slos: Iterable[Slo]) -> dict[UUID, int]:
    """For each SLO that has data the series of all events of its present objective; two queries."""
    objectives = {pk: slo for slo, pk in latest_objectives(slos).items()}
    rows = SloSeries.objects.filter(few("objective", objectives), labels_hash=EVERYTHING).order_by()
    return {
        objectives[objective]: pk
        for pk, objective in rows.values_list("pk", "objective_id")
        if objective in objectives
    }


def find_series(slo: Slo, labels: Mapping[str, str]) -> SloSeries | None:
    """The series of exactly these labels; None for all events as long as there are none.

    Raises :class:`Invalid` where the SLO does not group by these labels, :class:`NotFound` for a group without data.
    """
    if set(labels) != set(slo.group_by) and labels:
        grouped = ", ".join(slo.group_by) or "none"
        detail = f"Names each label that the SLO groups by, or none: {grouped}."
        raise Invalid.fields(FieldError("?labels", "unknown_group", detail))
    latest = SloObjective.objects.filter(slo=slo).order_by("-pk").values("pk")[:1]
    key = labels_hash(tuple(sorted(labels.items())))
    row: SloSeries | None = SloSeries.objects.filter(objective=latest, labels_hash=key).first()
    if row is None and labels:
        raise NotFound("not_found", "There is no data of this group.")
    return row


def group_series(slo: Slo) -> QuerySet[Any]:
    """The series of groups of labels of the present objective."""
    objective = latest_objectives([slo]).get(slo.pk)
    rows: QuerySet[Any] = SloSeries.objects.filter(objective=objective)
    return rows.exclude(labels_hash=EVERYTHING).order_by("pk")


def conditions_now(slos: int) -> list[tuple[str, str, str, str]]:
    """The conditions of all events of the first SLOs by key: key, rule, severity, state."""
    rows = list(Slo.objects.filter(archived_at__isnull=True).order_by("key")[:slos])
    found = {row.pk: row for row in rows}
    series = set(whole_series(rows).values())
    severities = {row.pk: {rule.key: rule.severity for rule in definition_of(row).rules} for row in rows}
    conditions = SloCondition.objects.filter(slo__archived_at__isnull=True).order_by("slo__key", "rule")
    return [
        (found[slo].key, rule, severities[slo][rule], state)
        for slo, number, rule, state in conditions.values_list("slo_id", "series_id", "rule", "state")
        if number in series and rule in severities[slo]
    ]
