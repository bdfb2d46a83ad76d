"""The admin screens of feature flags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from research.models import FeatureFlag
from research.services.flags import archive_flag, create_flag
from tests.common.callers import make_user

from .experiment_setup import running

pytestmark = pytest.mark.django_db
LIST = "/admin/research/featureflag/"


def page(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def action(name: str, *arguments: Any) -> str:
    return reverse(f"admin:research_featureflag_{name}", args=arguments)


def form(**changes: Any) -> dict[str, Any]:
    return {"key": "checkout", "type": "boolean", "enabled": "on", **changes}


def reader(*scopes: str) -> Client:
    user = make_user("rita")
    user.user_permissions.set(Permission.objects.filter(codename__in=scopes))
    client = Client()
    client.force_login(user)
    return client


def test_a_flag_is_made_and_shown_in_words(admin_client: Client) -> None:
    rules = [
        {"targeting": [{"attribute": "country", "op": "in", "value": ["DE", "FR"]}], "variant": "on"},
        {"split": [{"variant": "on", "weight": 0.125}]},
    ]
    made = admin_client.post(action("make"), form(rules=json.dumps(rules)))
    flag = FeatureFlag.objects.get()
    assert (made.status_code, made["Location"]) == (302, f"{LIST}{flag.pk}/change/")
    assert (flag.enabled, flag.default_variant, flag.unit) == (True, "off", "user")
    shown = page(admin_client, made["Location"])
    assert "country is one of DE, FR" in shown
    assert "12.5 % on" in shown
    assert "checkout" in page(admin_client, LIST)


def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_lost(admin_client: Client) -> None:
    rules = '[{"split": [{"variant": "maybe", "weight": 2}]}, 7]'
    answer = admin_client.post(action("make"), form(rules=rules, default_variant="no", key="a/b"))
    errors = answer.context["form"].errors
    assert answer.status_code == 200
    assert errors["rules"] == [
        "Rule 1, split 1, variant: Is not one of on, off.",
        "Rule 1, split 1, weight: Must be a number from 0 to 1.",
        "Rule 2: Must be an object with targeting, and variant or split.",
    ]
    assert errors["default_variant"] == ["Is not one of on, off."]
    assert set(errors) == {"rules", "default_variant", "key"}
    assert not FeatureFlag.objects.exists()


def test_a_flag_is_changed_switched_and_archived(admin_client: Client) -> None:
    flag = create_flag(body={"key": "checkout", "type": "boolean"})
    body = form(name="New checkout", default_variant="on", variants='{"on": true, "off": false}')
    changed = admin_client.post(action("edit", flag.pk), {**body, "key": "other", "type": "string"})
    assert changed.status_code == 302
    flag.refresh_from_db()
    assert (flag.key, flag.kind, flag.name, flag.default_variant, flag.enabled) == (
        "checkout", "boolean", "New checkout", "on", True
    )  # fmt: skip
    for name, enabled, archived in (
        ("disable", False, False),
        ("enable", True, False),
        ("archive", False, True),
    ):
        answer = admin_client.post(action(name, flag.pk), {"_form_submitted": "on"})
        assert answer.status_code == 200
        flag.refresh_from_db()
        assert (flag.enabled, flag.archived_at is not None) == (enabled, archived), name
    link = f"{LIST}{flag.pk}/change/"
    assert link not in page(admin_client, LIST)
    assert link in page(admin_client, f"{LIST}?state=archived")


def test_a_flag_keeps_an_experiment_that_was_archived_since(admin_client: Client) -> None:
    experiment = running()
    flag = create_flag(body={"key": "model", "type": "string", "variants": {"n": "x"}, "default_variant": "n",
                             "enabled": True, "experiment": "prompt-v2", "experiment_field": "model"})  # fmt: skip
    type(experiment).objects.filter(pk=experiment.pk).update(state="archived")
    body = {
        "variants": '{"n": "x"}',
        "default_variant": "n",
        "experiment": "prompt-v2",
        "experiment_field": "model",
    }
    answer = admin_client.post(action("edit", flag.pk), {**body, "unit": "user"})
    assert answer.status_code == 302, answer.context["form"].errors
    flag.refresh_from_db()
    assert (flag.enabled, flag.experiment_id) == (False, experiment.pk)


def test_readers_see_and_others_do_not() -> None:
    flag = create_flag(body={"key": "checkout", "type": "boolean"})
    urls = [LIST, f"{LIST}{flag.pk}/change/"]
    client = reader("research_read")
    assert [client.get(url).status_code for url in urls] == [200, 200]
    for name in ("make", "edit", "disable", "enable", "archive"):
        arguments = () if name == "make" else (flag.pk,)
        answer = client.post(action(name, *arguments), form(key="other"))
        assert answer.status_code == 403, name
    flag.refresh_from_db()
    assert (FeatureFlag.objects.count(), flag.archived_at) == (1, None)
    client = reader_without()
    assert [client.get(url).status_code for url in urls] == [403, 403]


def reader_without() -> Client:
    client = Client()
    client.force_login(make_user("otto"))
    return client


def test_an_archived_flag_offers_nothing_to_do(admin_client: Client) -> None:
    flag = archive_flag(flag_id=create_flag(body={"key": "checkout", "type": "boolean"}).pk)
    assert admin_client.get(action("edit", flag.pk)).status_code == 403
