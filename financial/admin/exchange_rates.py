"""Exchange rates by day: added by hand or from a file, archived when mistaken."""

from __future__ import annotations

from io import TextIOWrapper
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter, PeriodFilter, SuggestingFilter
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.selectors.audit_events import find_audit_events
from agent_factory_site.common.templatetags.agent_factory import ago
from financial.domain.fixed_point import format_fixed
from financial.models import ExchangeRate
from financial.services.exchange_rates import add_exchange_rate, archive_exchange_rate
from financial.services.import_rates import import_rates

from .exchange_rate_forms import RateFileForm, RateForm

LIST = "admin:financial_exchangerate_changelist"


class DayFilter(PeriodFilter):
    """For which days."""

    field = "day"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        bounds = self.bounds()
        if bounds is None:
            return super().queryset(request, queryset)
        start, end = bounds
        if start is not None:
            queryset = queryset.filter(day__gte=start.date())
        return queryset if end is None else queryset.filter(day__lt=end.date())


class CurrencyFilter(SuggestingFilter):
    """Rates from or to a currency."""

    title = label = "Currency"
    parameters = ("currency",)
    placeholder = "EUR"

    def suggestions(self) -> list[str]:
        return sorted(CURRENCIES)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        code = self.value.upper()
        return queryset.filter(Q(base=code) | Q(quote=code)) if code else queryset


class StateFilter(ChoiceFilter):
    """In use, or archived."""

    title = label = "Status"
    parameters = ("status",)

    def options(self) -> list[tuple[str, str]]:
        return [("used", "In use"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value:
            case "used":
                return queryset.filter(archived_at=None)
            case "archived":
                return queryset.exclude(archived_at=None)
        return queryset


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyAdmin):
    """A rate never changes; costs keep the one they were converted with."""

    scopes: ClassVar = {"view": "financial:read"}

    list_display = ("day", "pair", "shown_rate", "source", "state", "added")
    list_filter = (DayFilter, CurrencyFilter, StateFilter)
    sortable_by = ()
    ordering = ("-day", "base", "quote", "-id")
    list_before_template = "common/list_summary.html"
    change_form_template = "financial/exchange_rate.html"
    empty_words = "Costs in another currency than the base currency need a rate for their day."
    actions_list = ("add_rate", "add_file")
    actions_detail = ("archive",)

    def _may_write(self, request: HttpRequest) -> bool:
        return holds_scope(request, "financial:admin") or request.user.has_perm("financial.add_exchangerate")

    def has_rate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may add rates."""
        return self._may_write(request)

    def has_retire_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may archive this one."""
        if not self._may_write(request):
            return False
        return object_id is None or ExchangeRate.objects.filter(pk=object_id, archived_at=None).exists()

    @display(description="Pair")
    def pair(self, rate: ExchangeRate) -> str:
        return f"{rate.base}/{rate.quote}"

    @display(description="Rate")
    def shown_rate(self, rate: ExchangeRate) -> SafeString:
        return format_html('<span class="af-num">{}</span>', format_fixed(rate.rate))

    @display(description="State", label={"in use": "success", "archived": "warning"})
    def state(self, rate: ExchangeRate) -> str:
        return "in use" if rate.archived_at is None else "archived"

    @display(description="Added")
    def added(self, rate: ExchangeRate) -> SafeString:
        return ago(rate.created_at)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        rate = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if rate is not None:
            context = {
                "rate": rate,
                "worth": format_fixed(rate.rate),
                "changes": find_audit_events(
                    target_type="financial.ExchangeRate", target_id=str(rate.pk)
                ).order_by("-at", "-id")[:20],
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="Add a rate",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["rate"],
        url_path="add-rate",
    )
    def add_rate(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=RateForm,
            perform=lambda form: self._add(request, form),
            permitted=self._may_write(request),
            title="Add an exchange rate",
            submit="Add the rate",
            cancel_url=reverse(LIST),
            extra={"grid": True},
        )

    def _add(self, request: HttpRequest, form: RateForm) -> HttpResponse:
        said = form.cleaned_data
        rate = add_exchange_rate(**{**said, "rate": said["rate"].strip()})
        worth = f"{format_fixed(rate.rate)} {rate.quote}"
        messages.success(request, f"One {rate.base} was worth {worth} on {rate.day}.")
        return HttpResponseRedirect(reverse("admin:financial_exchangerate_change", args=[rate.pk]))

    @action(description="From a file", icon="upload_file", permissions=["rate"], url_path="add-file")
    def add_file(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=RateFileForm,
            perform=lambda form: self._read(request, form),
            permitted=self._may_write(request),
            title="Add exchange rates from a file",
            intro="CSV as the European Central Bank publishes it: a day a row, a currency a column. All of it "
            "is added, or nothing.",
            submit="Add the rates",
            cancel_url=reverse(LIST),
        )

    def _read(self, request: HttpRequest, form: RateFileForm) -> HttpResponse:
        file = form.cleaned_data["file"]
        with TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
            try:
                done = import_rates(
                    lines=lines,
                    base=form.cleaned_data["base"],
                    source=form.cleaned_data["source"] or file.name[:100],
                )
            except UnicodeDecodeError:
                raise Invalid("not_text", "The file is not text in UTF-8.") from None
        messages.success(request, f"{done.added:,} rates were added; {done.known:,} were there already.")
        return HttpResponseRedirect(reverse(LIST))

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["retire"],
        dialog={
            "title": "Archive this rate?",
            "description": "It is out of use. Costs that were converted with it keep it.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            archive_exchange_rate(rate_id=UUID(object_id))
            messages.success(request, "The rate is archived.")
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:financial_exchangerate_change", args=[object_id])}
        )
