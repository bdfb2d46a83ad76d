"""Who may call the API at all."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.actors import Actor, current_actor
from agent_factory_site.common.models import ApiKey, AuditEvent
from agent_factory_site.common.services.api_keys import create_api_key, revoke_api_key
from tests.common.callers import key_headers, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]

URL = "/api/kernel/echo"


def refusal(client: Client, **headers: str) -> tuple[int, str, str]:
    response = client.get(URL, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"], response["WWW-Authenticate"]


def test_both_headers_let_a_key_in(client: Client) -> None:
    key, secret = create_api_key(name="bot", scopes=["common:read"])
    for headers in (
        {"Authorization": f"Bearer {secret}"},
        {"Authorization": f"bearer  {secret} "},
        {"X-API-Key": secret},
    ):
        response = client.get(URL, headers=headers)
        assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
        assert response.json() == {"actor": f"api_key:{key.pk}", "user": f"bot ({secret[:9]}…)"}
    assert (
        client.get(URL, headers={"Authorization": f"Bearer {secret}", "X-API-Key": secret}).status_code == 200
    )


def test_without_credentials_the_answer_names_the_scheme(client: Client) -> None:
    challenge = 'Bearer realm="agent-factory"'
    assert refusal(client) == (401, "not_authenticated", challenge)
    assert refusal(client, Authorization="Basic YTpi") == (401, "not_authenticated", challenge)


def test_a_key_that_is_no_good_is_401(client: Client) -> None:
    _, secret = create_api_key(name="bot", scopes=["common:read"])
    _, other = create_api_key(name="other", scopes=["common:read"])
    challenge = 'Bearer realm="agent-factory", error="invalid_token"'
    unknown = (401, "invalid_api_key", challenge)
    for sent in (
        "",
        "af_",
        "af_" + "x" * 43,
        secret[:-1],
        secret + "x",
        secret.lower(),
        "nonsense",
        "af_é",
        "a b",
    ):
        assert refusal(client, Authorization=f"Bearer {sent}") == unknown
        assert refusal(client, X_API_Key=sent) == unknown
    assert refusal(client, Authorization=f"Bearer {secret}", X_API_Key=other) == unknown


def test_expired_revoked_and_orphaned_keys_are_401(client: Client) -> None:
    owner = make_user()
    key, secret = create_api_key(name="bot", scopes=["common:read"], owner=owner)
    bearer = f"Bearer {secret}"
    assert client.get(URL, headers={"Authorization": bearer}).status_code == 200

    owner.is_active = False
    owner.save()
    assert refusal(client, Authorization=bearer)[:2] == (401, "invalid_api_key")
    owner.is_active = True
    owner.save()

    revoke_api_key(key_id=key.pk)
    assert refusal(client, Authorization=bearer)[:2] == (401, "api_key_revoked")
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=None, expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal(client, Authorization=bearer)[:2] == (401, "api_key_expired")


def test_a_key_costs_one_query(client: Client) -> None:
    _, secret = create_api_key(name="bot", scopes=["common:read"], owner=make_user())
    headers = {"Authorization": f"Bearer {secret}"}
    client.get(URL, headers=headers)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(URL, headers=headers).status_code == 200
    assert len(queries) == 1


def test_last_use_is_kept_to_the_minute_and_not_audited(client: Client) -> None:
    key, secret = create_api_key(name="bot", scopes=["common:read"])
    events = AuditEvent.objects.count()
    headers = {"Authorization": f"Bearer {secret}"}
    client.get(URL, headers=headers)
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    assert timezone.now() - first < timedelta(seconds=30)
    client.get(URL, headers=headers)
    key.refresh_from_db()
    assert key.last_used_at == first

    ApiKey.objects.filter(pk=key.pk).update(last_used_at=first - timedelta(minutes=1, seconds=1))
    client.get(URL, headers=headers)
    key.refresh_from_db()
    assert key.last_used_at > first
    assert AuditEvent.objects.count() == events


def test_staff_sessions_work_and_others_do_not(client: Client) -> None:
    user = make_user(is_superuser=True)
    client.force_login(user)
    assert client.get(URL).json() == {"actor": f"user:{user.pk}", "user": "ada"}
    client.force_login(make_user("guest", is_staff=False, is_superuser=True))
    assert refusal(client)[:2] == (401, "not_authenticated")


def test_a_session_needs_the_csrf_token_to_change_things() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(is_superuser=True))
    response = client.post(URL, "{}", content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")
    assert "cookie not set" in response.json()["detail"]

    client.get("/page/csrf")
    token = client.cookies["csrftoken"].value
    response = client.post(URL, "{}", content_type="application/json", headers={"X-CSRFToken": token})
    assert response.status_code == 200


def test_a_key_needs_no_csrf_token_and_beats_a_session() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(is_superuser=True))
    headers = key_headers("ingest")
    assert client.post(URL, "{}", content_type="application/json", headers=headers).status_code == 200
    # The session could read; the key that was sent cannot.
    assert client.get(URL, headers=headers).status_code == 403


def test_the_actor_ends_with_the_request(client: Client) -> None:
    _, secret = create_api_key(name="bot", scopes=["common:read"])
    client.get(URL, headers={"Authorization": f"Bearer {secret}"})
    assert current_actor() == Actor.system("tests")


def test_changes_over_the_api_name_the_key(client: Client) -> None:
    key, secret = create_api_key(name="bot", scopes=["common:write"])
    response = client.post(
        "/api/kernel/teams",
        {"key": "emea"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {secret}", "X-Request-ID": "their-id-1"},
    )
    assert response.status_code == 201
    event = AuditEvent.objects.get(target_type="common.Team")
    assert (event.actor_kind, event.actor_id, event.request_id) == ("api_key", str(key.pk), "their-id-1")
