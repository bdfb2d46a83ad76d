"""Below ``/api/v1/operations/``."""

from __future__ import annotations

from django.urls import path

from . import health_checks as views

urlpatterns = [
    path("health-checks", views.HealthChecksView.as_view(), name="health-checks"),
    path("health-checks/<str:check>", views.HealthCheckView.as_view(), name="health-check"),
    path(
        "health-checks/<str:check>/archive",
        views.HealthCheckArchiveView.as_view(),
        name="health-check-archive",
    ),
    path("health-checks/<str:check>/pause", views.HealthCheckPauseView.as_view(), name="health-check-pause"),
    path(
        "health-checks/<str:check>/resume", views.HealthCheckResumeView.as_view(), name="health-check-resume"
    ),
    path("health-checks/<str:check>/heartbeat", views.HeartbeatView.as_view(), name="health-check-heartbeat"),
    path(
        "health-checks/<str:check>/results",
        views.HealthCheckResultsView.as_view(),
        name="health-check-results",
    ),
]
