"""``…/experiments/{experiment}/analyze``: reading all units anew."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.jobs import JobSerializer
from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.models import Job
from research.selectors.analysis import analysed_results
from research.services.analyse import request_analysis

from . import result_schemas as schemas
from .experiments import NAME
from .results import rendered


class AnalyzeView(ApiView):
    """Analysing an experiment on demand."""

    scopes: ClassVar = {"POST": "research:write"}

    @extend_schema(
        operation_id="analyze_experiment",
        summary="Read all units anew: quantiles, winsorised values, segments, days, looks and guardrails",
        description="Answers the results when it is done. Above 100,000 units a job does it, and the answer is 202. "
        "Running experiments are analysed every hour.",
        parameters=[NAME],
        request=None,
        responses={200: schemas.ResultsSchema, 202: OpenApiResponse(JobSerializer, "A job does it.")},
    )
    def post(self, request: Request, experiment: str) -> Response:
        made = request_analysis(experiment=experiment)
        if isinstance(made, Job):
            location = f"/api/v1/common/jobs/{made.pk}"
            return Response(JobSerializer(made).data, status=202, headers={"Location": location})
        return Response(rendered(analysed_results(experiment)))
