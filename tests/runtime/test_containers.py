"""compose.yaml and the Containerfile say what the code understands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from agent_factory_site.common.environment import Environment

from .system import ROOT
from .test_settings import variables

pytestmark = pytest.mark.once

APPLICATION = ("migrate", "web", "worker", "beat")


def compose() -> list[str] | None:
    """The command that reads compose files on this machine."""
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_compose_accepts_the_file_as_it_is() -> None:
    command = compose()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed")
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [*command, "-f", "compose.yaml", "config"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"secrets", "postgres", "redis", *APPLICATION}


def valid(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    """What the JSON schema that check-jsonschema brings along says about ``path``."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("schema", "path"), [("compose-spec", "compose.yaml"), ("github-workflows", ".github/workflows/ci.yml")]
)
def test_the_files_are_what_their_specifications_say(schema: str, path: str, tmp_path: Path) -> None:
    done = valid(schema, ROOT / path)
    assert done.returncode == 0, done.stdout
    part = "services" if schema == "compose-spec" else "jobs"
    wrong = yaml.safe_load((ROOT / path).read_text())
    next(iter(wrong[part].values()))["comand"] = "misspelt"
    other = tmp_path / Path(path).name
    other.write_text(yaml.safe_dump(wrong))
    done = valid(schema, other)
    assert done.returncode == 1
    assert "comand" in done.stdout


def test_the_services_run_commands_that_exist(services: dict[str, Any]) -> None:
    for name in APPLICATION:
        python, manage, command, *_ = services[name]["command"]
        assert (python, manage) == ("python", "manage.py")
        assert command in get_commands()


def test_only_known_variables_are_set_and_no_secret_stands_in_the_file(services: dict[str, Any]) -> None:
    for name in APPLICATION:
        given = services[name]["environment"]
        assert {variable.removesuffix("_FILE") for variable in given} <= variables()
    text = (ROOT / "compose.yaml").read_text()
    assert not re.search(r"(?i)(password|secret_key): *[^ /\n]", text)
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text)


def test_every_service_is_confined_and_watched(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    # The image runs as a user of its own and watches the web server.
    for name in ("postgres", "redis"):
        assert services[name]["user"] != "root"
    for name in ("postgres", "redis", "worker", "beat"):
        assert services[name]["healthcheck"]["test"]
    image = (ROOT / "Containerfile").read_text()
    assert re.findall(r"^USER (.+)$", image, re.M) == ["10001:10001"]
    assert "http://127.0.0.1:8000/livez" in image


def test_secrets_are_made_once_and_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, ROOT / "tools" / "compose_secrets.py", tmp_path]
    subprocess.run(command, check=True)
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    subprocess.run(command, check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == first
    assert set(first) == {"postgres_password", "redis_password", "database_url", "redis_url"}
    assert first["postgres_password"] != first["redis_password"]
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "database_url"))
    database = Environment().db("DATABASE_URL")
    assert (database["HOST"], database["PORT"], database["USER"], database["PASSWORD"], database["NAME"]) == (
        "postgres",
        5432,
        "agent_factory",
        first["postgres_password"],
        "agent_factory",
    )
    assert first["redis_url"] == f"redis://:{first['redis_password']}@redis:6379/0"
