"""API keys: made here, shown once, revoked here."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from agent_factory_site.common.models import ApiKey, User
from agent_factory_site.common.scopes import EVERYTHING, SCOPES, covers
from agent_factory_site.common.selectors.scopes import scopes_of_user
from agent_factory_site.common.services.api_keys import create_api_key, revoke_api_key
from agent_factory_site.common.templatetags.agent_factory import ago

from .base import ScopedAdmin, refusals_as_messages
from .filters import ChoiceFilter
from .service_form import service_form_page


class KeyForm(forms.Form):
    """What a new key is for, what it opens and how long."""

    name = forms.CharField(
        max_length=200,
        help_text="What it is for, such as the program or the machine that will hold it.",
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True}),
    )
    owner = forms.ModelChoiceField(
        queryset=User.objects.filter(is_active=True).order_by("username"),
        required=False,
        empty_label="Nobody in particular",
        help_text="The key stops working when this person's account is switched off.",
        widget=UnfoldAdminSelectWidget,
    )
    scopes = forms.MultipleChoiceField(
        help_text="Give the least that will do: <code>ingest</code> is enough for a program that only sends.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    expires = forms.DateField(
        label="Works until",
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        granted = scopes_of_user(user)
        offered = [(scope, f"{scope}: {words}") for scope, words in SCOPES.items() if covers(granted, scope)]
        if EVERYTHING in granted:
            offered.append((EVERYTHING, "*: everything"))
        self.fields["scopes"].choices = offered  # type: ignore[attr-defined]
        today = timezone.now().astimezone(UTC).date()
        self.fields["owner"].initial = user.pk
        self.fields["expires"].initial = today + settings.API_KEY_DEFAULT_AGE
        last = today + settings.API_KEY_MAX_AGE
        self.fields["expires"].help_text = f"The end of that day, UTC; {last} at the latest."
        self.fields["expires"].widget.attrs.update(min=str(today), max=str(last))

    def expires_at(self) -> datetime:
        """The end of the last day, cut to the longest life a key may have."""
        end = datetime.combine(self.cleaned_data["expires"] + timedelta(days=1), time.min, UTC)
        longest = timezone.now() + settings.API_KEY_MAX_AGE
        return min(end, longest) if end - longest < timedelta(days=1) else end


class StateFilter(ChoiceFilter):
    """Live, expired or revoked."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [("live", "Live"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        now = timezone.now()
        match self.value:
            case "live":
                return queryset.filter(revoked_at=None, expires_at__gt=now)
            case "expired":
                return queryset.filter(revoked_at=None, expires_at__lte=now)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    """Keys are made and revoked through their services and never edited."""

    scopes: ClassVar = {"view": "common:read", "add": "common:admin"}

    list_display = ("name", "shown_prefix", "state", "shown_scopes", "owner", "expires", "last_used")
    list_filter = (StateFilter,)
    search_fields = ("name", "prefix", "owner__username")
    search_help_text = "Name, first characters or owner"
    list_select_related = ("owner",)
    ordering = ("-created_at",)
    actions = None
    empty_words = "Programs send costs and read reports with a key."
    fields = (
        "name", "shown_prefix", "state", "shown_scopes", "owner", "created_at", "expires", "revoked_at",
        "last_used",
    )  # fmt: skip
    readonly_fields = fields
    actions_detail = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may make keys may revoke them, as long as there is something to revoke."""
        if not self.has_add_permission(request):
            return False
        return object_id is None or ApiKey.objects.filter(pk=object_id, revoked_at=None).exists()

    @display(description="Begins with")
    def shown_prefix(self, key: ApiKey) -> SafeString:
        return format_html('<code class="af-code">{}…</code>', key.prefix)

    @display(description="Scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(description="State", label={"live": "success", "expired": "warning", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.expires_at <= timezone.now() else "live"

    @display(description="Works until", ordering="expires_at")
    def expires(self, key: ApiKey) -> SafeString:
        return ago(key.expires_at)

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> SafeString | str:
        return ago(key.last_used_at) if key.last_used_at else "never"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=partial(KeyForm, user=request.user),  # type: ignore[arg-type]
            perform=lambda form: self._create(request, form),
            permitted=self.has_add_permission(request),
            title="New API key",
            intro="The key is shown once, on the next page. Only its fingerprint is kept.",
            submit="Create the key",
            cancel_url=reverse("admin:common_apikey_changelist"),
        )

    def _create(self, request: HttpRequest, form: KeyForm) -> HttpResponse:
        key, secret = create_api_key(
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=form.expires_at(),
            owner=form.cleaned_data["owner"],
        )
        context = {
            **self.admin_site.each_context(request),
            "title": "New API key",
            "opts": self.opts,
            "api_key": key,
            "secret": secret,
            "host": request.build_absolute_uri("/").rstrip("/"),
            "list_url": reverse("admin:common_apikey_changelist"),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        # Answered here and not after a redirect: between the two it would have to be stored somewhere.
        page = TemplateResponse(request, "common/api_key_created.html", context)
        page["Cache-Control"] = "no-store"
        return page

    @action(
        description="Revoke",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["revoke"],
        dialog={
            "title": "Revoke this key?",
            "description": "Programs that hold it are refused from now on. This cannot be undone.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Revoke the key",
        },
    )
    def revoke(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            key = revoke_api_key(key_id=UUID(object_id))
            messages.success(request, f"The key “{key.name}” is revoked.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:common_apikey_change", args=[object_id])})
