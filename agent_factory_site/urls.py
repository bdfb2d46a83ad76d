"""The URL map: the composition root of every page and endpoint."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path

from agent_factory_site.common import error_pages, health
from agent_factory_site.common.api.documentation import DocsView, RootView, SchemaView
from agent_factory_site.common.api.published_metrics import MetricsView
from agent_factory_site.desk import views
from operations.telemetry.api.urls import exporter_urls

handler400 = error_pages.bad_request
handler403 = error_pages.permission_denied
handler404 = error_pages.not_found
handler500 = error_pages.server_error

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("healthz", health.healthz, name="healthz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("", views.root, name="root"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("admin/", admin.site.urls),
    path("api/v1/financial/", include("financial.api.urls")),
    path("api/v1/research/", include("research.api.urls")),
    path("api/v1/operations/", include("operations.api.urls")),
    # Where OTEL_EXPORTER_OTLP_ENDPOINT leads to when it names this machine alone.
    *exporter_urls,
    path("ofrep/v1/", include("research.api.ofrep_urls")),
    path("api/schema", SchemaView.as_view(), name="api-schema"),
    path("api/docs", DocsView.as_view(), name="api-docs"),
    path("api/v1", RootView.as_view(), name="api-root"),
    path("api/v1/common/", include("agent_factory_site.common.api.urls")),
    # Last: whatever else is asked for below /api, the answer is a problem document.
    re_path(r"^api(?:/|$)", error_pages.unknown_api_path),
]
