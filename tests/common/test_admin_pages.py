"""The kernel's pages: keys shown once, people and their rights, the trail, jobs, the schedule."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.models import ApiKey, AuditEvent, Entity, Job, Team, User
from agent_factory_site.common.selectors.api_keys import digest_of
from agent_factory_site.common.services.api_keys import create_api_key
from tests.admin_data import staff

pytestmark = pytest.mark.django_db

SCREENS = (
    "common/allowednetwork", "common/apikey", "common/auditevent", "common/entity", "common/job",
    "common/team", "common/user",
    "auth/group", "django_celery_beat/periodictask", "django_celery_beat/intervalschedule",
    "django_celery_beat/crontabschedule", "django_celery_beat/clockedschedule",
    "django_celery_beat/solarschedule", "financial/budget", "financial/budgetoverride",
    "financial/costevent", "financial/costimport", "financial/exchangerate", "financial/hold",
    "financial/ledgerarchive", "financial/priceversion", "financial/unitprice",
    "operations/maintenancewindow", "operations/sli", "operations/slo",
    "operations/agent", "operations/run", "operations/run/live", "operations/telemetrysource",
    "research/exclusiongroup", "research/experiment", "research/holdout",
)  # fmt: skip
ADDABLE = (
    "common/allowednetwork", "common/apikey", "common/team", "common/user", "auth/group",
    "django_celery_beat/periodictask",
    "django_celery_beat/intervalschedule", "django_celery_beat/crontabschedule",
    "django_celery_beat/clockedschedule", "django_celery_beat/solarschedule",
)  # fmt: skip


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(staff(username="root", is_superuser=True))
    return client


def html_of(client: Client, path: str) -> str:
    response = client.get(f"/admin/{path}")
    assert response.status_code == 200, path
    return response.content.decode()


@pytest.mark.parametrize("screen", SCREENS)
def test_every_list_opens_empty_and_in_the_theme(root: Client, screen: str) -> None:
    html = html_of(root, f"{screen}/")
    assert "agent_factory/admin.css" in html
    assert "unfold/css/styles.css" in html
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html), "an inline script"
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html), "something from elsewhere"


@pytest.mark.parametrize("screen", ADDABLE)
def test_every_form_opens_in_the_theme(root: Client, screen: str) -> None:
    html = html_of(root, f"{screen}/add/")
    assert "border-base-200" in html
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html), "an inline script"


@pytest.mark.parametrize("screen", SCREENS)
def test_staff_without_rights_find_nothing(client: Client, screen: str) -> None:
    client.force_login(staff())
    assert client.get(f"/admin/{screen}/").status_code == 403
    assert screen not in html_of(client, "")


def test_the_menu_holds_what_one_may_open(client: Client) -> None:
    client.force_login(staff("financial:read"))
    menu = set(re.findall(r'href="/admin/(\w+/\w+)/"', html_of(client, "")))
    assert menu == {
        "financial/budget",
        "financial/budgetoverride",
        "financial/costevent",
        "financial/costimport",
        "financial/exchangerate",
        "financial/hold",
        "financial/ledgerarchive",
        "financial/priceversion",
        "financial/unitprice",
    }
    client.force_login(staff("common:read", username="auditor"))
    menu = set(re.findall(r'href="/admin/(\w+/\w+)/"', html_of(client, "")))
    assert {"common/auditevent", "common/job", "common/apikey", "common/user"} <= menu
    assert not any(name.startswith("financial") for name in menu)


# --- API keys -----------------------------------------------------------------------------------


def test_a_key_is_shown_once(root: Client) -> None:
    until = (timezone.now() + timedelta(days=30)).date()
    response = root.post(
        "/admin/common/apikey/add/",
        {"name": "gateway", "scopes": ["ingest"], "expires": str(until), "owner": ""},
    )
    assert response.status_code == 200
    assert response["Cache-Control"].startswith("no-store")
    html = response.content.decode()
    (secret,) = set(re.findall(r"af_[0-9A-Za-z]{43}", html))
    key = ApiKey.objects.get(digest=digest_of(secret))
    assert (key.name, key.scopes, key.owner) == ("gateway", ["ingest"], None)
    assert (key.expires_at.date(), key.expires_at.hour) == (until + timedelta(days=1), 0)
    for path in ("common/apikey/", f"common/apikey/{key.pk}/change/", "common/auditevent/"):
        assert secret not in html_of(root, path), path
    event = AuditEvent.objects.get(target_type="common.ApiKey", action="create")
    assert secret not in str(event.changes)
    assert key.digest not in str(event.changes)


def test_nobody_gives_what_they_do_not_hold(client: Client) -> None:
    client.force_login(staff("common:admin"))
    html = html_of(client, "common/apikey/add/")
    assert 'value="common:admin"' in html
    assert 'value="*"' not in html
    assert 'value="financial:read"' not in html
    until = str((timezone.now() + timedelta(days=30)).date())
    response = client.post(
        "/admin/common/apikey/add/", {"name": "x", "scopes": ["financial:read"], "expires": until}
    )
    assert "Select a valid choice" in response.content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "This field is required"),
        ({"scopes": []}, "This field is required"),
        ({"expires": "2020-01-01"}, "The time of expiry has passed"),
        ({"expires": "2099-01-01"}, "A key lives at most 730 days"),
        ({"expires": "soon"}, "Enter a valid date"),
    ],
)
def test_a_key_that_cannot_be_is_refused(root: Client, changes: dict[str, object], sentence: str) -> None:
    until = str((timezone.now() + timedelta(days=30)).date())
    fields = {"name": "gateway", "scopes": ["ingest"], "expires": until, **changes}
    response = root.post("/admin/common/apikey/add/", fields)
    assert sentence in response.content.decode()
    assert not ApiKey.objects.exists()


def test_the_longest_life_can_be_chosen(root: Client) -> None:
    last = re.search(r"(\d{4}-\d\d-\d\d) at the latest", html_of(root, "common/apikey/add/"))
    assert last
    root.post("/admin/common/apikey/add/", {"name": "gateway", "scopes": ["ingest"], "expires": last[1]})
    assert ApiKey.objects.count() == 1


def test_a_key_is_revoked_and_stays(root: Client) -> None:
    key, _ = create_api_key(name="gateway", scopes=["ingest"])
    path = f"/admin/common/apikey/{key.pk}/"
    assert root.get(f"{path}revoke/").status_code == 200
    assert ApiKey.objects.get().revoked_at is None
    response = root.post(f"{path}revoke/", {"_form_submitted": "on"})
    assert response["HX-Redirect"] == f"{path}change/"
    assert ApiKey.objects.get().revoked_at is not None
    html = html_of(root, f"common/apikey/{key.pk}/change/")
    assert "is revoked" in html
    assert f"{path}revoke/" not in html
    assert root.post(f"{path}revoke/", {"_form_submitted": "on"}).status_code == 403
    assert root.post(f"{path}delete/", {"post": "yes"}).status_code == 403
    assert root.post(f"{path}change/", {"name": "other"}).status_code == 403


def test_keys_are_found_by_their_state(root: Client) -> None:
    create_api_key(name="live-key", scopes=["ingest"])
    revoked, _ = create_api_key(name="revoked-key", scopes=["ingest"])
    expired, _ = create_api_key(name="expired-key", scopes=["ingest"])
    ApiKey.objects.filter(pk=revoked.pk).update(revoked_at=timezone.now())
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(days=1))
    for state in ("live", "revoked", "expired"):
        html = html_of(root, f"common/apikey/?state={state}")
        assert set(re.findall(r"(\w+)-key", html)) == {state}


def test_readers_of_administration_make_no_keys(client: Client) -> None:
    key, _ = create_api_key(name="gateway", scopes=["ingest"])
    client.force_login(staff("common:read"))
    assert "gateway" in html_of(client, "common/apikey/")
    assert client.get("/admin/common/apikey/add/").status_code == 403
    assert client.post(f"/admin/common/apikey/{key.pk}/revoke/", {"_form_submitted": "on"}).status_code == 403


# --- People -------------------------------------------------------------------------------------


def test_an_administrator_cannot_become_a_superuser(client: Client) -> None:
    me = staff("common:admin")
    root = staff(username="root", is_superuser=True)
    everything = list(Permission.objects.values_list("pk", flat=True))
    client.force_login(me)
    form = {
        "username": "ada",
        "email": "",
        "first_name": "Ada",
        "last_name": "",
        "is_active": "on",
        "is_staff": "on",
    }
    response = client.post(
        f"/admin/common/user/{me.pk}/change/", {**form, "is_superuser": "on", "user_permissions": everything}
    )
    assert response.status_code == 302
    me = User.objects.get(pk=me.pk)
    assert (me.first_name, me.is_superuser, me.user_permissions.count()) == ("Ada", False, 1)
    assert (
        client.post(f"/admin/common/user/{root.pk}/change/", {**form, "username": "mine"}).status_code == 403
    )
    assert (
        client.post(
            f"/admin/common/user/{root.pk}/password/", {"password1": "x" * 20, "password2": "x" * 20}
        ).status_code
        == 403
    )
    assert User.objects.get(pk=root.pk).username == "root"


def test_a_superuser_gives_rights_and_it_is_recorded(root: Client) -> None:
    user = staff(username="bob")
    permission = Permission.objects.get(codename="financial_read")
    response = root.post(
        f"/admin/common/user/{user.pk}/change/",
        {"username": "bob", "is_active": "on", "is_staff": "on", "user_permissions": [permission.pk]},
    )
    assert response.status_code == 302
    added = AuditEvent.objects.get(target_type="common.User", target_id=str(user.pk), action="add")
    assert added.changes == {"user_permissions": [[], [permission.pk]]}
    assert added.actor_kind == "user"


def test_people_are_not_deleted(root: Client) -> None:
    user = staff(username="bob")
    assert root.post(f"/admin/common/user/{user.pk}/delete/", {"post": "yes"}).status_code == 403
    team = Team.objects.create(key="emea", name="EMEA")
    assert root.post(f"/admin/common/team/{team.pk}/delete/", {"post": "yes"}).status_code == 403


def test_groups_are_roles_and_their_changes_are_recorded(root: Client) -> None:
    permission = Permission.objects.get(codename="financial_read")
    root.post("/admin/auth/group/add/", {"name": "Analysts", "permissions": [permission.pk]})
    group = Group.objects.get()
    assert list(group.permissions.all()) == [permission]
    assert AuditEvent.objects.filter(target_type="auth.Group", target_id=str(group.pk)).count() == 2


def test_an_entity_is_renamed_and_nothing_else_of_it(client: Client) -> None:
    entity = Entity.objects.create(type="agent", key="support-bot")
    client.force_login(staff("common:write"))
    form = {"name": "Support bot", "type": "team", "key": "other"}
    assert client.post(f"/admin/common/entity/{entity.pk}/change/", form).status_code == 302
    entity.refresh_from_db()
    assert (entity.type, entity.key, entity.name) == ("agent", "support-bot", "Support bot")
    assert client.get("/admin/common/entity/add/").status_code == 403
    assert client.post(f"/admin/common/entity/{entity.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_fleet_itself_is_no_row_of_the_list(root: Client) -> None:
    Entity.objects.create(type="*", key="*")
    assert "There is nothing here yet" in html_of(root, "common/entity/")


# --- Audit trail --------------------------------------------------------------------------------


def event_ids(html: str) -> list[str]:
    return re.findall(r"/admin/common/auditevent/([0-9a-f-]{36})/change/", html)


def test_the_trail_is_filtered_by_who_what_and_when(root: Client) -> None:
    ada = staff(username="lovelace")
    with acting(Actor.user(ada.pk), "req-1"):
        mine = record_audit(
            action="update", target_type="common.Team", target_id="7", changes={"name": ["a", "b"]}
        )
    with acting(Actor.task("nightly"), "req-2"):
        task = record_audit(action="record", target_type="financial.CostEvent", changes={"events": 3})
    found = lambda query: event_ids(html_of(root, f"common/auditevent/?{query}"))  # noqa: E731
    assert found("actor=user:lovelace") == [str(mine)]
    assert found(f"actor=user:{ada.pk}") == [str(mine)]
    assert found("actor=task:nightly") == [str(task)]
    assert str(task) in found("actor=task")
    assert found("actor=user:nobody") == []
    assert found("action=record") == [str(task)]
    assert found("target=common.Team&target_id=7") == [str(mine)]
    assert found("request=req-2") == [str(task)]
    today = timezone.now().date()
    assert {str(mine), str(task)} <= set(found(f"from={today}&to={today}"))
    assert found(f"to={today - timedelta(days=1)}") == []
    html = html_of(root, "common/auditevent/?actor=martian:7")
    assert "An actor is one of user, api_key" in unescape(html)
    assert event_ids(html) == []


def test_an_event_shows_before_and_after_and_leads_to_its_target(root: Client) -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    with acting(Actor.command("tidy"), "req-9"):
        Team.objects.filter(pk=team.pk).update(name="Europe <b>")
    event = AuditEvent.objects.get(request_id="req-9")
    html = html_of(root, f"common/auditevent/{event.pk}/change/")
    assert '<pre class="af-before">EMEA</pre>' in html
    assert '<pre class="af-after">Europe &lt;b&gt;</pre>' in html
    assert f'href="/admin/common/team/{team.pk}/change/"' in html
    assert 'href="/admin/common/auditevent/?request=req-9"' in html
    assert "tidy" in html


def test_a_batch_shows_what_it_says_of_itself(root: Client) -> None:
    pk = record_audit(action="register", target_type="common.Entity", changes={"entities": [3, 4]})
    html = html_of(root, f"common/auditevent/{pk}/change/")
    assert "<dt>entities</dt>" in html
    assert "af-before" not in html


def test_the_trail_of_what_no_longer_exists_is_still_shown(root: Client) -> None:
    pk = record_audit(action="update", target_type="gone.Model", target_id="1", changes={"x": [1, None]})
    assert "gone.Model" in html_of(root, f"common/auditevent/{pk}/change/")
    assert str(pk) in html_of(root, "common/auditevent/")


def test_nobody_changes_the_trail(root: Client) -> None:
    pk = record_audit(action="update", target_type="common.Team", target_id="1", changes={})
    for path in ("add/", f"{pk}/delete/"):
        assert root.post(f"/admin/common/auditevent/{path}", {"post": "yes"}).status_code == 403
    assert root.post(f"/admin/common/auditevent/{pk}/change/", {"action": "x"}).status_code == 403


def test_the_history_of_a_row_is_its_trail(root: Client) -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    response = root.get(f"/admin/common/team/{team.pk}/history/")
    assert response["Location"] == f"/admin/common/auditevent/?target=common.Team&target_id={team.pk}"
    (event,) = event_ids(root.get(response["Location"]).content.decode())
    assert AuditEvent.objects.get(pk=event).action == "create"


# --- Jobs and the schedule ----------------------------------------------------------------------


def make_job(**fields: object) -> Job:
    fields = {"kind": "tests.work", "actor_kind": "user", "actor_id": "0", **fields}
    return Job.objects.create(**fields)


def test_jobs_show_how_far_they_are(root: Client) -> None:
    now = timezone.now()
    running = make_job(state="running", done=25, total=100, started_at=now - timedelta(seconds=50))
    failed = make_job(
        state="failed", error="The disk is full.", done=3, total=10, started_at=now, finished_at=now
    )
    html = html_of(root, "common/job/")
    assert f'data-af-job="{running.pk}"' in html
    answer = root.get(f"/admin/common/job/progress/?ids={running.pk},{failed.pk},{uuid4()}")
    assert answer["Cache-Control"].startswith("no-store")
    shown = {job["id"]: job for job in answer.json()["jobs"]}
    assert (shown[str(running.pk)]["percent"], shown[str(running.pk)]["finished"]) == (25, False)
    assert re.fullmatch(r"\d+ per second, 2:\d\d left", shown[str(running.pk)]["note"])
    assert (shown[str(failed.pk)]["percent"], shown[str(failed.pk)]["finished"]) == (30, True)
    assert "The disk is full." in html_of(root, f"common/job/{failed.pk}/change/")


def test_a_job_is_cancelled_by_whoever_administers(client: Client) -> None:
    job = make_job()
    path = f"/admin/common/job/{job.pk}/"
    client.force_login(staff("common:read"))
    assert client.post(f"{path}cancel/", {"_form_submitted": "on"}).status_code == 403
    client.force_login(staff("common:admin", username="admin"))
    assert client.get(f"{path}cancel/").status_code == 200
    job.refresh_from_db()
    assert job.state == "queued"
    client.post(f"{path}cancel/", {"_form_submitted": "on"})
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert f"{path}cancel/" not in html_of(client, f"common/job/{job.pk}/change/")


def test_the_schedule_is_edited_and_recorded(root: Client) -> None:
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    form = {
        "name": "Tidy up", "task": "common.sweep_jobs", "enabled": "on", "interval": every.pk, "args": "[]",
        "kwargs": "{}", "headers": "{}",
    }  # fmt: skip
    response = root.post("/admin/django_celery_beat/periodictask/add/", form)
    task = PeriodicTask.objects.get()
    assert (response.status_code, task.task, task.interval) == (302, "common.sweep_jobs", every)
    assert "every 10 minutes" in html_of(root, "django_celery_beat/periodictask/")
    assert "common.sweep_jobs" in html_of(root, f"django_celery_beat/periodictask/{task.pk}/change/")
    assert AuditEvent.objects.filter(target_type="django_celery_beat.PeriodicTask").count() == 1
    selected = {"action": "disable_tasks", "_selected_action": [task.pk], "index": "0"}
    root.post("/admin/django_celery_beat/periodictask/", selected)
    task.refresh_from_db()
    assert task.enabled is False
    crontab = CrontabSchedule.objects.create(minute="5", hour="4")
    html = html_of(root, f"django_celery_beat/crontabschedule/{crontab.pk}/change/")
    assert "04:05" in html


def test_a_task_without_a_schedule_is_refused(root: Client) -> None:
    form = {"name": "Tidy up", "task": "common.sweep_jobs", "args": "[", "kwargs": "{}", "headers": "{}"}
    response = root.post("/admin/django_celery_beat/periodictask/add/", form)
    assert response.status_code == 200
    assert "Unable to parse JSON" in response.content.decode()
    assert not PeriodicTask.objects.exists()


def test_the_search_finds_only_what_one_may_open(client: Client) -> None:
    Entity.objects.create(type="agent", key="findable-bot")
    create_api_key(name="findable-key", scopes=["ingest"])
    client.force_login(staff("common:read"))
    found = client.get("/admin/search/?s=findable&extended=1").content.decode()
    assert "findable-bot" in found
    assert "findable-key" in found
    client.force_login(staff("financial:read", username="analyst"))
    found = client.get("/admin/search/?s=findable&extended=1").content.decode()
    assert "findable" not in found.replace("s=findable", "")
    assert "/admin/financial/costevent/" in client.get("/admin/search/?s=cost&extended=1").content.decode()
