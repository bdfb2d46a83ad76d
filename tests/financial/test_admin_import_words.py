"""The import page speaks of its own fields, not of a command's options."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from financial.admin.import_form import in_a_form
from financial.models import CostImport
from tests.admin_data import staff

pytestmark = pytest.mark.django_db

TRACE = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,10,2,12,Conversation log\n"


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        (
            "burstgpt",
            "say when that was, such as “2026-03-01” or “2026-03-01T08:00:00Z”.",
        ),
        (
            "generic",
            "Nothing gives occurred_at: name its column with “occurred_at=COLUMN” under Columns or set it with "
            "“occurred_at=VALUE” under Fixed values.",
        ),
        ("generic", "It looks like “burstgpt”."),
    ],
)
def test_what_is_missing_is_asked_for_in_the_words_of_the_form(
    client: Client, profile: str, sentence: str
) -> None:
    client.force_login(staff("financial:write"))
    file = SimpleUploadedFile("trace.csv", TRACE.encode())
    page = client.post("/admin/financial/costimport/upload/", {"file": file, "profile": profile})
    assert page.status_code == 200
    assert sentence in page.content.decode()
    assert " --" not in page.content.decode().partition("<form")[2].partition("<details")[0]
    assert CostImport.objects.count() == 0


def test_other_words_stay_as_they_are() -> None:
    assert in_a_form("The file is empty -- or --maps nothing.") == "The file is empty -- or --maps nothing."
