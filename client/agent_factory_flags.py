"""Flags and assignments of Agent Factory for Python programs, with the standard library alone.

    from agent_factory_flags import Flags

    flags = Flags("http://127.0.0.1:8000", "af_…")
    served = flags.one("prompt-v2", default={}, unit="u-17", country="DE")
    answer = ask_model(**served.value)

Copy this file into your program. Any OpenFeature client with a remote evaluation provider does the same; this one is
for programs that want no dependency. Nothing here raises where the server cannot be reached or refuses: programs
go on with their defaults, and ``Served.error`` says why.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
MAX_CONTEXTS = 1000


@dataclass(frozen=True)
class Served:
    """What a program goes on with: ``variant`` is empty and ``error`` says why where it is its default."""

    value: Any
    variant: str = ""
    reason: str = "ERROR"
    metadata: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Flags:
    """One server and one API key with the scope ``assign``. Safe to share between threads."""

    def __init__(self, url: str, key: str, timeout: float = 2.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("the url begins with http:// or https://")
        self._url = url.rstrip("/")
        self._key = key
        self._timeout = timeout
        self._fetched: dict[str, tuple[str, dict[str, Served]]] = {}

    def one(self, key: str, default: Any, unit: str | None = None, **attributes: Any) -> Served:
        """What one flag or experiment serves; of an experiment this counts as an exposure of ``unit``."""
        path = f"/ofrep/v1/evaluate/flags/{urllib.parse.quote(key, safe='')}"
        status, _, found = self._post(path, {"context": _context(unit, attributes)})
        return _served(found, default) if status == 200 else Served(default, error=_words(status, found))

    def all(self, unit: str | None = None, **attributes: Any) -> dict[str, Served]:
        """What everything serves, by key, without an exposure: report use with :meth:`used`.

        Where nothing changed since the last call for the same context, the server sends nothing again. What is left
        to the program's default has the value None. What was served last, where the server cannot be reached.
        """
        body = {"context": _context(unit, attributes)}
        held = json.dumps(body, sort_keys=True)
        etag, known = self._fetched.get(held, ("", {}))
        status, headers, found = self._post(
            "/ofrep/v1/evaluate/flags", body, {"If-None-Match": etag} if etag else {}
        )
        if status != 200:
            # 304, or no answer: what was served last is better than nothing.
            return known
        served = {
            each["key"]: _served(each, None) if "reason" in each else Served(None, error=each["errorDetails"])
            for each in found["flags"]
        }
        if len(self._fetched) >= MAX_CONTEXTS:
            self._fetched = {}
        self._fetched[held] = (headers.get("ETag", ""), served)
        return served

    def used(self, experiment: str, unit: str, variant: str) -> bool:
        """Report that ``unit`` was really served ``variant``; whether the report arrived. A repeat counts once."""
        path = f"/api/v1/research/experiments/{urllib.parse.quote(experiment, safe='')}/exposures"
        status, _, found = self._post(path, {"exposures": [{"unit_id": unit, "variant": variant}]})
        return status == 200 and not found.get("rejected")

    def _post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        sent = {"Content-Type": JSON, "Authorization": f"Bearer {self._key}", **(headers or {})}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), sent)  # noqa: S310 - checked
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310 - checked
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, _read(error.read())
        except (OSError, ValueError) as error:
            return 0, {}, {"errorDetails": str(error)}


def _context(unit: str | None, attributes: dict[str, Any]) -> dict[str, Any]:
    return {**({"targetingKey": unit} if unit is not None else {}), **attributes}


def _served(found: dict[str, Any], default: Any) -> Served:
    return Served(found.get("value", default), found["variant"], found["reason"], found["metadata"])


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return {}


def _words(status: int, found: Any) -> str:
    said = found.get("errorDetails") if isinstance(found, dict) else None
    return str(said or f"the server answered {status}")
