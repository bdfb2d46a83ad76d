"""Unit prices over the API and from files."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.ids import uuid7
from financial.models import UnitPrice

from .conftest import Api
from .unit_price_calls import UNIT_PRICES, day, price

pytestmark = pytest.mark.django_db


def test_unit_prices_over_the_api(db):
    admin = Api(["financial:admin"])
    body = {"cost_type": "compute", "unit": "hour", "price": "2.50", "valid_from": "2026-11-01T00:00:00Z"}
    answer = admin.post(UNIT_PRICES, body)
    made = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"{UNIT_PRICES}/{made['id']}"
    assert {name: made[name] for name in (*body, "provider", "model", "currency", "valid_to", "archived_at")} == {
        **body, "price": "2.5", "provider": "", "model": "", "currency": "USD", "valid_to": None,
        "archived_at": None,
    }  # fmt: skip
    assert admin.get(answer["Location"]).json() == made
    path, tag = answer["Location"], answer["ETag"]

    def patch(change: Any, **headers: str) -> Any:
        return admin.client.patch(
            path, change, content_type="application/json", headers={"X-API-Key": admin.key, **headers}
        )

    assert patch({"note": "x"}).status_code == 428
    assert patch({"note": "x"}, **{"If-Match": '"other"'}).status_code == 412
    assert patch({"price": "9"}, **{"If-Match": tag}).json()["errors"][0]["code"] == "unknown_field"
    changed = patch({"valid_to": "2026-12-01T00:00:00Z"}, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["valid_to"]) == (200, "2026-12-01T00:00:00Z")
    assert admin.post(UNIT_PRICES, {**body, "price": "3"}).status_code == 409
    assert [row["id"] for row in admin.get(UNIT_PRICES, unit="hour").json()["results"]] == [made["id"]]
    assert admin.get(UNIT_PRICES, at="2027-01-01T00:00:00Z").json()["results"] == []
    assert admin.post(f"{path}/archive", {}).json()["archived_at"] is not None
    assert admin.get(UNIT_PRICES).json()["results"] == []
    assert len(admin.get(UNIT_PRICES, archived="true").json()["results"]) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"price": 2.5}, "/price"),
        ({"price": "1e-3"}, "/price"),
        ({"cost_type": "snacks"}, "/cost_type"),
        ({"unit": ""}, "/unit"),
        ({"currency": "XXQ"}, "/currency"),
        ({"valid_from": "2026-11-01"}, "/valid_from"),
        ({"prize": "1"}, "/prize"),
        ({"archived_at": "2026-11-01T00:00:00Z"}, "/archived_at"),
    ],
)
def test_bad_unit_prices_are_refused_over_the_api(db, change, pointer):
    body = {"cost_type": "tool", "unit": "call", "price": "1"}
    answer = Api(["financial:admin"]).post(UNIT_PRICES, {**body, **change})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not UnitPrice.objects.exists()


def test_reading_needs_read_and_setting_needs_admin(db):
    row = price("1")
    reader = Api(["financial:read"])
    assert reader.get(UNIT_PRICES).status_code == reader.get(f"{UNIT_PRICES}/{row.pk}").status_code == 200
    assert reader.post(UNIT_PRICES, {}).status_code == 403
    assert reader.post(f"{UNIT_PRICES}/{row.pk}/archive", {}).status_code == 403
    assert Api(["common:read"]).get(UNIT_PRICES).status_code == 403
    assert reader.get(f"{UNIT_PRICES}/{uuid7()}").status_code == 404
    row.refresh_from_db()
    assert row.archived_at is None


HEADER = "cost_type,unit,price,currency,provider,valid_from,valid_to,note\n"


def imported(tmp_path, text: str) -> str:
    file = tmp_path / "prices.csv"
    file.write_text(text)
    out = StringIO()
    call_command("import_unit_prices", str(file), stdout=out)
    return out.getvalue()


def test_a_file_of_unit_prices_is_imported_and_again(tmp_path):
    text = HEADER + (
        "tool,call,0.005,USD,acme,2026-01-01,,\n"
        "tool,call,0.004,USD,acme,2026-07-01,,cheaper\n"
        'human,minute,0.75,EUR,,2026-01-01T06:00:00Z,2026-07-01,"contract, page 3"\n'
        "\n"
    )
    assert imported(tmp_path, text) == "3 added, 0 there already\n"
    assert imported(tmp_path, text) == "0 added, 3 there already\n"
    rows = UnitPrice.objects.order_by("cost_type", "valid_from")
    assert [(row.unit, row.price, row.valid_from, row.valid_to, row.note) for row in rows] == [
        ("minute", 750_000_000_000, datetime(2026, 1, 1, 6, tzinfo=UTC), day(1, 7), "contract, page 3"),
        ("call", 5_000_000_000, day(1, 1), day(1, 7), ""),
        ("call", 4_000_000_000, day(1, 7), None, "cheaper"),
    ]


def test_a_file_with_bad_rows_changes_nothing_and_names_them(tmp_path):
    text = HEADER + (
        "tool,call,0.005,USD,acme,2026-01-01,,\n"
        "tool,call,0.006,USD,acme,2026-01-01,,\n"
        "tool,hour,NaN,usd,,2026-01-01,,\n"
        "tool,day,1,USD,,soon,,\n"
        "tool,day,1,USD,,,,\n"
    )
    with pytest.raises(Invalid) as caught:
        imported(tmp_path, text)
    said = caught.value.detail
    assert "Row 2:" not in said
    for words in (
        "Row 3: The unit price ", "Row 4: currency: Is not an ISO 4217 currency code. price: A decimal is digits",
        'Row 5: valid_from: "soon" is neither', "Row 6: valid_from is needed.",
    ):  # fmt: skip
        assert words in said
    assert not UnitPrice.objects.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is missing"),
        ("cost_type,unit,price,currency\n", "valid_from is missing"),
        (HEADER.replace("note", "prize"), "it is cost_type"),
        (HEADER + "tool,call\n", "Row 2: has 2 values"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, words):
    with pytest.raises(Invalid, match=words):
        imported(tmp_path, text)
