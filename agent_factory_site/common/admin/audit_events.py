"""The audit trail: who did what, when, with the values before and after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import AuditEvent, User
from agent_factory_site.common.templatetags.agent_factory import utc

from .actors import KIND_WORDS, actor_names
from .base import ReadOnlyAdmin
from .filters import ChoiceFilter, PeriodFilter, SuggestingFilter
from .keyset import KeysetAdminMixin

DIFFS = ("create", "update", "delete", "add", "remove")
"""Actions whose changes are pairs of before and after; those of others are facts about a batch."""

ACTIONS = (*DIFFS, "record", "register")


class AtFilter(PeriodFilter):
    """When it was done."""

    field = "at"


class ActorFilter(SuggestingFilter):
    """``user:anna``, ``user:7``, ``api_key:…``, ``task:…`` or a kind alone."""

    title = label = "Actor"
    parameters = ("actor",)
    placeholder = "user:admin"
    hint = "A kind (user, api_key, task, command, system), with a colon and a name or id to narrow it."

    def suggestions(self) -> list[str]:
        return [f"{kind}:" for kind in KIND_WORDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        kind, _, name = self.value.partition(":")
        if not kind:
            return queryset
        if kind not in KIND_WORDS:
            return self.refuse(
                queryset, f"An actor is one of {', '.join(KIND_WORDS)}, with a name: user:admin."
            )
        queryset = queryset.filter(actor_kind=kind)
        if not name:
            return queryset
        if kind == "user" and not name.isdecimal():
            pk = User.objects.filter(username=name).values_list("pk", flat=True).first()
            name = str(pk) if pk is not None else ""
        return queryset.filter(actor_id=name)


class ActionFilter(SuggestingFilter):
    """What was done."""

    title = label = "Action"
    parameters = ("action",)
    placeholder = "update"

    def suggestions(self) -> Sequence[str]:
        return ACTIONS

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(action=self.value) if self.value else queryset


class TargetTypeFilter(ChoiceFilter):
    """What it was done to."""

    title = label = "Target"
    parameters = ("target",)

    def options(self) -> list[tuple[str, str]]:
        models = sorted(
            (model for model in apps.get_models() if model._meta.app_label not in ("admin", "sessions")),
            key=lambda model: str(model._meta.verbose_name).lower(),
        )
        return [(model._meta.label, str(model._meta.verbose_name).capitalize()) for model in models]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(target_type=self.value) if self.value else queryset


class TargetIdFilter(SuggestingFilter):
    """One row."""

    title = label = "Target id"
    parameters = ("target_id",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(target_id=self.value) if self.value else queryset


class RequestFilter(SuggestingFilter):
    """Everything one request or task did."""

    title = label = "Request id"
    parameters = ("request",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(request_id=self.value) if self.value else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(KeysetAdminMixin, ReadOnlyAdmin):
    """Read only: the database refuses to change a recorded event."""

    scopes: ClassVar = {"view": "common:read"}
    keyset = ("-at", "-id")

    list_display = ("when", "who", "what", "target", "summary")
    list_filter = (AtFilter, ActorFilter, ActionFilter, TargetTypeFilter, TargetIdFilter, RequestFilter)
    list_before_template = "common/list_summary.html"
    change_form_template = "common/audit_event.html"

    def prepare_page(self, request: HttpRequest, rows: list[AuditEvent]) -> None:
        names = actor_names(Actor(row.actor_kind, row.actor_id) for row in rows)  # type: ignore[arg-type]
        for row in rows:
            name = names[Actor(row.actor_kind, row.actor_id)]  # type: ignore[arg-type]
            row.actor_name = name  # type: ignore[attr-defined]

    @display(description="Time (UTC)")
    def when(self, event: AuditEvent) -> str:
        return utc(event.at).removesuffix(" UTC")

    @display(description="Actor")
    def who(self, event: Any) -> SafeString:
        return format_html(
            '<span class="af-muted">{}</span> {}',
            KIND_WORDS.get(event.actor_kind, event.actor_kind),
            event.actor_name,
        )

    @display(
        description="Action",
        label={
            "create": "success", "record": "success", "add": "success", "update": "info", "delete": "danger",
               "remove": "danger"},
    )  # fmt: skip
    def what(self, event: AuditEvent) -> str:
        return event.action

    @display(description="Target")
    def target(self, event: AuditEvent) -> SafeString:
        name = model_name(event.target_type)
        if not event.target_id:
            return format_html("{}", name)
        return format_html('{} <code class="af-code af-clip">{}</code>', name, event.target_id)

    @display(description="Changes")
    def summary(self, event: AuditEvent) -> SafeString:
        if event.action in DIFFS:
            words = ", ".join(event.changes)
        else:
            words = " · ".join(f"{name} {_written(value)}" for name, value in event.changes.items())
        return format_html('<span class="af-clip af-clip-wide">{}</span>', words or "–")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        event = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if event is not None:
            self.prepare_page(request, [event])
            diff = event.action in DIFFS
            context = {
                "event": event,
                "actor_kind": KIND_WORDS.get(event.actor_kind, event.actor_kind),
                "target_name": model_name(event.target_type),
                "target_url": target_url(event.target_type, event.target_id),
                "changes": _pairs(event.changes) if diff else [],
                "facts": [] if diff else [(name, _written(value)) for name, value in event.changes.items()],
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})


def model_name(label: str) -> str:
    """The readable name of a model by its label; the label itself for one that no longer exists."""
    try:
        return str(apps.get_model(label)._meta.verbose_name)
    except (LookupError, ValueError):
        return label


def target_url(label: str, pk: str) -> str:
    """The admin page of the row an event is about, or an empty string where there is none."""
    if not pk:
        return ""
    app, _, model = label.lower().partition(".")
    try:
        return reverse(f"admin:{app}_{model}_change", args=[pk])
    except NoReverseMatch:
        return ""


def _pairs(changes: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "before": _written(before), "after": _written(after)}
        for name, (before, after) in changes.items()
    ]


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
