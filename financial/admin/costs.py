"""The ledger: what was spent, filtered, summed, and each row down to its arithmetic."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from agent_factory_site.common.admin.actors import KIND_WORDS, actor_names
from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope
from agent_factory_site.common.admin.keyset import KeysetAdminMixin, KeysetChangeList
from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.pagination import Page
from agent_factory_site.common.selectors.entity_search import suggest_entities
from agent_factory_site.common.templatetags.agent_factory import compact, money, utc
from financial.domain.cost_input import Correction
from financial.models import CostEvent
from financial.selectors.cost_events import cost_event_page
from financial.selectors.cost_totals import TOO_MANY, cost_totals
from financial.services.record_costs import record_costs

from .correction_form import CorrectionForm
from .cost_detail import cost_facts
from .cost_filters import COST_FILTERS, COST_TYPES, criteria_of, export_query

EXPORT = "/api/v1/financial/costs/export"
CORRECTIONS_FROM_HERE = "admin"
"""The source of corrections made on these pages."""


class CostChangeList(KeysetChangeList):
    """A page of the ledger and the totals of all that the filters leave."""

    def read_page(self, request: HttpRequest, cursor: str | None) -> Page:
        self.totals = None
        self.too_many = False
        self.currency = settings.BASE_CURRENCY
        self.unpriced_query = self.get_query_string({"unpriced": "yes"})
        if self.queryset.query.is_empty():
            # A filter that could not be read has said so and left nothing.
            return Page([], None, None)
        criteria = criteria_of(self.filter_specs, self.query.strip())
        self.export_url = f"{EXPORT}?{export_query(criteria)}"
        try:
            totals = cost_totals(criteria)
        except Invalid as refusal:
            messages.warning(request, str(refusal))
        else:
            self.too_many = totals == TOO_MANY
            self.totals = None if totals == TOO_MANY else totals
        page = cost_event_page(criteria, limit=self.list_per_page, cursor=cursor)
        for row in page.rows:
            row.event.seen_by = row.entities
        return Page([row.event for row in page.rows], page.next, page.previous)


@admin.register(CostEvent)
class CostEventAdmin(KeysetAdminMixin, ReadOnlyAdmin):
    """Read only: the database refuses to change a ledger row."""

    scopes: ClassVar = {"view": "financial:read"}
    keyset = ("-occurred_at", "-id")

    list_display = (
        "when", "entity_name", "what", "tokens_in", "tokens_out", "shown_amount", "source_name", "run",
    )  # fmt: skip
    list_display_links = ("when",)
    list_filter = COST_FILTERS
    list_fullwidth = True
    search_fields = ("run_id",)
    search_help_text = "Run id, or the id of a cost"
    list_before_template = "financial/costs_before.html"
    change_form_template = "financial/cost_event.html"
    empty_words = "Costs come in over the API or by import; the overview shows how to send the first one."
    actions_detail = ("correct",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CostChangeList]:
        return CostChangeList

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        # The criteria carry the run id.
        return queryset, False

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        suggest = self.admin_site.admin_view(self.entities_view)
        return [path("entities/", suggest, name="financial_costevent_entities"), *urls]

    def entities_view(self, request: HttpRequest) -> HttpResponseBase:
        """Entities whose type and key begin with ``term``, for the filter's suggestions."""
        if not self.has_view_permission(request):
            return JsonResponse({"results": []}, status=403)
        found = suggest_entities(request.GET.get("term", ""))
        return JsonResponse({"results": [f"{kind}/{key}" for kind, key in found]})

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if (found := self._cost_named(request.GET.get("q", ""))) and self.has_view_permission(request):
            return HttpResponseRedirect(reverse("admin:financial_costevent_change", args=[found]))
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def _cost_named(self, text: str) -> UUID | None:
        try:
            wanted = UUID(text.strip())
        except ValueError:
            return None
        return wanted if CostEvent.objects.filter(pk=wanted).exists() else None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        event = self.get_object(request, object_id)
        context = {}
        if event is not None:
            context = {"facts": cost_facts(event.pk), "currency": settings.BASE_CURRENCY}
            actor = context["facts"].actor
            if actor is not None:
                context["actor"] = f"{KIND_WORDS.get(actor.kind, actor.kind)} {actor_names([actor])[actor]}"
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def has_correct_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may write money may correct a charge, and nothing but a charge."""
        if not holds_scope(request, "financial:write"):
            return False
        return (
            object_id is None or CostEvent.objects.filter(pk=object_id, kind=CostEvent.Kind.CHARGE).exists()
        )

    @action(
        description="Correct",
        icon="edit_note",
        permissions=["correct"],
        dialog={
            "title": "Correct this cost",
            "description": "A row is added that names this one and bears its date; this one stays.",
            "form_class": CorrectionForm,
            "form_submit_text": "Record the correction",
        },
    )
    def correct(self, request: HttpRequest, form: CorrectionForm, object_id: str) -> HttpResponse:
        correction = Correction(
            source=CORRECTIONS_FROM_HERE,
            event_id=str(uuid7()),
            corrects=UUID(object_id),
            amount=form.cleaned_data["amount"],
            reason=form.cleaned_data["reason"],
        )
        refusals = record_costs(costs=[correction]).rejected.get(0, [])
        for refusal in refusals:
            messages.error(request, refusal.detail)
        if not refusals:
            messages.success(request, "The correction is recorded.")
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:financial_costevent_change", args=[object_id])}
        )

    @display(description="Time (UTC)")
    def when(self, event: CostEvent) -> str:
        return utc(event.occurred_at).removesuffix(" UTC")

    @display(description="Entity")
    def entity_name(self, event: CostEvent) -> SafeString:
        entity = event.entity
        query = urlencode({"entity": f"{entity.type}/{entity.key}"})
        return format_html(
            '<a class="af-cell-link" href="?{}" title="Costs of this entity alone">'
            '<span class="af-muted">{}/</span>{}</a>',
            query,
            entity.type,
            entity.name or entity.key,
        )

    @display(description="What for")
    def what(self, event: CostEvent) -> SafeString:
        series = event.series
        kind = COST_TYPES.get(series.cost_type, series.cost_type)
        if not series.model and not series.provider:
            return format_html('<span class="af-badge">{}</span>', kind)
        return format_html(
            '<span><span class="af-badge">{}</span> <span class="af-muted">{}{}</span>{}</span>',
            kind,
            series.provider,
            "/" if series.provider and series.model else "",
            series.model,
        )

    @display(description="In")
    def tokens_in(self, event: CostEvent) -> SafeString | str:
        return compact(event.input_tokens) if event.input_tokens else ""

    @display(description="Out")
    def tokens_out(self, event: CostEvent) -> SafeString | str:
        return compact(event.output_tokens) if event.output_tokens else ""

    @display(description="Amount")
    def shown_amount(self, event: CostEvent) -> SafeString:
        if event.unpriced == 1:
            return format_html(
                '<span class="af-badge af-badge-warn" title="{}">unpriced</span>',
                "No price was known for this model at this time: the cost is unknown, not zero.",
            )
        return money(event.amount, event.series.currency)

    @display(description="Source")
    def source_name(self, event: CostEvent) -> SafeString:
        return format_html('<span class="af-clip">{}</span>', event.source)

    @display(description="Run")
    def run(self, event: CostEvent) -> SafeString | str:
        if not event.run_id:
            return ""
        return format_html(
            '<a class="af-cell-link af-clip" href="?{}" title="Everything this run cost">{}</a>',
            urlencode({"q": event.run_id}),
            event.run_id,
        )
