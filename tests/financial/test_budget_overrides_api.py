"""Overrides of budgets over HTTP: asked for by one person, approved by another, and refused."""

from __future__ import annotations

import pytest

from financial.models import BudgetOverride

from .budget_calls import errors, make, override, person
from .conftest import Api
from .hold_calls import place

pytestmark = pytest.mark.django_db


def test_an_override_takes_two_people(api):
    path = make(api)
    ada, bob = person("ada", "financial:admin"), person("bob", "financial:admin")
    asked = ada.post(f"{path}/overrides", override())
    assert asked.status_code == 201
    row = BudgetOverride.objects.get()
    answer = asked.json()
    assert asked["Location"] == f"{path}/overrides/{row.pk}"
    assert answer == {
        "id": str(row.pk), "budget": path.rpartition("/")[2], "state": "requested", "entity_id": None,
        "amount": "5.00", "currency": "USD", "until": row.until.isoformat().replace("+00:00", "Z"),
        "reason": "Black Friday", "requested_by": row.requested_by_id, "requested_as": row.requested_as,
        "requested_at": row.requested_at.isoformat().replace("+00:00", "Z"), "approved_by": None,
        "approved_at": None, "ended_at": None,
    }  # fmt: skip
    approve = f"{asked['Location']}/approve"
    for refused, code in (
        (ada.post(approve, None), "same_person"),
        (Api(["financial:admin"]).post(approve, None), "no_person"),
        (api.post(approve, None), "missing_scope"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    assert (api.get(asked["Location"]).json(), api.get(path).json()["limit"]) == (answer, "10.00")
    approved = bob.post(approve, None).json()
    assert (approved["state"], approved["approved_by"] != approved["requested_by"]) == ("approved", True)
    assert [api.get(path).json()[name] for name in ("limit", "raised", "base_limit")] == [
        "15.00",
        "5.00",
        "10.00",
    ]
    assert place(api, amount="15").status_code == 201
    again = bob.post(approve, None)
    assert (again.status_code, again.json()["code"]) == (409, "approved")
    ended = api.post(f"{asked['Location']}/withdraw", None).json()
    assert (ended["state"], api.get(path).json()["overrun"]) == ("ended", "5.00")
    assert [row["state"] for row in api.get(f"{path}/overrides").json()["results"]] == ["ended"]
    over = api.post(f"{asked['Location']}/withdraw", None)
    assert (over.status_code, over.json()["code"]) == (409, "override_over")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": "0"}, ("/amount", "too_small")),
        ({"amount": 5}, ("/amount", "not_a_string")),
        ({"until": "2026-01-01T00:00:00Z"}, ("/until", "in_the_past")),
        ({"until": "2036-01-01T00:00:00"}, ("/until", "invalid")),
        ({"reason": " "}, ("/reason", "required")),
        ({"reason": "x" * 501}, ("/reason", "too_long")),
        ({"entity_id": "other"}, ("/entity_id", "other_entity")),
        ({"colour": "red"}, ("/colour", "unknown_field")),
    ],
)
def test_a_bad_override_is_refused(api, changes, expected):
    path = make(api)
    assert errors(api.post(f"{path}/overrides", override(**changes))) == [expected]
    assert BudgetOverride.objects.count() == 0


def test_an_override_is_found_under_its_own_budget_alone(api):
    path, other = make(api), make(api, name="Other")
    asked = api.post(f"{path}/overrides", override())["Location"]
    number = asked.rpartition("/")[2]
    keeper = person("ada", "financial:admin")
    for response in (
        api.get(f"{other}/overrides/{number}"),
        keeper.post(f"{other}/overrides/{number}/approve", None),
        api.post(f"{other}/overrides/{number}/withdraw", None),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert api.get(asked).json()["state"] == "requested"
    withdrawn = api.post(f"{asked}/withdraw", None).json()
    assert (withdrawn["state"], withdrawn["approved_at"]) == ("withdrawn", None)
    refused = keeper.post(f"{asked}/approve", None)
    assert (refused.status_code, refused.json()["code"]) == (409, "override_over")
