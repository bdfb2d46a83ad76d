"""Outgoing requests as tests make them, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agent_factory_site.common.http_client import (
    OutgoingFailed,
    OutgoingRefused,
    Response,
    send,
)
from agent_factory_site.common.services.allowed_networks import allow_network
from tests.common.outgoing_servers import Server


def answering(*answers: Sequence[str]) -> tuple[Callable[[str, int], Sequence[str]], list[tuple[str, int]]]:
    """A resolver that gives each of ``answers`` once and the last one from then on, and what it was asked."""
    asked: list[tuple[str, int]] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return answers[min(len(asked), len(answers)) - 1]

    return resolver, asked


def opened(server: Server, cidr: str = "127.0.0.0/8") -> Server:
    allow_network(cidr=cidr, port=server.port, purpose="tests")
    return server


def ask(url: str, **changes: Any) -> Response:
    return send("GET", url, **{"deadline": 200, "max_bytes": 1000, **changes})


def refusal(url: str, **changes: Any) -> OutgoingRefused:
    with pytest.raises(OutgoingRefused) as caught:
        ask(url, **changes)
    return caught.value


def failure(url: str, **changes: Any) -> OutgoingFailed:
    with pytest.raises(OutgoingFailed) as caught:
        ask(url, **changes)
    return caught.value
