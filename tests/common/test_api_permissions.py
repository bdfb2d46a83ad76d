"""What a caller may do."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import User
from agent_factory_site.common.scopes import SCOPES, codename, covers, unknown
from agent_factory_site.common.selectors.scopes import scopes_of_actor
from agent_factory_site.common.services.api_keys import create_api_key
from tests.common.callers import key_headers, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]


@pytest.mark.parametrize(
    ("granted", "scope", "expected"),
    [
        ("*", "financial:admin", True),
        ("*", "*", True),
        ("common:admin", "common:write", True),
        ("common:admin", "common:read", True),
        ("common:write", "common:read", True),
        ("common:write", "common:admin", False),
        ("common:read", "common:write", False),
        ("common:admin", "financial:read", False),
        ("financial:write", "ingest", False),
        ("ingest", "financial:write", False),
        ("ingest", "ingest", True),
        ("common:admin", "*", False),
        ("common:everything", "common:read", False),
    ],
)
def test_scopes_include_the_lower_ones(granted: str, scope: str, expected: bool) -> None:
    assert covers({granted}, scope) is expected


def test_unknown_scopes_are_told() -> None:
    assert unknown(["*", "ingest", "nope", "common:read", "common:"]) == ["nope", "common:"]


def test_every_scope_is_a_permission_of_people() -> None:
    stored = set(
        Permission.objects.filter(content_type__app_label="common").values_list("codename", flat=True)
    )
    assert {codename(scope) for scope in SCOPES} <= stored


def test_a_missing_scope_is_403_and_said(client: Client) -> None:
    response = client.post(
        "/api/kernel/echo", {}, content_type="application/json", headers=key_headers("common:read")
    )
    assert response.status_code == 403
    body = response.json()
    assert body["code"] == "missing_scope"
    assert body["detail"] == "This needs the scope common:write or ingest."
    assert body["scopes"] == ["common:write", "ingest"]
    assert response["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="common:write ingest"'


def test_any_of_several_scopes_will_do(client: Client) -> None:
    for scope in ("common:write", "common:admin", "ingest", "*"):
        response = client.post(
            "/api/kernel/echo", {}, content_type="application/json", headers=key_headers(scope)
        )
        assert response.status_code == 200, scope


def test_a_method_without_a_declared_scope_is_refused_even_to_all_powerful_keys(client: Client) -> None:
    headers = key_headers("*")
    assert client.get("/api/kernel/undeclared", headers=headers).status_code == 200
    response = client.post("/api/kernel/undeclared", {}, content_type="application/json", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


def test_head_needs_what_get_needs_and_options_any_principal(client: Client) -> None:
    assert client.head("/api/kernel/echo").status_code == 401
    assert client.options("/api/kernel/echo").status_code == 401
    assert client.head("/api/kernel/echo", headers=key_headers("ingest")).status_code == 403
    assert client.head("/api/kernel/echo", headers=key_headers("common:read")).status_code == 200
    response = client.options("/api/kernel/echo", headers=key_headers("ingest"))
    assert (response.status_code, response["Allow"], response.content) == (
        204,
        "GET, POST, HEAD, OPTIONS",
        b"",
    )


def test_a_method_that_does_not_exist_is_405_but_only_to_principals(client: Client) -> None:
    assert client.delete("/api/kernel/echo").status_code == 401
    response = client.delete("/api/kernel/echo", headers=key_headers("ingest"))
    assert (response.status_code, response["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")


def test_people_hold_the_permissions_of_themselves_and_their_groups(client: Client) -> None:
    user = make_user()
    client.force_login(user)
    assert client.get("/api/kernel/any").status_code == 200
    response = client.get("/api/kernel/echo")
    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")

    group = Group.objects.create(name="readers")
    group.permissions.add(Permission.objects.get(codename="common_read"))
    user.groups.add(group)
    assert client.get("/api/kernel/echo").status_code == 200
    assert client.post("/api/kernel/echo", {}, content_type="application/json").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="ingest"))
    assert client.post("/api/kernel/echo", {}, content_type="application/json").status_code == 200


def test_permissions_of_a_person_cost_a_fixed_number_of_queries(client: Client) -> None:
    user = make_user()
    user.user_permissions.set(Permission.objects.filter(codename__in=[codename(scope) for scope in SCOPES]))
    client.force_login(user)
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/kernel/echo").status_code == 200
    # The session, the user, and the permissions of the user and of the groups.
    assert len(queries) == 4


def test_scopes_of_actors() -> None:
    superuser = make_user("root", is_superuser=True)
    reader = make_user("reader")
    reader.user_permissions.add(Permission.objects.get(codename="financial_read"))
    key, _ = create_api_key(name="bot", scopes=["ingest"])
    assert scopes_of_actor(Actor.user(superuser.pk)) == {"*"}
    assert scopes_of_actor(Actor.user(reader.pk)) == {"financial:read"}
    assert scopes_of_actor(Actor.api_key(key.pk)) == {"ingest"}
    assert scopes_of_actor(Actor.command("create_api_key")) == {"*"}
    assert scopes_of_actor(Actor.user(10**9)) == frozenset()
    User.objects.filter(pk=superuser.pk).update(is_active=False)
    assert scopes_of_actor(Actor.user(superuser.pk)) == frozenset()
