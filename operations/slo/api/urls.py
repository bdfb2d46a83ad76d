"""Below ``/api/v1/operations/``: service levels."""

from __future__ import annotations

from django.urls import path

from . import definitions, remarks, reports, samples, status

urlpatterns = [
    path("maintenance-windows", definitions.MaintenanceWindowsView.as_view(), name="maintenance-windows"),
    path(
        "maintenance-windows/<uuid:window>",
        definitions.MaintenanceWindowView.as_view(),
        name="maintenance-window",
    ),
    path(
        "maintenance-windows/<uuid:window>/archive",
        definitions.MaintenanceWindowArchiveView.as_view(),
        name="maintenance-window-archive",
    ),
    path("slis", definitions.SlisView.as_view(), name="slis"),
    path("slis/<str:key>", definitions.SliView.as_view(), name="sli"),
    path("slis/<str:key>/archive", definitions.SliArchiveView.as_view(), name="sli-archive"),
    path("slis/<str:key>/samples", samples.SamplesView.as_view(), name="sli-samples"),
    path("slos", definitions.SlosView.as_view(), name="slos"),
    path("slos/<str:slo>", definitions.SloView.as_view(), name="slo"),
    path("slos/<str:slo>/adjustments", remarks.AdjustmentsView.as_view(), name="slo-adjustments"),
    path("slos/<str:slo>/annotations", remarks.AnnotationsView.as_view(), name="slo-annotations"),
    path("slos/<str:slo>/groups", status.SloGroupsView.as_view(), name="slo-groups"),
    path("slos/<str:slo>/history", status.SloHistoryView.as_view(), name="slo-history"),
    path(
        "slos/<str:slo>/prometheus-rules",
        status.PrometheusRulesView.as_view(),
        name="slo-prometheus-rules",
    ),
    path("slos/<str:slo>/reports", reports.ReportsView.as_view(), name="slo-reports"),
    path("slos/<str:slo>/reports/<uuid:report>", reports.ReportView.as_view(), name="slo-report"),
    path("slos/<str:slo>/status", status.SloStatusView.as_view(), name="slo-status"),
    path("slos/<str:slo>/archive", definitions.SloArchiveView.as_view(), name="slo-archive"),
]
