"""Pages outside of the admin say as well that a demo is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from tests.runtime.system import manage


@pytest.mark.django_db
@pytest.mark.parametrize("demo", [True, False])
def test_error_pages_are_marked(client: Client, settings: Settings, demo: bool) -> None:
    settings.DEMO = demo
    page = client.get("/nowhere")
    assert page.status_code == 404
    text = page.content.decode()
    assert ("<title>[Demo] Not Found" in text, "Demo: everything you see is made up." in text) == (demo, demo)


@pytest.mark.once
@pytest.mark.parametrize(
    ("demo", "title"), [("1", "Agent Factory API (demo data)"), ("0", "Agent Factory API")]
)
def test_the_documentation_of_the_api_is_marked(tmp_path: Path, demo: str, title: str) -> None:
    code = "from django.conf import settings as s; print(s.SPECTACULAR_SETTINGS['TITLE'])"
    assert manage("shell", "-v0", "-c", code, folder=tmp_path, DEMO=demo).stdout == f"{title}\n"
