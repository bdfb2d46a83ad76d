"""``/metrics``: every published number, for Prometheus and whatever else reads its formats."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from agent_factory_site.common.exposition import OPENMETRICS, PROMETHEUS, exposition
from agent_factory_site.common.metric_readings import read_all
from agent_factory_site.common.scrape_networks import from_allowed_network

from .permissions import HasScope
from .views import ApiView

READ: Final = "metrics:read"


class AnyFormat(BaseContentNegotiation):
    """Errors are problem documents whatever was asked for; the view itself looks at ``Accept``."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class MetricsAccess(HasScope):
    """A key or a person with the scope, or a caller from an allowed network."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in ("GET", "HEAD") and from_allowed_network(request._request):
            return True
        return super().has_permission(request, view)


class MetricsView(ApiView):
    """Read from the database at the moment of the request, so that every process says the same."""

    scopes: ClassVar = {"GET": READ}
    permission_classes = [MetricsAccess]
    content_negotiation_class = AnyFormat

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        openmetrics = wants_openmetrics(request._request)
        text = exposition(read_all(), openmetrics=openmetrics)
        answer = HttpResponse(text.encode(), content_type=OPENMETRICS if openmetrics else PROMETHEUS)
        answer["Vary"] = "Accept"
        return answer


def wants_openmetrics(request: HttpRequest) -> bool:
    """Whether ``Accept`` prefers OpenMetrics 1.0 to Prometheus' own text, which is what it gets otherwise."""
    for offered in request.accepted_types:
        kind = f"{offered.main_type}/{offered.sub_type}"
        version = offered.params.get("version")
        if kind == "application/openmetrics-text" and version in (None, "1.0.0", "0.0.1"):
            return True
        if kind == "text/plain" and version in (None, "0.0.4"):
            return False
    return False
