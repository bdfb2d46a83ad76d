"""Overrides of budgets: what one person asked for, and another approves."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.keyset import KeysetAdminMixin
from agent_factory_site.common.templatetags.agent_factory import money, utc
from financial.models import BudgetOverride
from financial.services.budget_overrides import approve_override, withdraw_override

from .budget_cells import override_badge, override_state
from .budget_filters import OverrideStateFilter
from .budget_page import people_who_asked


@admin.register(BudgetOverride)
class BudgetOverrideAdmin(KeysetAdminMixin, ReadOnlyAdmin):
    """All of them, those that wait for a second person by a filter."""

    scopes: ClassVar = {"view": "financial:read"}
    keyset = ("-id",)

    list_display = ("budget_name", "shown_amount", "shown_state", "until_when", "reason", "asked", "approved")
    list_display_links = ("budget_name",)
    list_filter = (OverrideStateFilter,)
    list_select_related = ("budget", "entity", "requested_by", "approved_by")
    list_per_page = 50
    search_fields = ("budget__name", "reason")
    search_help_text = "Budget or reason"
    list_before_template = "common/list_summary.html"
    change_form_template = "financial/budget_override.html"
    empty_words = "On the page of a budget one person asks for more until a moment; another one approves it."
    actions_detail = ("approve", "withdraw")

    def _waits(self, object_id: Any, *states: str) -> bool:
        if object_id is None:
            return True
        row = BudgetOverride.objects.filter(pk=object_id).first()
        return row is not None and override_state(row, timezone.now()) in states

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever keeps the money; that it is another person the service sees to."""
        return holds_scope(request, "financial:admin") and self._waits(object_id, "requested")

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever could have asked."""
        return holds_scope(request, "financial:write") and self._waits(object_id, "requested", "approved")

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        asked = people_who_asked(rows)
        for row in rows:
            row.asked_by = asked[row.pk]

    @display(description="Budget")
    def budget_name(self, row: BudgetOverride) -> SafeString:
        whose = f"{row.entity.type}/{row.entity.key}" if row.entity is not None else ""
        return format_html(
            '<span class="af-strong">{}</span> <span class="af-muted">{}</span>', row.budget.name, whose
        )

    @display(description="More")
    def shown_amount(self, row: BudgetOverride) -> SafeString:
        return money(row.amount, row.budget.currency)

    @display(description="State")
    def shown_state(self, row: BudgetOverride) -> SafeString:
        return override_badge(row, timezone.now())

    @display(description="Until (UTC)")
    def until_when(self, row: BudgetOverride) -> str:
        return utc(row.until).removesuffix(" UTC")

    @display(description="Asked for by")
    def asked(self, row: Any) -> str:
        return str(row.asked_by)

    @display(description="Approved by")
    def approved(self, row: BudgetOverride) -> str:
        return "–" if row.approved_by is None else str(row.approved_by.username)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        row = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if row is not None:
            now = timezone.now()
            context = {
                "row": row,
                "state": override_state(row, now),
                "badge": override_badge(row, now),
                "asked": people_who_asked([row])[row.pk],
                "own": row.requested_by_id is not None and row.requested_by_id == request.user.pk,
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="Approve",
        icon="check",
        variant=ActionVariant.PRIMARY,
        permissions=["approve"],
        dialog={
            "title": "Approve this?",
            "description": "The limit is raised at once, until the time that was asked for.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Approve it",
        },
    )
    def approve(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            approve_override(override_id=UUID(object_id))
            messages.success(request, "The override is approved: the limit is raised.")
        return self._to_budget(object_id)

    @action(
        description="Withdraw",
        icon="undo",
        variant=ActionVariant.DANGER,
        permissions=["withdraw"],
        dialog={
            "title": "Withdraw this?",
            "description": "A request is taken back; an approved override ends now, and what was spent of it stays "
            "as an overrun.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Withdraw it",
        },
    )
    def withdraw(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            withdraw_override(override_id=UUID(object_id))
            messages.success(request, "The override is withdrawn.")
        return self._to_budget(object_id)

    def _to_budget(self, object_id: str) -> HttpResponse:
        budget = BudgetOverride.objects.values_list("budget", flat=True).get(pk=object_id)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:financial_budget_change", args=[budget])})
