"""Opening and closing networks inside the house: service, API and admin."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.errors import Conflict, Invalid, NotFound
from agent_factory_site.common.models import AllowedNetwork, AuditEvent
from agent_factory_site.common.networks import AllowedRange
from agent_factory_site.common.selectors.allowed_networks import allowed_ranges
from agent_factory_site.common.services.allowed_networks import allow_network, archive_allowed_network
from tests.admin_data import staff
from tests.common.callers import key_headers

pytestmark = pytest.mark.django_db

URL = "/api/v1/common/allowed-networks"
ADMIN = "/admin/common/allowednetwork/"


# --- The service --------------------------------------------------------------------------------


def test_what_is_opened_is_kept_in_its_only_spelling_with_who_did_it() -> None:
    with acting(Actor.user(7)):
        row = allow_network(cidr=" FD12:3456::/48 ", purpose=" agents ", port=8443)
    row.refresh_from_db()
    assert (row.cidr, row.port, row.purpose) == ("fd12:3456::/48", 8443, "agents")
    assert (row.created_by, row.archived_at) == ("user:7", None)
    assert allowed_ranges() == [AllowedRange(ip_network("fd12:3456::/48"), 8443)]
    event = AuditEvent.objects.get()
    assert (event.actor_kind, event.actor_id, event.action) == ("user", "7", "create")
    assert (event.target_type, event.target_id) == ("common.AllowedNetwork", str(row.pk))
    assert (event.changes["cidr"], event.changes["port"]) == ([None, "fd12:3456::/48"], [None, 8443])


def test_what_is_closed_is_kept_and_holds_no_longer() -> None:
    row = allow_network(cidr="10.0.0.0/8", purpose="agents")
    with acting(Actor.user(8)):
        closed = archive_allowed_network(network_id=row.pk)
        assert archive_allowed_network(network_id=row.pk).archived_at == closed.archived_at
    assert closed.archived_at is not None
    assert allowed_ranges() == []
    event = AuditEvent.objects.exclude(action="create").get()
    assert (event.actor_id, event.action) == ("8", "update")
    assert event.changes == {"archived_at": [None, closed.archived_at.isoformat()]}
    with pytest.raises(NotFound):
        archive_allowed_network(network_id=uuid4())


def test_the_same_is_open_once() -> None:
    first = allow_network(cidr="10.0.0.0/8", purpose="agents")
    allow_network(cidr="10.0.0.0/8", port=80, purpose="agents")
    for port in (None, 80):
        with pytest.raises(Conflict) as caught:
            allow_network(cidr="10.0.0.0/8", port=port, purpose="again")
        assert caught.value.code == "already_allowed"
    assert AllowedNetwork.objects.count() == 2
    archive_allowed_network(network_id=first.pk)
    allow_network(cidr="10.0.0.0/8", purpose="again")
    assert len(allowed_ranges()) == 2


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ({"cidr": "0.0.0.0/0"}, [("/cidr", "not_allowable")]),
        ({"cidr": "::/0"}, [("/cidr", "not_allowable")]),
        ({"cidr": "169.254.169.254"}, [("/cidr", "not_allowable")]),
        ({"cidr": "fd00:ec2::254"}, [("/cidr", "not_allowable")]),
        ({"cidr": "8.8.8.8"}, [("/cidr", "not_allowable")]),
        ({"cidr": "127.0.0.1"}, [("/cidr", "not_allowable")]),
        ({"cidr": "10.1.2.3/8"}, [("/cidr", "invalid")]),
        ({"cidr": "ten"}, [("/cidr", "invalid")]),
        ({"port": 0}, [("/port", "invalid")]),
        ({"port": 65536}, [("/port", "invalid")]),
        ({"purpose": " "}, [("/purpose", "invalid")]),
        ({"purpose": "x" * 201}, [("/purpose", "invalid")]),
        (
            {"cidr": "x", "port": -1, "purpose": ""},
            [("/port", "invalid"), ("/cidr", "invalid"), ("/purpose", "invalid")],
        ),
    ],
)
def test_what_cannot_be_opened(arguments: dict[str, Any], errors: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid) as caught:
        allow_network(**{"cidr": "10.0.0.0/8", "purpose": "agents", **arguments})
    assert [(error.pointer, error.code) for error in caught.value.errors] == errors
    assert AllowedNetwork.objects.count() == 0


@pytest.mark.parametrize("changes", [{"port": 0}, {"port": 65536}, {"purpose": ""}])
def test_the_table_holds_its_rules_itself(changes: dict[str, Any]) -> None:
    fields = {"cidr": "10.0.0.0/8", "purpose": "agents", "created_by": "system:tests", **changes}
    with pytest.raises(IntegrityError), transaction.atomic():
        AllowedNetwork.objects.create(**fields)


# --- The API ------------------------------------------------------------------------------------


def post(client: Client, path: str, headers: dict[str, str], body: Any = None) -> Any:
    return client.post(path, body, content_type="application/json", headers=headers)


def test_over_the_api(client: Client) -> None:
    headers = key_headers("common:admin")
    made = post(client, URL, headers, {"cidr": "10.20.0.0/16", "port": 8443, "purpose": "agents"})
    assert made.status_code == 201
    body = made.json()
    assert made["Location"] == f"{URL}/{body['id']}"
    row = AllowedNetwork.objects.get()
    assert (body["cidr"], body["port"], body["purpose"]) == ("10.20.0.0/16", 8443, "agents")
    assert (body["created_by"], body["archived_at"]) == (row.created_by, None)
    assert row.created_by.startswith("api_key:")
    reader = key_headers("common:read")
    assert client.get(made["Location"], headers=reader).json() == body
    assert client.get(URL, headers=reader).json()["results"] == [body]
    assert client.get(f"{URL}?archived=true", headers=reader).json()["results"] == []
    again = post(client, URL, headers, {"cidr": "10.20.0.0/16", "port": 8443, "purpose": "agents"})
    assert (again.status_code, again.json()["code"]) == (409, "already_allowed")
    closed = post(client, f"{made['Location']}/archive", headers)
    assert closed.status_code == 200
    assert closed.json()["archived_at"] is not None
    assert post(client, f"{made['Location']}/archive", headers).json() == closed.json()
    assert client.get(URL, headers=reader).json()["results"] == []
    assert client.get(f"{URL}?archived=true", headers=reader).json()["results"] == [closed.json()]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"cidr": "0.0.0.0/0", "purpose": "x"}, ["/cidr"]),
        ({"cidr": "127.0.0.0/8", "purpose": "x"}, ["/cidr"]),
        ({"cidr": 5, "port": "80", "purpose": None}, ["/cidr", "/port", "/purpose"]),
        ({"cidr": "10.0.0.0/8", "port": 65536, "purpose": "x"}, ["/port"]),
        ({"cidr": "10.0.0.0/8", "purpose": "x", "archived_at": None}, ["/archived_at"]),
        ({}, ["/cidr", "/purpose"]),
    ],
)
def test_bad_bodies_name_each_field(client: Client, body: Any, pointers: list[str]) -> None:
    response = post(client, URL, key_headers("common:admin"), body)
    assert response.status_code == 400
    assert [error["pointer"] for error in response.json()["errors"]] == pointers
    assert AllowedNetwork.objects.count() == 0


def test_who_may_not(client: Client) -> None:
    row = allow_network(cidr="10.0.0.0/8", purpose="agents")
    body = {"cidr": "10.0.0.0/8", "port": 1, "purpose": "x"}
    assert post(client, URL, key_headers("common:write"), body).status_code == 403
    assert post(client, f"{URL}/{row.pk}/archive", key_headers("common:write")).status_code == 403
    assert client.get(URL, headers=key_headers("ingest")).status_code == 403
    assert client.get(f"{URL}/{uuid4()}", headers=key_headers("common:read")).status_code == 404
    assert post(client, f"{URL}/{uuid4()}/archive", key_headers("common:admin")).status_code == 404
    row.refresh_from_db()
    assert (row.archived_at, AllowedNetwork.objects.count()) == (None, 1)


# --- The admin ----------------------------------------------------------------------------------


def test_in_the_admin(client: Client) -> None:
    client.force_login(staff("common:admin"))
    assert "public addresses alone" in client.get(ADMIN).content.decode()
    refused = client.post(f"{ADMIN}add/", {"cidr": "169.254.169.254", "port": "", "purpose": "x"})
    assert refused.status_code == 200
    assert "A network inside one of" in refused.content.decode()
    made = client.post(
        f"{ADMIN}add/", {"cidr": "127.0.0.1", "port": "8443", "purpose": "local agents"}, follow=True
    )
    assert "127.0.0.1/32 port 8443 is open to outgoing requests." in made.content.decode()
    row = AllowedNetwork.objects.get()
    assert (row.cidr, row.port, row.purpose) == ("127.0.0.1/32", 8443, "local agents")
    page = client.get(f"{ADMIN}{row.pk}/change/").content.decode()
    assert "local agents" in page
    assert "user ada" in page
    assert f"{ADMIN}{row.pk}/close/" in page
    answer = client.post(f"{ADMIN}{row.pk}/close/", {"_form_submitted": "on"})
    assert answer["HX-Redirect"] == f"{ADMIN}{row.pk}/change/"
    row.refresh_from_db()
    assert row.archived_at is not None
    assert "127.0.0.1/32" in client.get(f"{ADMIN}?state=closed").content.decode()
    assert "127.0.0.1/32" not in client.get(f"{ADMIN}?state=open").content.decode()


def test_readers_see_and_change_nothing(client: Client) -> None:
    row = allow_network(cidr="10.0.0.0/8", purpose="agents")
    client.force_login(staff("common:read"))
    assert "10.0.0.0/8" in client.get(ADMIN).content.decode()
    assert client.get(f"{ADMIN}add/").status_code == 403
    assert client.post(f"{ADMIN}add/", {"cidr": "10.0.0.0/8", "port": "1", "purpose": "x"}).status_code == 403
    assert client.post(f"{ADMIN}{row.pk}/close/", {"_form_submitted": "on"}).status_code == 403
    assert client.post(f"{ADMIN}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    row.refresh_from_db()
    assert (row.archived_at, AllowedNetwork.objects.count()) == (None, 1)
