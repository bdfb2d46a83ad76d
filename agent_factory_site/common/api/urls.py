"""Below ``/api/v1/common/``."""

from __future__ import annotations

from django.urls import path

from .allowed_networks import AllowedNetworksView, AllowedNetworkView, ArchiveAllowedNetworkView
from .api_keys import ApiKeysView, ApiKeyView, RevokeApiKeyView
from .audit_events import AuditEventsView
from .jobs import CancelJobView, JobsView, JobView

urlpatterns = [
    path("allowed-networks", AllowedNetworksView.as_view(), name="allowed-networks"),
    path("allowed-networks/<uuid:network_id>", AllowedNetworkView.as_view(), name="allowed-network"),
    path(
        "allowed-networks/<uuid:network_id>/archive",
        ArchiveAllowedNetworkView.as_view(),
        name="allowed-network-archive",
    ),
    path("api-keys", ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<uuid:key_id>", ApiKeyView.as_view(), name="api-key"),
    path("api-keys/<uuid:key_id>/revoke", RevokeApiKeyView.as_view(), name="api-key-revoke"),
    path("audit-events", AuditEventsView.as_view(), name="audit-events"),
    path("jobs", JobsView.as_view(), name="jobs"),
    path("jobs/<uuid:job_id>", JobView.as_view(), name="job"),
    path("jobs/<uuid:job_id>/cancel", CancelJobView.as_view(), name="job-cancel"),
]
