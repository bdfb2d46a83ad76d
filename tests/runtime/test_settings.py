"""Settings come from the environment, are documented, and are safe in production."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_letters

import pytest
from django.core.exceptions import ImproperlyConfigured

from agent_factory_site.common.environment import Environment

from .system import ROOT, manage

pytestmark = pytest.mark.once

env = Environment()


def variables() -> set[str]:
    """Every name that settings.py reads."""
    tree = ast.parse((ROOT / "agent_factory_site" / "settings.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            if isinstance(function, ast.Name) and function.id == "env" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    names.add(first.value)
    return names


def test_every_variable_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    documented = re.findall(r"^\| `([A-Z_]+)` \|", text, re.M)
    assert len(documented) == len(set(documented))
    assert set(documented) == variables()


def test_production_passes_the_deployment_checks(tmp_path: Path) -> None:
    done = manage(
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        folder=tmp_path,
        PRODUCTION="1",
        SECRET_KEY=ascii_letters,
    )
    assert (done.returncode, done.stdout) == (0, "System check identified no issues (0 silenced).\n"), (
        done.stderr
    )


def test_the_generated_secret_key_is_kept_and_private(tmp_path: Path) -> None:
    show = ("shell", "-v0", "-c", "from django.conf import settings; print(settings.SECRET_KEY)")
    folder = tmp_path / "var"
    first, second = manage(*show, folder=folder).stdout, manage(*show, folder=folder).stdout
    assert first == second
    assert first.strip() == (folder / "secret_key").read_text()
    assert len(first) > 64
    assert (folder / "secret_key").stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_static_files_are_collected_under_hashed_names(tmp_path: Path) -> None:
    collected = tmp_path / "static"
    done = manage("collectstatic", "--noinput", "-v0", folder=tmp_path, STATIC_ROOT=str(collected))
    assert done.returncode == 0, done.stderr
    page = manage(
        "shell",
        "-v0",
        "-c",
        "from django.templatetags.static import static; print(static('admin/css/base.css'))",
        folder=tmp_path,
        STATIC_ROOT=str(collected),
    ).stdout.strip()
    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css", page)
    file = collected / page.removeprefix("/static/")
    assert file.with_name(file.name + ".gz").exists()
    # Uploads are private; these are collected by one user and served by another.
    assert file.stat().st_mode & 0o004


def test_a_value_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("AF_TEST", "from the variable")
    assert env("AF_TEST", default="") == "from the variable"
    monkeypatch.setenv("AF_TEST_FILE", str(tmp_path / "key"))
    assert env("AF_TEST", default="") == "from the file"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, "$NAME", "$NAME"),
        (str, " padded ", "padded"),
        (int, "-5", -5),
        (float, "1e3", 1000.0),
        (bool, "Yes", True),
        (bool, "0", False),
        (list, "a, b,,c ", ["a", "b", "c"]),
    ],
)
def test_values_are_read_as_they_stand(
    monkeypatch: pytest.MonkeyPatch, kind: type, text: str, value: object
) -> None:
    monkeypatch.setenv("AF_TEST", text)
    assert env.get_value("AF_TEST", cast=kind if kind is not str else None, default=None) == value


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AF_TEST", text)
    assert env.int("AF_TEST", default=7) == 7
    assert env.bool("AF_TEST", default=True) is True
    assert env.list("AF_TEST", default=["x"]) == ["x"]


@pytest.mark.parametrize(("kind", "text"), [(int, "1.5"), (int, "x"), (float, "1,5"), (bool, "maybe")])
def test_what_cannot_be_read_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, kind: type, text: str
) -> None:
    monkeypatch.setenv("AF_TEST", text)
    with pytest.raises(ImproperlyConfigured, match=f"^AF_TEST='{re.escape(text)}' is not "):
        env.get_value("AF_TEST", cast=kind, default=None)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("LOG_FORMAT", "xml", "LOG_FORMAT='xml' is not one of json, console."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL='loud' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
        (
            "COST_EARLIEST",
            "last year",
            "COST_EARLIEST='last year' is not a time with a zone, such as 2015-01-01T00:00:00Z.",
        ),
        (
            "COST_EARLIEST",
            "2015-01-01T00:00:00",
            "COST_EARLIEST='2015-01-01T00:00:00' is not a time with a zone, such as 2015-01-01T00:00:00Z.",
        ),
    ],
)
def test_a_bad_setting_is_one_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    outcome = manage("check", folder=tmp_path, **{name: text})
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.strip() == sentence


def test_choices_and_moments_are_read_in_any_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AF_TEST", "JSON")
    assert env.choice("AF_TEST", ("json", "console"), default="console") == "json"
    monkeypatch.setenv("AF_TEST", "2020-02-03")
    assert env.moment("AF_TEST", default="") == datetime(2020, 2, 3, tzinfo=UTC)
    monkeypatch.setenv("AF_TEST", "2020-02-03T01:00:00+01:00")
    assert env.moment("AF_TEST", default="") == datetime(2020, 2, 3, tzinfo=UTC)
