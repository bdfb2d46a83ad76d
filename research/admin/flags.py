"""Feature flags: what they serve, to whom, and switching them."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.admin.steps import KeptRowsAdmin
from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.selectors.audit_events import find_audit_events
from agent_factory_site.common.templatetags.agent_factory import ago
from research.models import FeatureFlag
from research.selectors.flags import get_flag
from research.services.flags import archive_flag, change_flag, create_flag, disable_flag, enable_flag

from .flag_form import FlagForm, in_words, rule_words

STATE_COLOURS = {"on": "success", "off": None, "archived": "warning"}


def state_of(flag: FeatureFlag) -> str:
    """On, off or archived."""
    if flag.archived_at is not None:
        return "archived"
    return "on" if flag.enabled else "off"


class StateFilter(ChoiceFilter):
    """On, off or archived; archived ones are hidden unless asked for."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [("on", "On"), ("off", "Off"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value == "archived":
            return queryset.exclude(archived_at=None)
        in_use = queryset.filter(archived_at=None)
        return in_use.filter(enabled=self.value == "on") if self.value in ("on", "off") else in_use


class KindFilter(ChoiceFilter):
    """Of which type the values are."""

    title = label = "Type"
    parameters = ("type",)

    def options(self) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in FeatureFlag.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(kind=self.value) if self.value else queryset


@admin.register(FeatureFlag)
class FeatureFlagAdmin(KeptRowsAdmin):
    """Flags are made, changed and switched through their services."""

    scopes: ClassVar = {"view": "research:read"}
    write_scope = "research:write"

    list_display = (
        "shown_key",
        "state",
        "shown_kind",
        "shown_default",
        "shown_rules",
        "experiment",
        "changed",
    )
    list_filter = (StateFilter, KindFilter)
    search_fields = ("key", "name")
    search_help_text = "Key or name"
    list_select_related = ("experiment",)
    sortable_by = ()
    ordering = ("key",)
    list_before_template = "common/list_summary.html"
    change_form_template = "research/flag.html"
    empty_words = "A flag is a value that programs ask for, switched and targeted here while they run."
    actions_list = ("make",)
    actions_detail = ("edit", "enable", "disable", "archive")

    def has_enable_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether it can be switched on."""
        return self.may_change(request, object_id, enabled=False)

    def has_disable_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether it can be switched off."""
        return self.may_change(request, object_id, enabled=True)

    @display(description="Flag")
    def shown_key(self, flag: FeatureFlag) -> SafeString:
        return format_html('<code class="af-code">{}</code> {}', flag.key, flag.name)

    @display(description="State", label=STATE_COLOURS)
    def state(self, flag: FeatureFlag) -> str:
        return state_of(flag)

    @display(description="Type")
    def shown_kind(self, flag: FeatureFlag) -> str:
        return flag.get_kind_display().lower()

    @display(description="Default")
    def shown_default(self, flag: FeatureFlag) -> str:
        return flag.default_variant

    @display(description="Rules")
    def shown_rules(self, flag: FeatureFlag) -> str:
        return str(len(flag.rules)) if flag.rules else "none"

    @display(description="Changed")
    def changed(self, flag: FeatureFlag) -> SafeString:
        return ago(flag.updated_at)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        flag = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if flag is not None:
            context = {
                "flag": flag,
                "state": state_of(flag),
                "variants": [
                    (key, json.dumps(value, ensure_ascii=False), key == flag.default_variant)
                    for key, value in sorted(flag.variants.items())
                ],
                "rules": [rule_words(rule) for rule in flag.rules],
                "changes": find_audit_events(
                    target_type="research.FeatureFlag", target_id=str(flag.pk)
                ).order_by("-at", "-id")[:20],
                "host": request.build_absolute_uri("/").rstrip("/"),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="New flag",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["make"],
        url_path="new",
    )
    def make(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=FlagForm,
            perform=lambda form: self._made(request, form),
            permitted=self.may_write(request),
            title="New flag",
            intro="Rules are asked in order, then the experiment; the default variant is for everyone else.",
            submit="Make the flag",
            cancel_url=reverse("admin:research_featureflag_changelist"),
            extra={"grid": True},
        )

    def _made(self, request: HttpRequest, form: FlagForm) -> HttpResponse:
        try:
            flag = create_flag(body=form.body())
        except Invalid as error:
            raise in_words(error) from None
        messages.success(request, f"The flag {flag.key} is {state_of(flag)}.")
        return HttpResponseRedirect(self.page_of(flag.pk))

    @action(description="Change", icon="edit", permissions=["edit"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        flag = get_flag(UUID(object_id))
        return service_form_page(
            self,
            request,
            form=partial(FlagForm, flag=flag),
            perform=lambda form: self._changed(request, flag, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Change {flag.key}",
            intro="A change holds from the next request on.",
            submit="Change the flag",
            cancel_url=self.page_of(flag.pk),
            extra={"grid": True},
        )

    def _changed(self, request: HttpRequest, flag: FeatureFlag, form: FlagForm) -> HttpResponse:
        try:
            change_flag(flag_id=flag.pk, changes=form.body())
        except Invalid as error:
            raise in_words(error) from None
        messages.success(request, f"The flag {flag.key} is changed.")
        return HttpResponseRedirect(self.page_of(flag.pk))

    @action(
        description="Switch on",
        icon="toggle_on",
        permissions=["enable"],
        dialog={
            "title": "Switch this flag on?",
            "description": "From the next request on programs are served its variants.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Switch it on",
        },
    )
    def enable(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{enable_flag(flag_id=UUID(object_id))} is on.")
        return self.back_to(object_id)

    @action(
        description="Switch off",
        icon="toggle_off",
        permissions=["disable"],
        dialog={
            "title": "Switch this flag off?",
            "description": "From the next request on programs use their own default.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Switch it off",
        },
    )
    def disable(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{disable_flag(flag_id=UUID(object_id))} is off.")
        return self.back_to(object_id)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["edit"],
        dialog={
            "title": "Archive this flag?",
            "description": "Programs are told that there is no such flag, and its key stays taken.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{archive_flag(flag_id=UUID(object_id))} is archived.")
        return self.back_to(object_id)
