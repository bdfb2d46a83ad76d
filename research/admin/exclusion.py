"""Exclusion groups and the holdout: which units an experiment cannot have."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.charts import THEMED
from agent_factory_site.common.charts.svg import document, element
from research.domain.definition_input import MAX_NAME, MAX_SALT, THOUSANDTHS
from research.models import ExclusionGroup, Experiment, Holdout
from research.selectors.experiments import free_share, get_holdout
from research.services.exclusion import create_exclusion_group
from research.services.holdout import SALT, set_holdout

from .experiment_words import percent, state_badge

WIDTH: Final = 960
HEIGHT: Final = 28
HOLDOUT_WORDS: Final = (
    "Units that no experiment takes in, to compare with those that all of them have changed. A change holds for "
    "units that come from now on: those that are exposed already stay in their experiments."
)


class GroupForm(forms.Form):
    """What a group is called."""

    key = forms.CharField(
        max_length=100,
        help_text="What experiments name it by: a-z, 0-9, _ and -. Never changes.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "checkout", "autocapitalize": "off"}),
    )
    name = forms.CharField(max_length=MAX_NAME, required=False, widget=UnfoldAdminTextInputWidget)


@admin.register(ExclusionGroup)
class ExclusionGroupAdmin(ReadOnlyAdmin):
    """Groups are made here, and nothing of them changes but who has which range."""

    scopes: ClassVar = {"view": "research:read"}

    list_display = ("shown_key", "running", "free")
    search_fields = ("key", "name")
    search_help_text = "Key or name"
    sortable_by = ()
    ordering = ("key",)
    change_form_template = "research/exclusion_group.html"
    empty_words = "Experiments of one group never share a unit: each has a range of it to itself."
    actions_list = ("make",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExclusionGroup]:
        rows: QuerySet[ExclusionGroup] = super().get_queryset(request)
        return rows.prefetch_related("experiments")

    def has_make_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may write experiments makes their groups."""
        return holds_scope(request, "research:write") or request.user.has_perm("research.add_exclusiongroup")

    @display(description="Group")
    def shown_key(self, group: ExclusionGroup) -> SafeString:
        return format_html('<code class="af-code">{}</code> {}', group.key, group.name)

    @display(description="Experiments with a range")
    def running(self, group: ExclusionGroup) -> str:
        return ", ".join(each.key for each in _holding(group)) or "none"

    @display(description="Free in one piece")
    def free(self, group: ExclusionGroup) -> str:
        return percent(free_share(group), 1)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        group = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if group is not None:
            holding = _holding(group)
            context = {
                "group": group,
                "title": str(group),
                "free": percent(free_share(group), 1),
                "strip": _strip(holding),
                "members": [
                    (each, state_badge(each), _range_words(each) if each in holding else "–")
                    for each in sorted(group.experiments.all(), key=lambda one: one.pk, reverse=True)
                ],
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="New exclusion group",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["make"],
        url_path="new",
    )
    def make(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=GroupForm,
            perform=lambda form: self._made(request, form),
            permitted=self.has_make_permission(request),
            title="New exclusion group",
            intro="A unit takes part in at most one of the experiments that name it.",
            submit="Make the group",
            cancel_url=reverse("admin:research_exclusiongroup_changelist"),
        )

    def _made(self, request: HttpRequest, form: GroupForm) -> HttpResponse:
        group = create_exclusion_group(**form.cleaned_data)
        messages.success(request, f"The exclusion group {group.key} is there.")
        return HttpResponseRedirect(reverse("admin:research_exclusiongroup_change", args=[group.pk]))


def _holding(group: ExclusionGroup) -> list[Experiment]:
    """The experiments that have a range of the group at present, from its beginning on."""
    present = [
        each
        for each in group.experiments.all()
        if each.state in (Experiment.State.RUNNING, Experiment.State.PAUSED)
        and each.exclusion_from is not None
    ]
    return sorted(present, key=lambda each: each.exclusion_from or 0)


def _range_words(experiment: Experiment) -> str:
    low, high = (experiment.exclusion_from or 0), (experiment.exclusion_to or 0)
    return f"{percent(low / THOUSANDTHS, 1)} to {percent(high / THOUSANDTHS, 1)}"


def _strip(holding: list[Experiment]) -> SafeString:
    """The whole group from 0 to 100 per cent, with the range of each experiment in it."""
    body = [
        element("rect", x=0, y=0, width=WIDTH, height=HEIGHT, rx=6, fill="currentColor", fill_opacity=0.08)
    ]
    for place, each in enumerate(holding):
        low = (each.exclusion_from or 0) * WIDTH / THOUSANDTHS
        high = (each.exclusion_to or 0) * WIDTH / THOUSANDTHS
        name = element("title", f"{each.key}: {_range_words(each)}")
        colour = THEMED.series[place % len(THEMED.series)]
        body.append(
            element(
                "rect", name, x=low, y=0, width=max(high - low - 1, 1.0), height=HEIGHT, rx=4, fill=colour
            )
        )
    told = "; ".join(f"{each.key}: {_range_words(each)}" for each in holding) or "All of it is free."
    return document(WIDTH, HEIGHT, "Ranges of the group", told, body, "strip")


class HoldoutForm(forms.Form):
    """How many are held out, and which."""

    share = forms.FloatField(
        help_text="Of all units, 0 to 1: 0.05 holds out one in twenty, 0 nobody.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )
    salt = forms.CharField(
        max_length=MAX_SALT,
        help_text="Another one draws other units. With the same one a larger share keeps those held out.",
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(Holdout)
class HoldoutAdmin(ReadOnlyAdmin):
    """One page instead of a list: there is one holdout or none."""

    scopes: ClassVar = {"view": "research:read"}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        holdout = get_holdout()
        shown = {
            "holdout": holdout if holdout is not None and holdout.share > 0 else None,
            "share": percent(holdout.share) if holdout is not None else "",
        }
        if holds_scope(request, "research:admin"):
            initial = (
                {"share": holdout.share, "salt": holdout.salt} if holdout else {"share": 0, "salt": SALT}
            )
            return service_form_page(
                self,
                request,
                form=lambda **data: HoldoutForm(initial=initial, **data),
                perform=lambda form: self._set(request, form),
                permitted=True,
                title="Holdout",
                intro=HOLDOUT_WORDS,
                submit="Set the holdout",
                cancel_url=reverse("admin:research_experiment_changelist"),
                template="research/holdout.html",
                extra=shown,
            )
        if request.method != "GET":
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Holdout",
            "opts": self.opts,
            "intro": HOLDOUT_WORDS,
            **shown,
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "research/holdout_shown.html", context)

    def _set(self, request: HttpRequest, form: HoldoutForm) -> HttpResponse:
        holdout = set_holdout(**form.cleaned_data)
        messages.success(request, f"{percent(holdout.share)} of all units are held out.")
        return HttpResponseRedirect(reverse("admin:research_holdout_changelist"))
