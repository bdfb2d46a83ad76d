"""``/api/v1/common/jobs``."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.models import Job
from agent_factory_site.common.selectors.jobs import find_jobs, job_by_id, progress_of
from agent_factory_site.common.services.jobs import cancel_job

from .fields import InstantField
from .serializers import StrictSerializer
from .views import ApiListView, ApiView


class JobSerializer(StrictSerializer):
    """Background work and how far it is."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=Job.State.choices)
    done = serializers.IntegerField(help_text="Items done so far.")
    total = serializers.IntegerField(allow_null=True, help_text="Items in all; null while unknown.")
    share = serializers.SerializerMethodField(help_text="How much is done, 0 to 1; null while unknown.")
    rate = serializers.SerializerMethodField(help_text="Items per second; null while unknown.")
    seconds_left = serializers.SerializerMethodField(help_text="Expected time left; null while unknown.")
    note = serializers.CharField(source="progress_note")
    result = serializers.JSONField(help_text="What came of it, once it has succeeded.")
    error = serializers.CharField(help_text="Why it failed; empty otherwise.")
    attempts = serializers.IntegerField(help_text="How many workers have begun it.")
    created_at = InstantField()
    started_at = InstantField(allow_null=True)
    finished_at = InstantField(allow_null=True)

    def get_share(self, job: Job) -> float | None:
        return progress_of(job).share

    def get_rate(self, job: Job) -> float | None:
        return progress_of(job).rate

    def get_seconds_left(self, job: Job) -> float | None:
        left = progress_of(job).left
        return left.total_seconds() if left is not None else None


class JobQuery(StrictSerializer):
    """Filters of the list of jobs."""

    kind = serializers.CharField(required=False)
    state = serializers.ChoiceField(choices=Job.State.choices, required=False)


class JobsView(ApiListView):
    """Background jobs."""

    scopes: ClassVar = {"GET": "common:read"}
    serializer_class = JobSerializer
    query_class = JobQuery
    ordering = ("-created_at", "-id")

    def rows(self, query: dict[str, Any]) -> QuerySet[Job]:
        return find_jobs(**query)

    @extend_schema(operation_id="list_jobs", summary="List background jobs, newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request)


class JobView(ApiView):
    """One background job."""

    scopes: ClassVar = {"GET": "common:read"}

    @extend_schema(operation_id="get_job", summary="One background job", responses={200: JobSerializer})
    def get(self, request: Request, job_id: UUID) -> Response:
        return Response(JobSerializer(job_by_id(job_id)).data)


class CancelJobView(ApiView):
    """Stopping a background job."""

    scopes: ClassVar = {"POST": "common:write"}

    @extend_schema(
        operation_id="cancel_job",
        summary="Cancel a background job",
        description=(
            "One that waits is cancelled at once; one that runs stops within seconds and keeps what it has "
            "done. A job that has ended answers 409 `job_finished`."
        ),
        request=None,
        responses={200: JobSerializer},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        return Response(JobSerializer(cancel_job(job_id=job_id)).data)
