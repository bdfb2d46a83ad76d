"""Request ids and actors of web requests."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.actors import Actor, NoActor, acting, current_actor, current_actor_or_none
from agent_factory_site.common.models import AuditEvent
from tests.common.callers import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]


@pytest.mark.parametrize("sent", ["abc", "a" * 100, "0192f0c1-7d3a-7000-8000-000000000000", "A.b_c:d-1"])
def test_a_sane_request_id_is_kept(client: Client, sent: str) -> None:
    assert client.get("/api/v1", headers={"X-Request-ID": sent})["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 101, "-a", "a b", "a\nb", "<script>", "é", "a;b"])
def test_any_other_is_replaced_by_one_of_ours(client: Client, sent: str) -> None:
    answered = client.get("/api/v1", headers={"X-Request-ID": sent})["X-Request-ID"]
    assert UUID(answered).version == 7


def test_pages_and_files_have_one_too(client: Client) -> None:
    for path in ("/nope", "/admin/login/", "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css"):
        assert UUID(client.get(path)["X-Request-ID"]).version == 7


def test_the_session_user_acts(client: Client) -> None:
    user = make_user(is_superuser=True)
    client.force_login(user)
    assert client.post("/page/plain", b"", content_type="text/plain").json()["actor"] == f"user:{user.pk}"


def test_without_a_session_nobody_in_particular_acts_and_no_query_is_spent(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = client.post("/page/plain", b"", content_type="text/plain")
    assert response.json()["actor"] == "system:anonymous"
    assert len(queries) == 0
    client.cookies["sessionid"] = "made-up"
    response = client.post("/page/plain", b"", content_type="text/plain")
    assert response.json()["actor"] == "system:anonymous"


def test_signing_in_is_recorded_by_nobody_in_particular(client: Client) -> None:
    make_user(password="a long enough password")
    form = {"username": "ada", "password": "a long enough password"}
    assert client.post("/admin/login/?next=/admin/", form).status_code == 302
    assert not AuditEvent.objects.filter(actor_kind="user").exists()


def test_who_acted_before_acts_after(client: Client) -> None:
    with acting(Actor.command("outer"), "outer-id"):
        client.force_login(make_user(is_superuser=True))
        client.post("/page/plain", b"", content_type="text/plain")
        assert current_actor() == Actor.command("outer")


def test_a_defect_does_not_leave_its_actor_behind() -> None:
    client = Client(raise_request_exception=False)
    client.force_login(make_user(is_superuser=True))
    before = current_actor_or_none()
    assert client.post("/page/plain", b"fail", content_type="text/plain").status_code == 500
    assert current_actor_or_none() == before


def test_without_anybody_there_is_no_actor() -> None:
    import contextvars

    def ask() -> None:
        assert current_actor_or_none() is None
        with pytest.raises(NoActor):
            current_actor()

    contextvars.Context().run(ask)
