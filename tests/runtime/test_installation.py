"""The first administrator, and the one-time password that somebody replaces."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from agent_factory_site.common.models import User
from agent_factory_site.common.password_change import NotTheOneTimePassword
from agent_factory_site.common.services.installation import create_first_admin, prepare_database

pytestmark = pytest.mark.django_db


def test_the_first_administrator_is_created_once() -> None:
    admin = create_first_admin()
    assert admin is not None
    assert admin.username == "admin"
    assert re.fullmatch(r"[a-hjkmnp-z2-9]{4}(-[a-hjkmnp-z2-9]{4}){3}", admin.password)
    user = User.objects.get()
    assert (user.username, user.is_superuser, user.is_staff, user.must_change_password) == (
        "admin",
        True,
        True,
        True,
    )
    assert user.check_password(admin.password)
    assert create_first_admin() is None
    assert prepare_database() is None
    assert User.objects.count() == 1


def test_another_one_is_created_when_nobody_can_administer() -> None:
    User.objects.create_user("admin", password="not-an-administrator")
    User.objects.create_superuser("gone", password="was-an-administrator", is_active=False)
    admin = create_first_admin()
    assert admin is not None
    assert re.fullmatch(r"admin-[0-9a-f]{6}", admin.username)


def test_a_chosen_password_is_no_longer_a_one_time_password() -> None:
    user = User.objects.create_user("ada", password="one-time-password", must_change_password=True)
    assert User.objects.get().must_change_password is True
    user.set_password("chosen-by-herself")
    user.save()
    assert User.objects.get().must_change_password is False


def test_only_the_one_time_password_itself_is_refused() -> None:
    user = User.objects.create_user("ada", password="one-time-password", must_change_password=True)
    validator = NotTheOneTimePassword()
    validator.validate("another-password", user)
    validator.validate("one-time-password", None)
    with pytest.raises(ValidationError) as refused:
        validator.validate("one-time-password", user)
    assert refused.value.code == "one_time_password"
    user.must_change_password = False
    validator.validate("one-time-password", user)


@pytest.mark.parametrize("path", ["/admin/", "/admin/common/user/", "/nowhere", "/"])
def test_whoever_has_a_one_time_password_gets_the_form_whatever_they_ask_for(
    client: Client, path: str
) -> None:
    user = User.objects.create_superuser("ada", password="one-time-password", must_change_password=True)
    client.force_login(user)
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/password_change/")
    assert client.get("/admin/password_change/").status_code == 200
    assert client.get("/admin/jsi18n/").status_code == 200
    assert client.post("/admin/logout/").status_code == 200


def test_the_api_says_so_with_a_problem_document(client: Client) -> None:
    user = User.objects.create_superuser("ada", password="one-time-password", must_change_password=True)
    client.force_login(user)
    answer = client.get("/api/v1/financial/costs")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "password_change_required"


def test_everybody_else_passes(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ada", password="chosen-by-herself"))
    assert client.get("/admin/").status_code == 200
