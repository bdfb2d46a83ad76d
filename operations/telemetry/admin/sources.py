"""Who sends telemetry, when last, and what became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.admin.base import ReadOnlyAdmin
from agent_factory_site.common.admin.filters import ChoiceFilter
from agent_factory_site.common.models import ApiKey
from agent_factory_site.common.templatetags.agent_factory import ago, compact
from operations.telemetry.models import TelemetrySource

SILENT_AFTER = timedelta(days=1)


class StandingFilter(ChoiceFilter):
    """Sources that somebody should look at."""

    title = label = "Standing"
    parameters = ("standing",)

    def options(self) -> list[tuple[str, str]]:
        return [
            ("rejected", "Something was rejected"),
            ("refused", "A request was refused"),
            ("ignored", "Something was ignored"),
            ("remark", "Has a remark"),
            ("silent", "Silent for a day"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[TelemetrySource]
    ) -> QuerySet[TelemetrySource]:
        if self.value in ("rejected", "refused", "ignored"):
            return queryset.filter(**{f"{self.value}__gt": 0})
        if self.value == "remark":
            return queryset.exclude(remark="")
        if self.value == "silent":
            return queryset.filter(last_seen_at__lt=timezone.now() - SILENT_AFTER)
        return queryset


@admin.register(TelemetrySource)
class TelemetrySourceAdmin(ReadOnlyAdmin):
    """One service under one key with one SDK a row, the last heard of first."""

    scopes: ClassVar = {"view": "operations:read"}

    list_display = (
        "shown_service", "key_name", "sdk_name", "last", "shown_requests", "shown_accepted", "shown_rejected",
        "shown_refused", "shown_ignored", "shown_duplicates", "shown_remark",
    )  # fmt: skip
    list_display_links = ("shown_service",)
    list_filter = (StandingFilter,)
    search_fields = ("service", "key", "sdk")
    search_help_text = "Service, key or SDK"
    ordering = ("-last_seen_at", "-id")
    sortable_by = ()
    list_before_template = "common/list_summary.html"
    change_form_template = "operations/source.html"
    empty_words = (
        "Whoever sends traces stands here: set OTEL_EXPORTER_OTLP_ENDPOINT and a key of the scope ingest."
    )

    @display(description="Service")
    def shown_service(self, source: TelemetrySource) -> SafeString:
        if not source.service:
            return format_html(
                '<span class="af-unknown" title="{}">unnamed</span>', "It states no service.name."
            )
        return format_html('<span class="af-strong af-clip">{}</span>', source.service)

    @display(description="API key")
    def key_name(self, source: TelemetrySource) -> SafeString:
        return format_html('<code class="af-code af-nowrap">{}</code>', source.key or "–")

    @display(description="SDK")
    def sdk_name(self, source: TelemetrySource) -> str:
        return f"{source.sdk} {source.sdk_version}".strip() or "–"

    @display(description="Last seen")
    def last(self, source: TelemetrySource) -> SafeString:
        return ago(source.last_seen_at)

    @display(description="Requests")
    def shown_requests(self, source: TelemetrySource) -> SafeString:
        return compact(source.requests)

    @display(description="Accepted")
    def shown_accepted(self, source: TelemetrySource) -> SafeString:
        return compact(source.accepted)

    @display(description="Rejected")
    def shown_rejected(self, source: TelemetrySource) -> SafeString:
        if not source.rejected:
            return compact(0)
        return format_html('<span class="af-badge af-badge-bad">{}</span>', compact(source.rejected))

    @display(description="Refused")
    def shown_refused(self, source: TelemetrySource) -> SafeString:
        if not source.refused:
            return compact(0)
        return format_html('<span class="af-badge af-badge-bad">{}</span>', compact(source.refused))

    @display(description="Ignored")
    def shown_ignored(self, source: TelemetrySource) -> SafeString:
        return compact(source.ignored)

    @display(description="Twice")
    def shown_duplicates(self, source: TelemetrySource) -> SafeString:
        return compact(source.duplicates)

    @display(description="")
    def shown_remark(self, source: TelemetrySource) -> SafeString | str:
        if not source.remark:
            return ""
        return format_html('<span class="af-badge af-badge-warn" title="{}">remark</span>', source.remark)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        source = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if source is not None:
            ignored = {str(reason): int(count) for reason, count in source.ignored_by.items()}
            context = {
                "source": source,
                "title": str(source),
                "ignored_by": sorted(ignored.items(), key=lambda item: (-item[1], item[0])),
                "key": ApiKey.objects.filter(prefix=source.key).first() if source.key else None,
                "silent": source.last_seen_at < timezone.now() - SILENT_AFTER,
                "spans": source.accepted + source.rejected + source.ignored + source.duplicates,
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
