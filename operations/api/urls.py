"""Below ``/api/v1/operations/``: gathers the urls of the app's rooms."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from operations.telemetry.api.urls import exporter_urls

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("operations.fleet.api.urls")),
    path("", include("operations.health.api.urls")),
    path("", include("operations.slo.api.urls")),
    path("otlp/", include(exporter_urls)),
]
