"""The client for programs without dependencies, against a real server."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_factory_site.common.services.api_keys import create_api_key
from research.models import Assignment
from research.services.flags import change_flag, create_flag
from tests.common.callers import granian
from tests.processes import PATIENCE

from .experiment_setup import running

CLIENT = Path(__file__).resolve().parents[2] / "client"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(CLIENT))
    import agent_factory_flags  # type: ignore[import-not-found]

    yield agent_factory_flags
    del sys.modules["agent_factory_flags"]


def test_flags_assignments_and_use(module: Any, live_database: str) -> None:
    running()
    create_flag(body={"key": "checkout", "type": "boolean", "enabled": True})
    create_flag(
        body={
            "key": "split",
            "type": "boolean",
            "enabled": True,
            "rules": [{"split": [{"variant": "on", "weight": 0.5}]}],
        }
    )
    secret = create_api_key(name="agent", scopes=["assign"])[1]
    with granian("agent_factory_site.wsgi:application", live_database) as url:
        flags = module.Flags(url, secret, timeout=PATIENCE)
        found = flags.one("checkout", True)
        assert (found.value, found.variant, found.reason, found.error) == (False, "off", "STATIC", "")
        missing = flags.one("nothing/at all", 7)
        assert (missing.value, missing.error) == (7, "There is no flag 'nothing/at all'.")
        assert flags.one("split", True).error.startswith("The context names no targetingKey")
        everything = flags.all("u-1", country="DE")
        assert set(everything) == {"checkout", "prompt-v2", "split"}
        assert flags.all("u-1", country="DE") is everything
        assert Assignment.objects.count() == 0
        variant = everything["prompt-v2"].variant
        assert flags.used("prompt-v2", "u-1", variant)
        assert flags.used("prompt-v2", "u-1", variant)
        assert Assignment.objects.get().variant.key == variant
        other = ({"control", "treatment"} - {variant}).pop()
        assert not flags.used("prompt-v2", "u-1", other)
        assert flags.one("prompt-v2", {}, "u-2").metadata["assignment"] == "assigned"
        assert Assignment.objects.count() == 2
        change_flag(flag_id="checkout", changes={"default_variant": "on"})
        assert flags.all("u-1", country="DE")["checkout"].value is True
        assert module.Flags(url, "af_wrong", timeout=PATIENCE).one("checkout", "own").value == "own"
    # The server is gone: what was served last, or the program's default.
    assert flags.all("u-1", country="DE")["checkout"].value is True
    gone = flags.one("checkout", "own")
    assert (gone.value, gone.reason) == ("own", "ERROR")
    assert gone.error


def test_a_server_that_does_not_answer_is_given_up(module: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        flags = module.Flags(f"http://127.0.0.1:{deaf.getsockname()[1]}", "af_x", timeout=0.2)
        assert flags.one("checkout", True).error
        assert flags.all() == {}
    with pytest.raises(ValueError, match="http"):
        module.Flags("file:///etc/passwd", "af_x")
