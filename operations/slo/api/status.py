"""``slos/{id}/status``, ``/groups``, ``/history`` and ``/prometheus-rules``."""

from __future__ import annotations

import json
from datetime import timedelta
from fractions import Fraction
from typing import Any, ClassVar, Final

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.fields import TextField, format_instant
from agent_factory_site.common.api.serializers import StrictSerializer, validated_query
from agent_factory_site.common.api.views import ApiView
from operations.slo.domain.burn_alerts import Condition, percent
from operations.slo.domain.prometheus_rules import Exported, prometheus_rules
from operations.slo.domain.sentences import condition_text
from operations.slo.domain.windows import format_duration, parse_duration
from operations.slo.models import Slo
from operations.slo.selectors.alert_times import AlertTimes, alert_times
from operations.slo.selectors.definitions import definition_of
from operations.slo.selectors.history import QUANTILES, History, HistoryPoint, slo_history
from operations.slo.selectors.slos import find_slo
from operations.slo.selectors.status import Status, group_statuses, slo_status

from . import status_schemas
from .definitions import READ, SLO
from .fields import MomentField

VIEWS: Final = ("after", "before")
MOST_GROUPS: Final = 1000
HISTORY_SPAN: Final = timedelta(days=1)


class LabelsField(TextField):
    """A JSON object of texts in a parameter."""

    default_error_messages = {"labels": 'Is a JSON object of texts, such as {{"agent": "writer"}}.'}

    def to_internal_value(self, data: Any) -> Any:
        text = super().to_internal_value(data)
        try:
            found = json.loads(text)
        except ValueError:
            self.fail("labels")
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            self.fail("labels")
        return found


