"""Prices: which holds, which held, since when and from whom; and overrides of them."""

from __future__ import annotations

from datetime import UTC
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.admin.actors import KIND_WORDS, actor_names
from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter, SuggestingFilter
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.selectors.audit_events import find_audit_events
from agent_factory_site.common.templatetags.agent_factory import utc
from financial.models import PriceVersion
from financial.selectors.price_diff import pending_differences, price_diff
from financial.selectors.prices import price_names, price_siblings
from financial.services.price_overrides import archive_price, end_price, set_price_override
from financial.services.price_update import apply_catalogue

from .cost_detail import PART_NAMES
from .dated import STATUS_COLOURS, EndForm, StatusFilter, day_text, status_of
from .price_form import OverrideForm


class SourceFilter(ChoiceFilter):
    """From the catalogue, or our own."""

    title = label = "Source"
    parameters = ("source",)

    def options(self) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in PriceVersion.Source.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source=self.value) if self.value else queryset


class TierFilter(ChoiceFilter):
    """Standard, batch and their like."""

    title = label = "Service tier"
    parameters = ("tier",)

    def options(self) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in PriceVersion.ServiceTier.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(service_tier=self.value) if self.value else queryset


class ProviderFilter(SuggestingFilter):
    """Who is paid."""

    title = label = "Provider"
    parameters = ("provider",)

    def suggestions(self) -> list[str]:
        return price_names("provider")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(provider=self.value.lower()) if self.value else queryset


