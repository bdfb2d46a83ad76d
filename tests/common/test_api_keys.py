"""API keys: the service, the endpoints and the command."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.errors import Forbidden, Invalid, NotFound
from agent_factory_site.common.models import ApiKey, AuditEvent
from agent_factory_site.common.scopes import SCOPES
from agent_factory_site.common.services.api_keys import create_api_key, revoke_api_key
from tests.common.callers import key_headers, make_user
from tests.programs import run_manage

pytestmark = pytest.mark.django_db

URL = "/api/v1/common/api-keys"
KEY = re.compile(r"af_[0-9A-Za-z]{43}\Z")


# --- The service ----------------------------------------------------------------------------------


def test_only_a_hash_is_stored() -> None:
    before = timezone.now()
    key, secret = create_api_key(name=" bot ", scopes=["ingest", "common:read", "ingest"])
    assert KEY.match(secret)
    stored = ApiKey.objects.get(pk=key.pk)
    assert stored.digest == sha256(secret.encode()).hexdigest()
    assert (stored.name, stored.prefix, stored.scopes) == ("bot", secret[:9], ["ingest", "common:read"])
    assert (stored.owner, stored.revoked_at, stored.last_used_at) == (None, None, None)
    year = timedelta(days=365)
    assert before + year <= stored.expires_at <= timezone.now() + year
    event = AuditEvent.objects.get(target_type="common.ApiKey", target_id=str(key.pk))
    assert event.action == "create"
    assert secret not in str(event.changes)
    assert stored.digest not in str(event.changes)


def test_no_two_keys_are_alike() -> None:
    secrets = {create_api_key(name="x", scopes=["ingest"])[1] for _ in range(50)}
    assert len(secrets) == 50
    # All 43 places vary: nothing is padded away.
    assert all(len({secret[place] for secret in secrets}) > 1 for place in range(3, 46))


@pytest.mark.parametrize(
    ("arguments", "pointer", "code"),
    [
        ({"name": "  "}, "/name", "invalid"),
        ({"name": "x" * 201}, "/name", "invalid"),
        ({"scopes": []}, "/scopes", "required"),
        ({"scopes": ["ingest", "finance:read"]}, "/scopes/1", "unknown_scope"),
        ({"scopes": ["financial"]}, "/scopes/0", "unknown_scope"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/expires_at", "in_the_past"),
        ({"expires_at": datetime(9999, 1, 1, tzinfo=UTC)}, "/expires_at", "too_late"),
        ({"expires_at": datetime(2027, 1, 1)}, "/expires_at", "invalid"),  # noqa: DTZ001
    ],
)
def test_what_a_key_cannot_be(arguments: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        create_api_key(**{"name": "bot", "scopes": ["ingest"], **arguments})
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]
    assert ApiKey.objects.count() == 0


def test_a_key_lives_as_long_as_the_settings_allow(settings: Any) -> None:
    settings.API_KEY_MAX_AGE = timedelta(days=10)
    settings.API_KEY_DEFAULT_AGE = timedelta(days=5)
    now = timezone.now()
    key, _ = create_api_key(name="x", scopes=["ingest"])
    assert timedelta(days=5) <= key.expires_at - now < timedelta(days=5, minutes=1)
    create_api_key(name="x", scopes=["ingest"], expires_at=now + timedelta(days=10))
    with pytest.raises(Invalid, match="at most 10 days"):
        create_api_key(name="x", scopes=["ingest"], expires_at=now + timedelta(days=10, hours=1))


def test_nobody_gives_what_they_do_not_hold() -> None:
    user = make_user()
    user.user_permissions.add(Permission.objects.get(codename="common_admin"))
    maker, _ = create_api_key(name="maker", scopes=["common:admin", "ingest"])
    for actor, held, refused in (
        (Actor.user(user.pk), ["common:read"], ["common:admin", "ingest", "*"]),
        (Actor.api_key(maker.pk), ["common:write", "ingest"], ["ingest", "financial:read"]),
    ):
        with acting(actor):
            create_api_key(name="x", scopes=held)
            with pytest.raises(Forbidden) as caught:
                create_api_key(name="x", scopes=refused)
        assert caught.value.code == "scope_not_held"
        missing = {"user": ["ingest", "*"], "api_key": ["financial:read"]}[actor.kind]
        assert caught.value.extensions["scopes"] == missing
    with acting(Actor.command("create_api_key")):
        create_api_key(name="x", scopes=["*"])


def test_revoking_is_final_and_repeatable() -> None:
    key, _ = create_api_key(name="x", scopes=["ingest"])
    revoked = revoke_api_key(key_id=key.pk)
    assert revoked.revoked_at is not None
    again = revoke_api_key(key_id=key.pk)
    assert again.revoked_at == revoked.revoked_at
    changes = AuditEvent.objects.filter(target_type="common.ApiKey", action="update")
    assert [list(event.changes) for event in changes] == [["revoked_at"]]
    with pytest.raises(NotFound):
        revoke_api_key(key_id=uuid4())


# --- The endpoints --------------------------------------------------------------------------------


def post(client: Client, headers: dict[str, str], body: Any, url: str = URL) -> Any:
    return client.post(url, body, content_type="application/json", headers=headers)


def test_a_key_is_shown_once(client: Client) -> None:
    headers = key_headers("*")
    expires = (timezone.now() + timedelta(days=9)).replace(microsecond=0)
    body = {"name": "bot", "scopes": ["ingest"], "expires_at": expires.isoformat()}
    response = post(client, headers, body)
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    made = response.json()
    secret = made.pop("key")
    assert KEY.match(secret)
    key = ApiKey.objects.get(pk=made["id"])
    assert response["Location"] == f"{URL}/{key.pk}"
    assert made == {
        "id": str(key.pk),
        "name": "bot",
        "prefix": secret[:9],
        "scopes": ["ingest"],
        "owner": None,
        "created_at": key.created_at.isoformat().replace("+00:00", "Z"),
        "expires_at": expires.isoformat().replace("+00:00", "Z"),
        "revoked_at": None,
        "last_used_at": None,
    }
    assert client.get(response["Location"], headers=headers).json() == made
    listed = client.get(URL, headers=headers)
    assert listed.json()["results"][0] == made
    assert secret not in listed.content.decode()
    assert key.digest not in listed.content.decode()
    assert client.get("/api/v1", headers={"X-API-Key": secret}).status_code == 200


def test_a_key_belongs_to_its_maker(client: Client) -> None:
    user = make_user(is_superuser=True)
    client.force_login(user)
    mine = post(client, {}, {"name": "mine", "scopes": ["*"]}).json()
    assert mine["owner"] == str(user.pk)
    theirs = post(Client(), {"X-API-Key": mine["key"]}, {"name": "theirs", "scopes": ["ingest"]}).json()
    assert theirs["owner"] == str(user.pk)


def test_bad_requests_make_nothing(client: Client) -> None:
    headers = key_headers("common:admin")
    for body, status, code in (
        ({}, 400, "invalid"),
        ({"name": "x"}, 400, "invalid"),
        ({"name": "x", "scopes": "ingest"}, 400, "invalid"),
        ({"name": "x", "scopes": []}, 400, "invalid"),
        ({"name": "x", "scopes": [1]}, 400, "invalid"),
        ({"name": "x", "scopes": ["common:read"] * (len(SCOPES) + 2)}, 400, "invalid"),
        ({"name": "x", "scopes": ["nope"]}, 400, "invalid"),
        ({"name": "x", "scopes": ["common:read"], "expires_at": "2027-01-01"}, 400, "invalid"),
        ({"name": "x", "scopes": ["common:read"], "expires_at": "2020-01-01T00:00:00Z"}, 400, "invalid"),
        ({"name": "x", "scopes": ["common:read"], "owner": "1"}, 400, "invalid"),
        ({"name": "x", "scopes": ["common:read"], "key": "af_mine"}, 400, "invalid"),
        ({"name": "x", "scopes": ["ingest"]}, 403, "scope_not_held"),
        ({"name": "x", "scopes": ["*"]}, 403, "scope_not_held"),
        ([{"name": "x", "scopes": ["common:read"]}], 400, "invalid"),
    ):
        response = post(client, headers, body)
        assert (response.status_code, response.json()["code"]) == (status, code), body
    assert ApiKey.objects.count() == 1


def test_revoking_over_the_api_holds_at_once(client: Client) -> None:
    headers = key_headers("*")
    made = post(client, headers, {"name": "bot", "scopes": ["common:admin"]}).json()
    theirs = {"X-API-Key": made["key"]}
    assert client.get("/api/v1", headers=theirs).status_code == 200
    response = post(client, headers, None, f"{URL}/{made['id']}/revoke")
    assert response.status_code == 200
    assert response.json()["revoked_at"] is not None
    assert client.get("/api/v1", headers=theirs).json()["code"] == "api_key_revoked"
    assert post(client, headers, None, f"{URL}/{made['id']}/revoke").json() == response.json()
    assert post(client, headers, None, f"{URL}/{uuid4()}/revoke").status_code == 404
    assert client.get(f"{URL}/{uuid4()}", headers=headers).status_code == 404
    assert client.get(f"{URL}/not-an-id", headers=headers).status_code == 404


@pytest.mark.parametrize("scope", ["common:write", "common:read", "financial:admin", "ingest"])
def test_keys_are_administration(client: Client, scope: str) -> None:
    headers = key_headers(scope)
    key = ApiKey.objects.get()
    for response in (
        client.get(URL, headers=headers),
        client.get(f"{URL}/{key.pk}", headers=headers),
        post(client, headers, {"name": "x", "scopes": [scope]}),
        post(client, headers, None, f"{URL}/{key.pk}/revoke"),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "missing_scope")
    key.refresh_from_db()
    assert (ApiKey.objects.count(), key.revoked_at) == (1, None)


# --- The command ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_command_prints_the_key_alone(live_database: str) -> None:
    make_user("ada")
    status, out, err = run_manage(
        "create_api_key",
        "my bot",
        "--scope",
        "*",
        "--expires",
        "90d",
        "--owner",
        "ada",
        database=live_database,
    )
    assert status == 0, err
    secret = out.removesuffix("\n")
    assert KEY.match(secret)
    assert secret not in err
    key = ApiKey.objects.get(digest=sha256(secret.encode()).hexdigest())
    assert (key.name, key.scopes, key.owner and key.owner.username) == ("my bot", ["*"], "ada")
    assert abs(key.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
    event = AuditEvent.objects.get(target_type="common.ApiKey")
    assert (event.actor_kind, event.actor_id) == ("command", "create_api_key")


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "The following arguments are required: name, --scope."),
        (("x",), "The following arguments are required: --scope."),
        (("x", "--scope", "nope"), "Not a scope: 'nope'. One of financial:read, "),
        (
            ("x", "--scope", "*", "--expires", "soon"),
            "--expires takes a date such as 2027-01-01 or days such as 90d, ",
        ),
        (("x", "--scope", "*", "--expires", "2020-01-01"), "The time of expiry has passed."),
        (("x", "--scope", "*", "--expires", "99999d"), "A key lives at most 730 days."),
        (("x", "--scope", "*", "--owner", "nobody"), "There is no user named 'nobody'."),
        (("x", "--scope", "*", "--bogus"), "Unrecognized arguments: --bogus."),
    ],
)
def test_a_bad_command_line_is_one_sentence(
    live_database: str, arguments: tuple[str, ...], sentence: str
) -> None:
    status, out, err = run_manage("create_api_key", *arguments, database=live_database)
    assert (status, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1
    assert ApiKey.objects.count() == 0


def test_a_date_means_midnight_utc(capsys: pytest.CaptureFixture[str]) -> None:
    day = (timezone.now() + timedelta(days=30)).date()
    call_command(
        "create_api_key", "x", "--scope", "ingest", "--scope", "common:read", "--expires", day.isoformat()
    )
    key = ApiKey.objects.get()
    assert key.expires_at == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert key.scopes == ["ingest", "common:read"]
    captured = capsys.readouterr()
    assert KEY.match(captured.out.strip())
    assert day.isoformat() in captured.err
