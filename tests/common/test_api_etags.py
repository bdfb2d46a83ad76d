"""Optimistic locking."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.common.callers import key_headers

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]

URL = "/api/kernel/versioned"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (None, 428, "if_match_required"),
        ("", 428, "if_match_required"),
        ('"6"', 412, "version_changed"),
        ('W/"7"', 412, "version_changed"),
        ("7", 412, "version_changed"),
        ("nonsense", 412, "version_changed"),
        ('"7"', 200, None),
        ('"5", "7"', 200, None),
        ("*", 200, None),
    ],
)
def test_a_change_names_the_version_it_was_made_from(
    client: Client, sent: str | None, status: int, code: str | None
) -> None:
    headers = key_headers("common:write") | ({} if sent is None else {"If-Match": sent})
    response = client.patch(URL, {}, content_type="application/json", headers=headers)
    assert (response.status_code, response.json().get("code")) == (status, code)
    if status == 200:
        assert response["ETag"] == '"8"'


def test_what_was_read_already_is_not_sent_again(client: Client) -> None:
    headers = key_headers("common:read")
    response = client.get(URL, headers=headers)
    assert (response.status_code, response["ETag"]) == (200, '"7"')
    assert response["Cache-Control"] == "private, no-cache"
    for sent, status in (('"7"', 304), ('W/"7"', 304), ('"1", "7"', 304), ("*", 304), ('"6"', 200)):
        response = client.get(URL, headers=headers | {"If-None-Match": sent})
        assert (response.status_code, response["ETag"]) == (status, '"7"'), sent