@admin.register(PriceVersion)
class PriceVersionAdmin(ReadOnlyAdmin):
    """A price never changes: one ends and another begins, and ledger rows keep naming theirs."""

    scopes: ClassVar = {"view": "financial:read"}

    list_display = ("name", "tier", "per_million", "from_when", "to_when", "status", "origin")
    list_filter = (StatusFilter, ProviderFilter, SourceFilter, TierFilter)
    search_fields = ("provider", "model", "catalogue_model")
    search_help_text = "Provider or model"
    sortable_by = ()
    ordering = ("provider", "model", "service_tier", "-valid_from")
    list_before_template = "financial/prices_before.html"
    change_form_template = "financial/price.html"
    empty_words = "A model's prices are copied from the catalogue when its first cost arrives."
    actions_list = ("override",)
    actions_detail = ("override_this", "end", "archive")

    def _may_price(self, request: HttpRequest) -> bool:
        return holds_scope(request, "financial:admin") or request.user.has_perm("financial.add_priceversion")

    def has_price_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may set prices."""
        return self._may_price(request)

    def has_retire_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may end or archive this override."""
        if not self._may_price(request):
            return False
        own = PriceVersion.objects.filter(source=PriceVersion.Source.OVERRIDE, archived_at=None)
        return object_id is None or own.filter(pk=object_id).exists()

    @display(description="Model", ordering="model")
    def name(self, price: PriceVersion) -> SafeString:
        return format_html('<span class="af-muted">{}/</span>{}', price.provider, price.model)

    @display(description="Tier", ordering="service_tier")
    def tier(self, price: PriceVersion) -> str:
        return str(price.service_tier)

    @display(description="Per million")
    def per_million(self, price: PriceVersion) -> SafeString:
        return format_html(
            '<span class="af-num">{} <span class="af-muted">in</span> · {} '
            '<span class="af-muted">out {}</span></span>',
            _rate(price, "input_tokens"),
            _rate(price, "output_tokens"),
            price.currency,
        )

    @display(description="From (UTC)", ordering="valid_from")
    def from_when(self, price: PriceVersion) -> str:
        return day_text(price.valid_from)

    @display(description="To (UTC)", ordering="valid_to")
    def to_when(self, price: PriceVersion) -> str:
        return day_text(price.valid_to) if price.valid_to else "open"

    @display(description="Status", label=STATUS_COLOURS)
    def status(self, price: PriceVersion) -> str:
        return status_of(price, timezone.now())

    @display(description="Source", label={"override": "primary", "catalogue": None})
    def origin(self, price: PriceVersion) -> str:
        return "override" if price.source == PriceVersion.Source.OVERRIDE else "catalogue"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        price = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if price is not None:
            now = timezone.now()
            history = [(row, status_of(row, now)) for row in price_siblings(price)]
            context = {
                "price": price,
                "status": status_of(price, now),
                "rates": _rates(price),
                "history": history,
                "author": _author(price),
                "changes": find_audit_events(
                    target_type="financial.PriceVersion", target_id=str(price.pk)
                ).order_by("-at", "-id")[:20],
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        page = self.admin_site.admin_view(self.differences_view)
        return [path("differences/", page, name="financial_priceversion_differences"), *urls]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        extra = {"pending_differences": pending_differences(), **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, extra)
        return response

    def differences_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the installed catalogue states otherwise, and on POST its prices taken over."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            if not self._may_price(request):
                raise PermissionDenied
            taken = apply_catalogue()
            messages.success(request, f"{len(taken):,} prices were taken over. Recorded costs keep theirs.")
            return HttpResponseRedirect(reverse("admin:financial_priceversion_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": "What the catalogue states otherwise",
            "opts": self.opts,
            "models": price_diff(),
            "currency": settings.BASE_CURRENCY,
            "may_apply": self._may_price(request),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "financial/price_differences.html", context)

    @action(
        description="Set a price", icon="add", variant=ActionVariant.PRIMARY, permissions=["price"],
        url_path="override",
    )  # fmt: skip
    def override(self, request: HttpRequest) -> HttpResponseBase:
        basis = None
        names = {name: request.GET[name] for name in ("provider", "model") if name in request.GET}
        if text := request.GET.get("from"):
            basis = PriceVersion.objects.filter(pk=text).first() if _is_uuid(text) else None
        return service_form_page(
            self,
            request,
            form=partial(OverrideForm, basis=basis, names=names),
            perform=lambda form: self._set(request, form),
            permitted=self._may_price(request),
            title="Set a price",
            intro="A price of your own wins over the catalogue for its dates. Costs that are recorded "
            "already keep the price they were recorded with.",
            submit="Set the price",
            cancel_url=reverse("admin:financial_priceversion_changelist"),
            extra={"grid": True},
        )

    def _set(self, request: HttpRequest, form: OverrideForm) -> HttpResponse:
        price = set_price_override(**form.arguments())
        messages.success(
            request, f"{price.provider}/{price.model} has a price of your own from {utc(price.valid_from)}."
        )
        return HttpResponseRedirect(reverse("admin:financial_priceversion_change", args=[price.pk]))

    @action(description="Override", icon="edit", permissions=["price"], url_path="override-this")
    def override_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        url = reverse("admin:financial_priceversion_override")
        return HttpResponseRedirect(f"{url}?from={object_id}")

    @action(
        description="End",
        icon="event_busy",
        permissions=["retire"],
        dialog={
            "title": "End this price",
            "description": "From then on the catalogue's price holds again, if there is one.",
            "form_class": EndForm,
            "form_submit_text": "End it",
        },
    )
    def end(self, request: HttpRequest, form: EndForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            moment = form.cleaned_data["valid_to"].astimezone(UTC)
            end_price(price_id=UUID(object_id), valid_to=moment)
            messages.success(request, f"The price ends at {utc(moment)}.")
        return self._back_to(object_id)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["retire"],
        dialog={
            "title": "Archive this price?",
            "description": "It is out of use for all its dates, as one that should not have been. "
            "Costs that were priced with it keep naming it.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            archive_price(price_id=UUID(object_id))
            messages.success(request, "The price is archived.")
        return self._back_to(object_id)

    def _back_to(self, object_id: str) -> HttpResponse:
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:financial_priceversion_change", args=[object_id])}
        )


def _rate(price: PriceVersion, part: str) -> str:
    rate = price.rates.get(part)
    return str(rate["per_million"]) if rate else "–"


def _rates(price: PriceVersion) -> list[dict[str, Any]]:
    return [
        {"part": PART_NAMES[part], "per_million": rate["per_million"], "tiers": rate.get("tiers", [])}
        for part, rate in price.rates.items()
        if part in PART_NAMES
    ]


def _author(price: PriceVersion) -> str:
    made = find_audit_events(
        target_type="financial.PriceVersion", target_id=str(price.pk), action="create"
    ).first()
    if made is None:
        return ""
    actor = Actor(made.actor_kind, made.actor_id)  # type: ignore[arg-type]
    return f"{KIND_WORDS.get(actor.kind, actor.kind)} {actor_names([actor])[actor]}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
