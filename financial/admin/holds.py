"""Holds: money set aside for calls that are under way, and how those before ended."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.actors import actor_words
from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.keyset import KeysetAdminMixin, KeysetChangeList
from agent_factory_site.common.models import Entity
from agent_factory_site.common.pagination import Ordering, Page, page_of
from agent_factory_site.common.templatetags.agent_factory import ago, money
from financial.models import CostEvent, Hold
from financial.selectors.holds import held_parts
from financial.services.hold_settling import release_hold

from .budget_cells import badge
from .budget_filters import HoldBudgetFilter, HoldEntityFilter, HoldOwnerFilter, HoldStateFilter
from .cost_filters import COST_TYPES

BADGES = {"held": "af-badge-info", "settled": "af-badge-good", "expired": "af-badge-warn"}


def hold_badge(hold: Hold) -> SafeString:
    """The state of a hold."""
    return badge(str(hold.state), BADGES.get(str(hold.state), ""))


def owners(rows: list[Hold]) -> dict[UUID, str]:
    """Whose each of ``rows`` is, in words."""
    return actor_words({row.pk: row.owner for row in rows})


class HoldChangeList(KeysetChangeList):
    """Open ones by when they expire, which is what their index follows; others by their age."""

    def read_page(self, request: HttpRequest, cursor: str | None) -> Page:
        spec = next(spec for spec in self.filter_specs if isinstance(spec, HoldStateFilter))
        keyset = ["expires_at", "id"] if spec.open else ["-id"]
        return page_of(self.queryset, Ordering.of(Hold, keyset), self.list_per_page, cursor)


@admin.register(Hold)
class HoldAdmin(KeysetAdminMixin, ReadOnlyAdmin):
    """Agents place and settle them over the API; here one can be released that nobody will end."""

    scopes: ClassVar = {"view": "financial:read"}
    keyset = ("-id",)

    list_display = (
        "entity_name", "what", "shown_amount", "shown_state", "takes_of", "shown_owner", "placed", "expires",
    )  # fmt: skip
    list_display_links = ("entity_name",)
    list_filter = (HoldStateFilter, HoldOwnerFilter, HoldEntityFilter, HoldBudgetFilter)
    list_select_related = ("entity",)
    list_before_template = "common/list_summary.html"
    change_form_template = "financial/hold.html"
    empty_words = (
        "No call is under way that set money aside. Holds that ended are there by the filter of states."
    )
    actions_detail = ("release",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HoldChangeList]:
        return HoldChangeList

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever keeps the money may end another's hold, as on the API."""
        if not holds_scope(request, "financial:admin"):
            return False
        return object_id is None or Hold.objects.filter(pk=object_id, state=Hold.State.HELD).exists()

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        parts = held_parts([row.pk for row in rows])
        named = owners(rows)
        for row in rows:
            row.taken = parts[row.pk]
            row.owner_name = named[row.pk]

    @display(description="Entity")
    def entity_name(self, hold: Hold) -> SafeString:
        entity = hold.entity
        return format_html('<span class="af-muted">{}/</span>{}', entity.type, entity.name or entity.key)

    @display(description="What for")
    def what(self, hold: Hold) -> SafeString:
        return format_html(
            '<span><span class="af-badge">{}</span> {}</span>',
            COST_TYPES.get(hold.cost_type, hold.cost_type),
            "/".join(part for part in (hold.provider, hold.model) if part),
        )

    @display(description="Amount")
    def shown_amount(self, hold: Hold) -> SafeString:
        return money(hold.amount, hold.currency)

    @display(description="State")
    def shown_state(self, hold: Hold) -> SafeString:
        return hold_badge(hold)

    @display(description="Of")
    def takes_of(self, hold: Any) -> SafeString:
        if not hold.taken:
            return format_html('<span class="af-muted">{}</span>', "no budget")
        return format_html_join(
            ", ",
            '<a class="af-cell-link" href="{}">{}</a>',
            (
                (reverse("admin:financial_budget_change", args=[part.budget]), part.name)
                for part in hold.taken
            ),
        )

    @display(description="Owner")
    def shown_owner(self, hold: Any) -> SafeString:
        return format_html('<span class="af-clip">{}</span>', hold.owner_name)

    @display(description="Placed")
    def placed(self, hold: Hold) -> SafeString:
        return ago(hold.created_at)

    @display(description="Expires")
    def expires(self, hold: Hold) -> SafeString | str:
        return ago(hold.expires_at) if hold.state == Hold.State.HELD else "–"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        hold = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if hold is not None:
            context = {
                "hold": hold,
                "badge": hold_badge(hold),
                "owner": owners([hold])[hold.pk],
                "what_for": COST_TYPES.get(hold.cost_type, hold.cost_type),
                "entities": list(Entity.objects.filter(pk__in=hold.entities).order_by("type", "key")),
                "parts": held_parts([hold.pk])[hold.pk],
                "event": CostEvent.objects.select_related("series").filter(pk=hold.event).first()
                if hold.event
                else None,
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="Release",
        icon="lock_open",
        variant=ActionVariant.DANGER,
        permissions=["release"],
        dialog={
            "title": "Release this hold?",
            "description": "Its money goes back to its budgets. The call cannot be settled any more: what it "
            "cost has to be recorded by itself.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Release it",
        },
    )
    def release(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            release_hold(hold_id=UUID(object_id), owner=None)
            messages.success(request, "The hold is released.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:financial_hold_change", args=[object_id])})