class DurationField(TextField):
    """``5m``, ``6h`` or ``1d``."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return parse_duration(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(f"{str(error).capitalize()}.", "bad_duration") from None


class StatusQuery(StrictSerializer):
    """Of whom, when, and with or without exclusions."""

    labels = LabelsField(required=False)
    at = MomentField(required=False)
    view = serializers.ChoiceField(VIEWS, default="after")


class GroupsQuery(StrictSerializer):
    """When, and how many."""

    at = MomentField(required=False)
    view = serializers.ChoiceField(VIEWS, default="after")
    limit = serializers.IntegerField(min_value=1, max_value=MOST_GROUPS, default=100)


class HistoryQuery(StrictSerializer):
    """A time and its steps; the last day unless said."""

    labels = LabelsField(required=False)
    view = serializers.ChoiceField(VIEWS, default="after")
    start = MomentField(required=False)
    end = MomentField(required=False)
    step = DurationField(required=False)


_LABELS: Final = OpenApiParameter(
    "labels", str, description='The group of exactly these labels, as a JSON object: `{"agent": "writer"}`.'
)
_AT: Final = OpenApiParameter("at", OpenApiTypes.DATETIME, description="Now unless said.")
_VIEW: Final = OpenApiParameter(
    "view", str, enum=VIEWS, default="after", description="After exclusions are taken off, or before."
)


class SloStatusView(ApiView):
    """How an SLO stands."""

    scopes: ClassVar = {"GET": READ}

    @extend_schema(
        operation_id="slo_status",
        summary="How an SLO stands: level, budget, burn rates, alerts",
        description="`sli`, and what follows from it, is null without data: neither healthy nor unhealthy.",
        parameters=[SLO, _LABELS, _AT, _VIEW],
        responses={200: status_schemas.STATUS},
    )
    def get(self, request: Request, slo: str) -> Response:
        query = validated_query(StatusQuery, request)
        found = slo_status(find_slo(slo), query.get("labels"), query.get("at"), query["view"])
        return Response(rendered_status(found))


class SloGroupsView(ApiView):
    """How the groups of an SLO stand."""

    scopes: ClassVar = {"GET": READ}

    @extend_schema(
        operation_id="slo_groups",
        summary="How the groups of an SLO stand, the least budget left first",
        parameters=[
            SLO, _AT, _VIEW,
            OpenApiParameter("limit", int, description=f"At most {MOST_GROUPS}.", default=100),
        ],
        responses={200: status_schemas.GROUPS},
    )  # fmt: skip
    def get(self, request: Request, slo: str) -> Response:
        query = validated_query(GroupsQuery, request)
        found = group_statuses(find_slo(slo), query.get("at"), query["view"])
        shown = [rendered_status(one) for one in found[: query["limit"]]]
        return Response({"count": len(found), "groups": shown})


class SloHistoryView(ApiView):
    """How an SLO went."""

    scopes: ClassVar = {"GET": READ}

    @extend_schema(
        operation_id="slo_history",
        summary="How an SLO went, by steps of time",
        description="At most 500 steps; without `step` the shortest that makes so many, without a time the last day. "
        "The budget of a step is that of the window that ended with it. `alerts` are the times at which burn "
        "conditions held, as evaluations found them; `until` is null where one still did at the end.",
        parameters=[
            SLO, _LABELS, _VIEW,
            OpenApiParameter("start", OpenApiTypes.DATETIME),
            OpenApiParameter("end", OpenApiTypes.DATETIME),
            OpenApiParameter("step", str, description="Such as 5m, 1h or 1d."),
        ],
        responses={200: status_schemas.HISTORY},
    )  # fmt: skip
    def get(self, request: Request, slo: str) -> Response:
        query = validated_query(HistoryQuery, request)
        row = find_slo(slo)
        end = query.get("end") or timezone.now()
        found = slo_history(
            row,
            query.get("labels"),
            start=query.get("start") or end - HISTORY_SPAN,
            end=end,
            step=query.get("step"),
            view=query["view"],
            quantiles=row.sli.kind != "ratio",
        )
        return Response(rendered_history(found, alert_times(row, found.labels, found.interval)))


class PrometheusRulesView(ApiView):
    """An SLO for Prometheus."""

    scopes: ClassVar = {"GET": READ}

    @extend_schema(
        operation_id="slo_prometheus_rules",
        summary="Recording and alerting rules for Prometheus",
        description="For the counters that `/metrics` publishes of the SLO.",
        parameters=[SLO],
        responses={(200, "application/yaml"): OpenApiResponse(OpenApiTypes.STR, "A rule file.")},
    )
    def get(self, request: Request, slo: str) -> HttpResponse:
        row = find_slo(slo)
        response = HttpResponse(
            prometheus_rules(exported(row)), content_type="application/yaml; charset=utf-8"
        )
        response["Content-Disposition"] = f'attachment; filename="{row.key}-rules.yaml"'
        return response


def exported(slo: Slo) -> Exported:
    """An SLO as its rules for Prometheus need it."""
    definition = definition_of(slo)
    owner = slo.team.key if slo.team is not None else slo.sli.key
    return Exported(
        key=slo.key,
        name=slo.name,
        service=owner,
        target=definition.target,
        window=definition.window,
        rules=definition.rules,
    )


def rendered_status(found: Status) -> dict[str, Any]:
    """A status in JSON: ratios and counts are numbers, what is unknown is null."""
    budget = found.budget
    return {
        "slo": found.slo.key,
        "labels": found.labels,
        "view": found.view,
        "at": format_instant(found.at),
        "state": found.state,
        "sli": number(found.sli),
        "target": number(found.definition.target),
        "window": {
            "start": format_instant(found.window.start),
            "end": format_instant(found.window.end),
            "text": found.definition.window.text,
        },
        "good": found.level.good,
        "total": found.level.total,
        "reason": found.level.reason,
        "budget": {
            "total": number(budget.total),
            "spent": budget.spent,
            "left": number(budget.left),
            "left_ratio": number(budget.left_ratio),
            "minutes_left": number(budget.minutes_left),
            "minutes": number(budget.minutes),
            "adjusted": number(budget.adjusted),
            "unit": "minutes" if budget.budgeting == "timeslices" else "events",
        },
        "burn_rates": {format_duration(length): number(burn.rate) for length, burn in found.burns.items()},
        "coverage": number(found.coverage),
        "excluded_minutes": found.excluded_minutes,
        "outlook": found.exhaustion.outlook,
        "exhausts_at": None if found.exhaustion.at is None else format_instant(found.exhaustion.at),
        "alerts": [rendered_condition(one, found) for one in found.conditions],
        "note": found.note,
        "explained": found.sentences,
        "text": found.text,
    }


def rendered_condition(one: Condition, found: Status) -> dict[str, Any]:
    """A burn condition in JSON."""
    since = found.since.get(one.rule.key)
    return {
        "rule": one.rule.key,
        "severity": one.rule.severity,
        "state": one.state,
        "since": None if since is None else format_instant(since),
        "factor": number(one.rule.factor),
        "long": {"window": format_duration(one.rule.long), "burn_rate": number(one.long)},
        "short": {"window": format_duration(one.rule.short), "burn_rate": number(one.short)},
        "note": one.note,
        "text": condition_text(one),
    }


def rendered_history(found: History, alerts: AlertTimes) -> dict[str, Any]:
    """A history in JSON."""
    return {
        "slo": found.slo.key,
        "labels": found.labels,
        "view": found.view,
        "target": number(found.definition.target),
        "target_text": percent(found.definition.target),
        "start": format_instant(found.interval.start),
        "end": format_instant(found.interval.end),
        "step": format_duration(found.step),
        "note": found.note,
        "points": [_point(point) for point in found.points],
        "alerts": [
            {
                "rule": one.rule,
                "severity": one.severity,
                "state": one.state,
                "from": format_instant(one.start),
                "until": None if one.end is None else format_instant(one.end),
            }
            for one in alerts.times
        ],
        "alerts_left_out": alerts.left_out,
    }


def _point(point: HistoryPoint) -> dict[str, Any]:
    rendered = {
        "start": format_instant(point.start),
        "good": point.good,
        "total": point.total,
        "sli": number(point.sli),
        "burn_rate": number(point.burn),
        "minutes": point.minutes,
        "bad_minutes": point.bad_minutes,
        "budget_left": number(point.budget.left),
        "budget_left_ratio": number(point.budget.left_ratio),
    }
    if point.quantiles:
        rendered["quantiles"] = {f"p{q * 100:g}": value for q, value in zip(QUANTILES, point.quantiles)}
    return rendered


def number(value: Fraction | None) -> float | int | None:
    """A JSON number; a whole one where it is whole."""
    if value is None:
        return None
    return value.numerator if value.denominator == 1 else float(value)
