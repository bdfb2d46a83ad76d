"""Experiments: how each stands, and what came of it so far."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.admin.keyset import KeysetAdminMixin
from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.templatetags.agent_factory import grouped
from research.models import Experiment
from research.selectors.standings import standings

from .experiment_definition import DefinitionSteps
from .experiment_filters import GroupFilter, OwnerFilter, StateFilter, UnitFilter
from .experiment_life import LifeSteps
from .experiment_page import experiment_page
from .experiment_words import STATE_COLOURS, days_words

State = Experiment.State


@admin.register(Experiment)
class ExperimentAdmin(KeysetAdminMixin, DefinitionSteps, LifeSteps):
    """Services alone make, change and run experiments."""

    scopes: ClassVar = {"view": "research:read"}
    keyset = ("-id",)

    list_display = ("shown_key", "shown_state", "unit", "units", "days", "primary", "group", "shown_owner")
    list_display_links = ("shown_key",)
    list_filter = (StateFilter, UnitFilter, OwnerFilter, GroupFilter)
    list_select_related = ("exclusion_group", "owner")
    list_per_page = 50
    search_fields = ("key", "name")
    search_help_text = "Key or name"
    list_before_template = "common/list_summary.html"
    change_form_template = "research/experiment.html"
    empty_words = (
        "An experiment says which of several prompts, models or tools serves better, and by how much."
    )
    actions_list = ("new", "planner")
    actions_detail = (
        "edit", "start", "approve", "decide", "analyse", "pause", "resume",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": ["plan", "stop", "arm", "override", "drop_override", "archive"],
        },
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Experiment]:
        rows: QuerySet[Experiment] = super().get_queryset(request)
        return rows.select_related("exclusion_group", "owner", "requested_by", "approved_by")

    # --- The list -------------------------------------------------------------------------------

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        found = standings(rows)
        for row in rows:
            row.standing = found[row.pk]

    @display(description="Experiment")
    def shown_key(self, experiment: Experiment) -> SafeString:
        code = format_html('<code class="af-code">{}</code>', experiment.key)
        if experiment.name in ("", experiment.key):
            return code
        return format_html('<span><span class="af-strong">{}</span><br>{}</span>', experiment.name, code)

    @display(description="State", label=STATE_COLOURS)
    def shown_state(self, experiment: Experiment) -> str:
        return str(experiment.state)

    @display(description="Units")
    def units(self, experiment: Any) -> SafeString:
        return grouped(experiment.standing.units)

    @display(description="Days running")
    def days(self, experiment: Any) -> SafeString:
        return format_html('<span class="af-num">{}</span>', days_words(experiment.standing.running))

    @display(description="Primary metric")
    def primary(self, experiment: Any) -> str:
        return str(experiment.standing.primary)

    @display(description="Exclusion group")
    def group(self, experiment: Experiment) -> str:
        return str(experiment.exclusion_group) if experiment.exclusion_group else "–"

    @display(description="Owner")
    def shown_owner(self, experiment: Experiment) -> str:
        owner = experiment.owner
        return "–" if owner is None else owner.name or f"{owner.type}/{owner.key}"

    # --- One experiment -------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        experiment = self.get_object(request, object_id)
        if experiment is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, experiment):
            raise PermissionDenied
        try:
            context = experiment_page(experiment, asked=request.GET, now=timezone.now())
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        context |= {
            "needs_approval": settings.EXPERIMENTS_NEED_APPROVAL and experiment.state == State.DRAFT,
            "host": request.build_absolute_uri("/").rstrip("/"),
            "title": str(experiment),
        }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
