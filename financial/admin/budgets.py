"""Budgets: what may be spent, how much of it is gone, and where that is heading."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
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
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.errors import Invalid, NotFound
from agent_factory_site.common.templatetags.agent_factory import money
from financial.models import Budget
from financial.selectors.budgets import BudgetStatus, budget_statuses
from financial.services.budget_overrides import request_override
from financial.services.budgets import archive_budget, change_budget, create_budget

from .budget_cells import amount, badge, period_words, state_badge, used_bar, whose
from .budget_filters import ArchivedFilter, EnforcementFilter, EntityTypeFilter, PeriodKindFilter, StateFilter
from .budget_forms import BudgetChangeForm, BudgetForm, OverrideForm
from .budget_page import budget_page


@admin.register(Budget)
class BudgetAdmin(KeysetAdminMixin, ReadOnlyAdmin):
    """The list says how each stands; the page of one says why. Services alone change them."""

    scopes: ClassVar = {"view": "financial:read"}
    keyset = ("-id",)

    list_display = (
        "shown_name",
        "shown_period",
        "shown_limit",
        "shown_settled",
        "shown_held",
        "shown_remaining",
        "used",
        "shown_state",
    )
    list_display_links = ("shown_name",)
    list_filter = (StateFilter, EnforcementFilter, PeriodKindFilter, EntityTypeFilter, ArchivedFilter)
    list_select_related = ("entity", "parent")
    list_per_page = 50
    search_fields = ("name", "entity__key", "entity__name")
    search_help_text = "Name of the budget or the entity"
    list_before_template = "common/list_summary.html"
    change_form_template = "financial/budget.html"
    empty_words = "A budget limits what an agent, a team or the whole fleet spends, or tells when it does."
    actions_list = ("new",)
    actions_detail = ("edit", "more", "archive")

    def _may_write(self, request: HttpRequest) -> bool:
        return holds_scope(request, "financial:write")

    def has_new_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may write money sets budgets."""
        return self._may_write(request)

    def has_keep_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """The same people change those that are in use."""
        if not self._may_write(request):
            return False
        return object_id is None or Budget.objects.filter(pk=object_id, archived_at=None).exists()

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        statuses = budget_statuses(rows)
        for row in rows:
            row.standing = statuses[row.pk]

    @display(description="Budget")
    def shown_name(self, budget: Budget) -> SafeString:
        above = ""
        if budget.parent is not None:
            above = format_html(
                '<br><span class="af-muted" title="Below this budget">↳ {}</span>', budget.parent.name
            )
        return format_html(
            '<span class="af-strong">{}</span><br><span class="af-plain">{}</span>{}',
            budget.name,
            whose(budget),
            above,
        )

    @display(description="Period")
    def shown_period(self, budget: Budget) -> str:
        return period_words(budget)

    @display(description="Limit")
    def shown_limit(self, budget: Any) -> SafeString:
        status: BudgetStatus = budget.standing
        if status.period is None:
            return format_html("<span>{} each</span>", money(budget.limit, budget.currency))
        return money(status.period.limit, budget.currency)

    @display(description="Settled")
    def shown_settled(self, budget: Any) -> SafeString:
        return money(_numbers(budget).settled, budget.currency)

    @display(description="Held")
    def shown_held(self, budget: Any) -> SafeString:
        return money(_numbers(budget).held, budget.currency)

    @display(description="Remaining")
    def shown_remaining(self, budget: Any) -> SafeString:
        status: BudgetStatus = budget.standing
        return money(None if status.period is None else status.period.remaining, budget.currency)

    @display(description="Used")
    def used(self, budget: Any) -> SafeString:
        status: BudgetStatus = budget.standing
        if status.period is not None:
            return used_bar(status.period)
        assert status.total is not None
        total = status.total
        return format_html(
            '<span class="af-muted" title="{} exceeded, {} in warning">{} of {} exceeded</span>',
            total.exceeded,
            total.warning,
            total.exceeded,
            total.entities,
        )

    @display(description="State")
    def shown_state(self, budget: Any) -> SafeString:
        hard = budget.enforcement == Budget.Enforcement.HARD
        return format_html(
            '<span class="af-nowrap">{} {}</span>',
            state_badge(budget.standing.state),
            badge("hard", "af-badge-info", "Holds beyond the limit are refused.")
            if hard
            else badge("soft", "", "Tells, and refuses nothing."),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        budget = self.get_object(request, object_id)
        if budget is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, budget):
            raise PermissionDenied
        try:
            context = budget_page(
                budget,
                now=timezone.now(),
                person=request.user.pk,
                entity_id=request.GET.get("entity") or None,
                cursor=request.GET.get("cursor") or None,
            )
        except (NotFound, Invalid) as refusal:
            raise Http404(refusal.detail) from refusal
        context |= {
            "whose": whose(budget),
            "period_words": period_words(budget),
            "may_approve": holds_scope(request, "financial:admin"),
            "may_write": self._may_write(request),
            "title": budget.name,
        }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="Set a budget",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["new"],
        url_path="new",
    )
    def new(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=BudgetForm,
            perform=lambda form: self._create(request, form),
            permitted=self._may_write(request),
            title="Set a budget",
            intro="It counts what was spent in its current period already. Which costs count never changes afterwards.",
            submit="Set the budget",
            cancel_url=reverse("admin:financial_budget_changelist"),
            extra={"grid": True},
        )

    def _create(self, request: HttpRequest, form: BudgetForm) -> HttpResponse:
        budget = create_budget(**form.arguments())
        messages.success(request, f"{budget.name} is set.")
        return HttpResponseRedirect(reverse("admin:financial_budget_change", args=[budget.pk]))

    @action(description="Change", icon="edit", permissions=["keep"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        budget = self._in_use(request, object_id)
        return service_form_page(
            self,
            request,
            form=lambda **data: BudgetChangeForm(budget=budget, **data),
            perform=lambda form: self._change(request, budget, form),
            permitted=self._may_write(request),
            title=f"Change {budget.name}",
            intro="The present period and those to come move with it; past ones stay as they were.",
            submit="Change the budget",
            cancel_url=reverse("admin:financial_budget_change", args=[budget.pk]),
            extra={"grid": True},
        )

    def _change(self, request: HttpRequest, budget: Budget, form: BudgetChangeForm) -> HttpResponse:
        change_budget(budget_id=budget.pk, **form.arguments())
        messages.success(request, "The budget is changed." if form.changed_data else "Nothing was changed.")
        return self._to(budget.pk)

    @action(description="Ask for more", icon="more_time", permissions=["keep"], url_path="more")
    def more(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        budget = self._in_use(request, object_id)
        return service_form_page(
            self,
            request,
            form=lambda **data: OverrideForm(budget=budget, **data),
            perform=lambda form: self._ask(request, budget, form),
            permitted=self._may_write(request),
            title=f"Ask for more: {budget.name}",
            intro="More money until a moment. It takes effect when another person approves it.",
            submit="Ask for it",
            cancel_url=reverse("admin:financial_budget_change", args=[budget.pk]),
        )

    def _ask(self, request: HttpRequest, budget: Budget, form: OverrideForm) -> HttpResponse:
        row = request_override(budget_id=budget.pk, **form.arguments())
        words = f"{amount(row.amount, budget.currency)} more is asked for; another person has to approve it."
        messages.success(request, words)
        return self._to(budget.pk)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["keep"],
        dialog={
            "title": "Archive this budget?",
            "description": "From now on it refuses nothing and counts nothing new. Its holds end as they would have, "
            "and its past stays. It cannot be taken back into use.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            archive_budget(budget_id=UUID(object_id))
            messages.success(request, "The budget is archived.")
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:financial_budget_change", args=[object_id])}
        )

    def _in_use(self, request: HttpRequest, object_id: str) -> Budget:
        budget: Budget | None = self.get_object(request, object_id)
        if budget is None:
            raise Http404
        return budget

    def _to(self, budget: UUID) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:financial_budget_change", args=[budget]))


def _numbers(budget: Any) -> Any:
    """The sums of the one allowance, or of all of them."""
    status: BudgetStatus = budget.standing
    return status.period if status.period is not None else status.total
