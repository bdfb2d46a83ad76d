"""Where exporters send to: at the root, where they look by default, and below the API."""

from __future__ import annotations

from django.urls import path

from .otlp import LogsView, MetricsView, TracesView

exporter_urls = [
    path("v1/traces", TracesView.as_view(), name="otlp-traces"),
    path("v1/logs", LogsView.as_view(), name="otlp-logs"),
    path("v1/metrics", MetricsView.as_view(), name="otlp-metrics"),
]
