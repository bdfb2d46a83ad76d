"""Allowed networks: opened here, closed here."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agent_factory_site.common.models import AllowedNetwork
from agent_factory_site.common.services.allowed_networks import (
    MAX_PURPOSE,
    allow_network,
    archive_allowed_network,
)
from agent_factory_site.common.templatetags.agent_factory import ago

from .actors import actor_words
from .base import ScopedAdmin, refusals_as_messages
from .filters import ChoiceFilter
from .service_form import service_form_page

INTRO = (
    "Health probes and webhooks reach public addresses alone. What they may reach inside the house is opened here, "
    "network by network."
)


class AllowForm(forms.Form):
    """What to open, and what for."""

    cidr = forms.CharField(
        label="Network",
        max_length=43,
        help_text="An address or a network in CIDR notation: private, shared, loopback or unique local.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "10.20.0.0/16", "autofocus": True}),
    )
    port = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=65535,
        help_text="Empty: every port. Loopback needs one.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    purpose = forms.CharField(
        max_length=MAX_PURPOSE,
        help_text="Which probe or receiver needs it.",
        widget=UnfoldAdminTextInputWidget,
    )


class StateFilter(ChoiceFilter):
    """Open or closed again."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value:
            case "open":
                return queryset.filter(archived_at=None)
            case "closed":
                return queryset.exclude(archived_at=None)
        return queryset


@admin.register(AllowedNetwork)
class AllowedNetworkAdmin(ScopedAdmin):
    """Networks are opened and closed through their services and never edited."""

    scopes: ClassVar = {"view": "common:read", "add": "common:admin"}

    list_display = ("network", "shown_port", "purpose", "state", "opened")
    list_filter = (StateFilter,)
    search_fields = ("cidr", "purpose")
    search_help_text = "Network or purpose"
    sortable_by = ()
    ordering = ("-id",)
    actions = None
    empty_words = "Probes and webhooks reach public addresses alone."
    fields = ("network", "shown_port", "purpose", "state", "opened", "opened_by", "closed")
    readonly_fields = fields
    actions_detail = ("close",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_close_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may open networks may close them, as long as they are open."""
        if not self.has_add_permission(request):
            return False
        return object_id is None or AllowedNetwork.objects.filter(pk=object_id, archived_at=None).exists()

    @display(description="Network")
    def network(self, row: AllowedNetwork) -> SafeString:
        return format_html('<code class="af-code">{}</code>', row.cidr)

    @display(description="Port")
    def shown_port(self, row: AllowedNetwork) -> str:
        return str(row.port or "every port")

    @display(description="State", label={"open": "success", "closed": "warning"})
    def state(self, row: AllowedNetwork) -> str:
        return "open" if row.archived_at is None else "closed"

    @display(description="Opened")
    def opened(self, row: AllowedNetwork) -> SafeString:
        return ago(row.created_at)

    @display(description="Opened by")
    def opened_by(self, row: AllowedNetwork) -> str:
        return actor_words({row.pk: row.created_by})[row.pk]

    @display(description="Closed")
    def closed(self, row: AllowedNetwork) -> SafeString | str:
        return ago(row.archived_at) if row.archived_at else "no"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=AllowForm,
            perform=lambda form: self._allow(request, form),
            permitted=self.has_add_permission(request),
            title="Open a network",
            intro=INTRO,
            submit="Open the network",
            cancel_url=reverse("admin:common_allowednetwork_changelist"),
        )

    def _allow(self, request: HttpRequest, form: AllowForm) -> HttpResponse:
        row = allow_network(**form.cleaned_data)
        messages.success(request, f"{row} is open to outgoing requests.")
        return HttpResponseRedirect(reverse("admin:common_allowednetwork_changelist"))

    @action(
        description="Close this network",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["close"],
        dialog={
            "title": "Close this network?",
            "description": "Probes and webhooks are refused there from the next request on.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Close the network",
        },
    )
    def close(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            row = archive_allowed_network(network_id=UUID(object_id))
            messages.success(request, f"{row} is closed to outgoing requests.")
        path = reverse("admin:common_allowednetwork_change", args=[object_id])
        return HttpResponse(headers={"HX-Redirect": path})
