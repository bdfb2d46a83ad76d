"""Models of others, changed through the admin, are recorded by the admin."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import path
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.admin.audited import AuditedAdminMixin
from agent_factory_site.common.models import AuditEvent, User
from tests.common.audit_trails import mark, trail


class GroupAdmin(AuditedAdminMixin, admin.ModelAdmin):
    pass


class TaskInline(admin.TabularInline):
    model = PeriodicTask
    fields = ("name", "task", "enabled")
    extra = 1


class CrontabAdmin(AuditedAdminMixin, admin.ModelAdmin):
    inlines = (TaskInline,)


@admin.action(description="Disable")
def disable(modeladmin: object, request: object, queryset: object) -> None:
    queryset.update(enabled=False)  # type: ignore[attr-defined]


class TaskAdmin(AuditedAdminMixin, admin.ModelAdmin):
    fields = ("name", "task", "crontab", "enabled")
    actions = (disable,)


site = admin.AdminSite(name="audited")
site.register(Group, GroupAdmin)
site.register(CrontabSchedule, CrontabAdmin)
site.register(PeriodicTask, TaskAdmin)
urlpatterns = [path("audited/", site.urls)]


@pytest.fixture
def browser(client: Client, db: None, settings: SimpleNamespace) -> Iterator[Client]:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    client.force_login(User.objects.create_superuser("root"))
    with acting(Actor.user(1), request_id="r-9"):
        yield client


def post(browser: Client, url: str, **data: object) -> None:
    response = browser.post(f"/audited/{url}", data)
    assert response.status_code == 302, response.context["errors"] if response.context else response.content


def test_a_role_and_its_permissions(browser: Client) -> None:
    first, second = Permission.objects.order_by("pk")[:2]
    skip = mark()
    post(browser, "auth/group/add/", name="auditors", permissions=[first.pk])
    group = Group.objects.get()
    post(browser, f"auth/group/{group.pk}/change/", name="auditors", permissions=[first.pk, second.pk])
    post(browser, f"auth/group/{group.pk}/change/", name="readers", permissions=[first.pk, second.pk])
    target = ("auth.Group", str(group.pk))
    assert trail(skip=skip) == [
        ("create", *target, {"name": [None, "auditors"]}),
        ("update", *target, {"permissions": [[], [first.pk]]}),
        ("update", *target, {"permissions": [[first.pk], [first.pk, second.pk]]}),
        ("update", *target, {"name": ["auditors", "readers"]}),
    ]
    assert set(AuditEvent.objects.order_by("id")[skip:].values_list("actor_id", "request_id")) == {
        ("1", "r-9")
    }


def test_deleting_a_role_tells_who_lost_it(browser: Client) -> None:
    group = Group.objects.create(name="auditors")
    permission = Permission.objects.order_by("pk")[0]
    group.permissions.add(permission)
    user = User.objects.get()
    user.groups.add(group)
    pk, skip = str(group.pk), mark()
    post(browser, f"auth/group/{pk}/delete/", post="yes")
    assert sorted(trail(skip=skip)) == [
        ("delete", "auth.Group", pk, {"name": ["auditors", None]}),
        ("remove", "auth.Group", pk, {"permissions": [[permission.pk], []]}),
        ("remove", "common.User", str(user.pk), {"groups": [[group.pk], []]}),
    ]


def schedule(**names: str) -> CrontabSchedule:
    crontab = CrontabSchedule.objects.create(minute="5")
    for name, task in names.items():
        PeriodicTask.objects.create(name=name, task=task, crontab=crontab)
    return crontab


def test_schedules_and_their_inlines(browser: Client) -> None:
    crontab = schedule(keep="a", drop="b")
    keep, drop = PeriodicTask.objects.order_by("pk")
    skip = mark()
    post(
        browser,
        f"django_celery_beat/crontabschedule/{crontab.pk}/change/",
        **{
            "minute": "10",
            "hour": "*",
            "day_of_month": "*",
            "month_of_year": "*",
            "day_of_week": "*",
            "timezone": "UTC",
            "periodictask_set-TOTAL_FORMS": 3,
            "periodictask_set-INITIAL_FORMS": 2,
            "periodictask_set-0-id": keep.pk,
            "periodictask_set-0-crontab": crontab.pk,
            "periodictask_set-0-name": "keep",
            "periodictask_set-0-task": "renamed",
            "periodictask_set-0-enabled": "on",
            "periodictask_set-1-id": drop.pk,
            "periodictask_set-1-crontab": crontab.pk,
            "periodictask_set-1-name": "drop",
            "periodictask_set-1-task": "b",
            "periodictask_set-1-DELETE": "on",
            "periodictask_set-2-crontab": crontab.pk,
            "periodictask_set-2-name": "new",
            "periodictask_set-2-task": "c",
        },
    )
    new = PeriodicTask.objects.get(name="new")
    told = {event[:3]: event[3] for event in trail(skip=skip)}
    assert set(told) == {
        ("update", "django_celery_beat.CrontabSchedule", str(crontab.pk)),
        ("update", "django_celery_beat.PeriodicTask", str(keep.pk)),
        ("delete", "django_celery_beat.PeriodicTask", str(drop.pk)),
        ("create", "django_celery_beat.PeriodicTask", str(new.pk)),
    }
    assert told[("update", "django_celery_beat.CrontabSchedule", str(crontab.pk))] == {"minute": ["5", "10"]}
    assert told[("update", "django_celery_beat.PeriodicTask", str(keep.pk))]["task"] == ["a", "renamed"]
    assert told[("delete", "django_celery_beat.PeriodicTask", str(drop.pk))]["name"] == ["drop", None]


def test_actions_on_many_rows(browser: Client) -> None:
    crontab = schedule(one="a", two="b")
    one, two = PeriodicTask.objects.order_by("pk")
    skip = mark()
    url = "django_celery_beat/periodictask/"
    post(browser, url, action="disable", _selected_action=[one.pk, two.pk])
    assert trail(skip=skip) == [
        ("update", "django_celery_beat.PeriodicTask", str(task.pk), {"enabled": [True, False]})
        for task in (one, two)
    ]
    skip = mark()
    post(browser, url, action="delete_selected", _selected_action=[one.pk], post="yes")
    assert [event[:3] for event in trail(skip=skip)] == [
        ("delete", "django_celery_beat.PeriodicTask", str(one.pk))
    ]
    skip = mark()
    post(browser, f"django_celery_beat/crontabschedule/{crontab.pk}/delete/", post="yes")
    assert {event[:3] for event in trail(skip=skip)} == {
        ("delete", "django_celery_beat.PeriodicTask", str(two.pk)),
        ("delete", "django_celery_beat.CrontabSchedule", str(crontab.pk)),
    }
