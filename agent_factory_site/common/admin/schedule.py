"""The tables of django-celery-beat in our theme, their changes in our audit trail."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm as BeatPeriodicTaskForm
from django_celery_beat.admin import TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from agent_factory_site.common.templatetags.agent_factory import ago

from .audited import AuditedAdminMixin
from .base import ScopedAdmin
from .filters import ChoiceFilter

# Registered by django_celery_beat.admin, which is imported above.
for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(_model)

SCOPES: dict[str, str] = {
    "view": "common:read",
    "add": "common:admin",
    "change": "common:admin",
    "delete": "common:admin",
}


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]
    """The library's list of registered tasks, drawn as our other lists."""


class PeriodicTaskForm(BeatPeriodicTaskForm):  # type: ignore[misc]
    """The library's form with our widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskSelect()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()


class EnabledFilter(ChoiceFilter):
    """Whether they run."""

    title = label = "State"
    parameters = ("enabled",)

    def options(self) -> list[tuple[str, str]]:
        return [("yes", "Enabled"), ("no", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(enabled=self.value == "yes") if self.value in ("yes", "no") else queryset


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(AuditedAdminMixin, ScopedAdmin, BeatPeriodicTaskAdmin):  # type: ignore[misc]
    """What runs when."""

    scopes: ClassVar = SCOPES
    form = PeriodicTaskForm
    # The library's template holds an inline script, which the content security policy refuses.
    change_form_template = None
    date_hierarchy = None
    list_display = ("name", "shown_state", "when", "last_run", "total_run_count")
    list_filter = (EnabledFilter,)
    search_fields = ("name", "task")
    ordering = ("name",)

    @display(description="State", label={"enabled": "success", "paused": "warning"})
    def shown_state(self, task: PeriodicTask) -> str:
        return "enabled" if task.enabled else "paused"

    @display(description="When")
    def when(self, task: PeriodicTask) -> str:
        words = str(task.scheduler) if hasattr(task, "scheduler") else ""
        return words or "–"

    @display(description="Last run", ordering="last_run_at")
    def last_run(self, task: PeriodicTask) -> SafeString | str:
        return ago(task.last_run_at) if task.last_run_at else "never"

    def crontab_translation(self, obj: PeriodicTask | None) -> str:
        return str(obj.crontab.human_readable) if obj is not None and obj.crontab else "–"


class TaskInline(TabularInline):  # type: ignore[misc]
    """The tasks that follow a schedule."""

    model = PeriodicTask
    fields = ("name", "task", "enabled")
    readonly_fields = fields
    can_delete = False
    extra = 0
    max_num = 0
    show_change_link = True
    verbose_name = "task on this schedule"
    verbose_name_plural = "tasks on this schedule"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(IntervalSchedule, SolarSchedule)
class ScheduleAdmin(AuditedAdminMixin, ScopedAdmin):  # type: ignore[misc]
    """Intervals, and the sun."""

    scopes: ClassVar = SCOPES
    inlines = (TaskInline,)
    actions = None


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(AuditedAdminMixin, ScopedAdmin, BeatCrontabScheduleAdmin):  # type: ignore[misc]
    """Times of the clock and days of the calendar."""

    scopes: ClassVar = SCOPES
    inlines = (TaskInline,)
    actions = None


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(AuditedAdminMixin, ScopedAdmin, BeatClockedScheduleAdmin):  # type: ignore[misc]
    """Single moments."""

    scopes: ClassVar = SCOPES
    inlines = (TaskInline,)
    actions = None
