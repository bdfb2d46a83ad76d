"""Entities: registered on sight by costs and runs, given readable names here."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.models import Entity
from agent_factory_site.common.models.entity import FLEET_TYPE
from agent_factory_site.common.templatetags.agent_factory import ago

from .base import ScopedAdmin
from .filters import SuggestingFilter


class TypeFilter(SuggestingFilter):
    """Agents, teams, users, experiments or whatever senders call theirs."""

    title = label = "Type"
    parameters = ("type",)
    placeholder = "agent"

    def suggestions(self) -> list[str]:
        return ["agent", "team", "user", "experiment", "project", "customer"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entity]) -> QuerySet[Entity]:
        return queryset.filter(type=self.value) if self.value else queryset


@admin.register(Entity)
class EntityAdmin(ScopedAdmin):
    """A name for reading may be given; type and key are what senders say, and stay."""

    scopes: ClassVar = {"view": "common:read", "change": "common:write"}

    list_display = ("label", "type", "key", "seen")
    list_filter = (TypeFilter,)
    search_fields = ("key", "name")
    search_help_text = "Key or name"
    ordering = ("type", "key")
    fields = ("type", "key", "name", "created_at")
    readonly_fields = ("type", "key", "created_at")
    actions = None
    empty_words = "Agents, teams and users appear here with the first cost that names them."
    change_form_before_template = "common/entity_note.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entity]:
        rows: QuerySet[Entity] = super().get_queryset(request).exclude(type=FLEET_TYPE)
        return rows

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description="Name", ordering="name")
    def label(self, entity: Entity) -> str:
        return entity.name or entity.key

    @display(description="First seen", ordering="created_at")
    def seen(self, entity: Entity) -> SafeString:
        return ago(entity.created_at)
