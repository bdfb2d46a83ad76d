"""Prices of everything that is not a model call: tool calls, machine hours, storage, people."""

from __future__ import annotations

from datetime import UTC
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.selectors.audit_events import find_audit_events
from agent_factory_site.common.templatetags.agent_factory import utc
from financial.domain.fixed_point import format_fixed
from financial.models import UnitPrice
from financial.selectors.unit_prices import unit_price_siblings
from financial.services.unit_prices import archive_unit_price, end_unit_price, set_unit_price

from .cost_filters import COST_TYPES
from .dated import STATUS_COLOURS, EndForm, StatusFilter, day_text, status_of
from .price_form import moment_field


class CostTypeFilter(ChoiceFilter):
    """What it prices."""

    title = label = "Cost type"
    parameters = ("cost_type",)

    def options(self) -> list[tuple[str, str]]:
        return list(COST_TYPES.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(cost_type=self.value) if self.value else queryset


class UnitPriceForm(forms.Form):
    """What one unit costs, of what, and when."""

    cost_type = forms.ChoiceField(choices=list(COST_TYPES.items()), widget=UnfoldAdminSelectWidget)
    unit = forms.CharField(
        max_length=32,
        help_text="As senders name it: call, hour, GB-month.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "hour"}),
    )
    price = forms.CharField(
        label="Price of one unit",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "1.25"}),
    )
    currency = forms.ChoiceField(
        choices=[(code, code) for code in sorted(CURRENCIES)], widget=UnfoldAdminSelectWidget
    )
    provider = forms.CharField(
        max_length=100, required=False, help_text="Empty: whoever is paid.", widget=UnfoldAdminTextInputWidget
    )
    model = forms.CharField(
        max_length=255,
        required=False,
        help_text="The kind of machine, tool or work. Empty: any.",
        widget=UnfoldAdminTextInputWidget,
    )
    valid_from = moment_field("From (UTC)", "Empty: from now on.")
    valid_to = moment_field("To (UTC)", "Empty: until further notice.")
    note = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("cost_type", "tool")
        self.initial.setdefault("currency", settings.BASE_CURRENCY)

    def arguments(self) -> dict[str, Any]:
        """What :func:`set_unit_price` is called with."""
        said = dict(self.cleaned_data)
        for name in ("valid_from", "valid_to"):
            said[name] = said[name].astimezone(UTC) if said[name] else None
        return {**said, "price": said["price"].strip()}


@admin.register(UnitPrice)
class UnitPriceAdmin(ReadOnlyAdmin):
    """A unit price never changes: one ends and another begins."""

    scopes: ClassVar = {"view": "financial:read"}

    list_display = ("name", "unit", "shown_price", "from_when", "to_when", "status", "note")
    list_filter = (StatusFilter, CostTypeFilter)
    search_fields = ("provider", "model", "unit")
    search_help_text = "Provider, model or unit"
    sortable_by = ()
    ordering = ("cost_type", "provider", "model", "unit", "-valid_from")
    list_before_template = "common/list_summary.html"
    change_form_template = "financial/unit_price.html"
    empty_words = "Costs sent as a quantity of a unit are priced from this list."
    actions_list = ("set_price",)
    actions_detail = ("end", "archive")

    def _may_price(self, request: HttpRequest) -> bool:
        return holds_scope(request, "financial:admin") or request.user.has_perm("financial.add_unitprice")

    def has_price_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may set prices."""
        return self._may_price(request)

    def has_retire_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may end or archive this one."""
        if not self._may_price(request):
            return False
        return object_id is None or UnitPrice.objects.filter(pk=object_id, archived_at=None).exists()

    @display(description="Of what")
    def name(self, price: UnitPrice) -> SafeString:
        return format_html(
            '<span><span class="af-badge">{}</span> {}</span>',
            COST_TYPES.get(price.cost_type, price.cost_type),
            "/".join(part for part in (price.provider, price.model) if part) or "any",
        )

    @display(description="Price")
    def shown_price(self, price: UnitPrice) -> SafeString:
        return format_html(
            '<span class="af-num">{} <span class="af-muted">{}</span></span>',
            format_fixed(price.price),
            price.currency,
        )

    @display(description="From (UTC)")
    def from_when(self, price: UnitPrice) -> str:
        return day_text(price.valid_from)

    @display(description="To (UTC)")
    def to_when(self, price: UnitPrice) -> str:
        return day_text(price.valid_to) if price.valid_to else "open"

    @display(description="Status", label=STATUS_COLOURS)
    def status(self, price: UnitPrice) -> str:
        return status_of(price, timezone.now())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        price = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if price is not None:
            now = timezone.now()
            context = {
                "price": price,
                "amount": format_fixed(price.price),
                "what_for": COST_TYPES.get(price.cost_type, price.cost_type),
                "status": status_of(price, now),
                "history": [
                    (row, format_fixed(row.price), status_of(row, now)) for row in unit_price_siblings(price)
                ],
                "changes": find_audit_events(
                    target_type="financial.UnitPrice", target_id=str(price.pk)
                ).order_by("-at", "-id")[:20],
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="Set a unit price",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["price"],
        url_path="set",
    )
    def set_price(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=UnitPriceForm,
            perform=lambda form: self._set(request, form),
            permitted=self._may_price(request),
            title="Set a unit price",
            intro="Costs sent as a quantity are priced with it: of their provider and model before of any.",
            submit="Set the price",
            cancel_url=reverse("admin:financial_unitprice_changelist"),
            extra={"grid": True},
        )

    def _set(self, request: HttpRequest, form: UnitPriceForm) -> HttpResponse:
        price = set_unit_price(**form.arguments())
        messages.success(request, f"{price} has its price from {utc(price.valid_from)}.")
        return HttpResponseRedirect(reverse("admin:financial_unitprice_change", args=[price.pk]))

    @action(
        description="End",
        icon="event_busy",
        permissions=["retire"],
        dialog={
            "title": "End this price",
            "description": "From then on a quantity of this unit has no price, unless another one holds.",
            "form_class": EndForm,
            "form_submit_text": "End it",
        },
    )
    def end(self, request: HttpRequest, form: EndForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            moment = form.cleaned_data["valid_to"].astimezone(UTC)
            end_unit_price(price_id=UUID(object_id), valid_to=moment)
            messages.success(request, f"The price ends at {utc(moment)}.")
        return self._back_to(object_id)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["retire"],
        dialog={
            "title": "Archive this price?",
            "description": "It is out of use for all its dates. Costs that were priced with it keep naming it.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            archive_unit_price(price_id=UUID(object_id))
            messages.success(request, "The price is archived.")
        return self._back_to(object_id)

    def _back_to(self, object_id: str) -> HttpResponse:
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:financial_unitprice_change", args=[object_id])}
        )
