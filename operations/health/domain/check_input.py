"""What somebody writes of a health check, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.framing import (
    HEADER_NAME,
    HEADER_VALUE,
    MAX_HEADER_BYTES,
    header_bytes,
    written_here,
)

KEY: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}\Z")
HTTP: Final = "http"
HEARTBEAT: Final = "heartbeat"
KINDS: Final = (HTTP, HEARTBEAT)
METHODS: Final = ("GET", "HEAD", "POST")
_STATUS: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?\Z")
MAX_HEADERS: Final = 20
MAX_HEADER_VALUE: Final = 4096
TEXTS: Final = {"name": 200, "description": 2000, "contains": 500, "url": 2048}
NUMBERS: Final[Mapping[str, tuple[float, float]]] = {
    "interval_seconds": (10, 86_400),
    "grace_seconds": (0, 86_400),
    "failure_threshold": (1, 20),
    "success_threshold": (1, 20),
}
MIN_TIMEOUT: Final = 0.1
MAX_TIMEOUT: Final = 60.0
SET_BY_ITSELF: Final[Mapping[str, Mapping[str, int]]] = {"failure_threshold": {HTTP: 2, HEARTBEAT: 1}}
OF_HTTP: Final = ("url", "method", "headers", "expected_statuses", "contains", "timeout_seconds")


@dataclass(frozen=True, slots=True)
class CheckInput:
    """A health check as it is to be; ``headers`` is None where they are to stay as they are."""

    key: str
    kind: str
    name: str = ""
    description: str = ""
    entity_type: str | None = None
    entity_id: str | None = None
    url: str = ""
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    expected_statuses: tuple[str, ...] = ("200-299",)
    contains: str = ""
    interval_seconds: int = 60
    timeout_seconds: float = 10.0
    grace_seconds: int = 60
    failure_threshold: int = 2
    success_threshold: int = 1


FIELDS: Final = tuple(field.name for field in fields(CheckInput))


def parse_check(body: Mapping[str, Any], errors: list[FieldError]) -> CheckInput | None:
    """The check that ``body`` describes; what is wrong goes to ``errors``, each field by itself.

    Whether the URL may be asked is for the caller to say: that takes the outgoing client.
    """
    before = len(errors)
    for name in body:
        if name not in FIELDS:
            token = str(name).replace("~", "~0").replace("/", "~1")
            errors.append(FieldError(f"/{token}", "unknown_field", "There is no such field."))
    given = {name: value for name, value in body.items() if name in FIELDS}
    _check_key(given.get("key"), errors)
    kind = given.get("kind", HTTP)
    if kind not in KINDS:
        errors.append(FieldError("/kind", "invalid_choice", f"Is one of {', '.join(KINDS)}."))
        return None
    given["kind"] = kind
    for name, longest in TEXTS.items():
        _check_text(name, given.get(name, ""), longest, errors)
    for name, (least, most) in NUMBERS.items():
        given.setdefault(name, SET_BY_ITSELF.get(name, {}).get(kind, _default(name)))
        _check_whole(name, given[name], least, most, errors)
    _check_entity(given, errors)
    if kind == HTTP:
        _check_http(given, errors)
    else:
        errors += [
            FieldError(f"/{name}", "not_of_this_kind", "Heartbeats are sent to us: they have no such field.")
            for name in OF_HTTP
            if name in given and not _is_default(name, given[name])
        ]
    if len(errors) > before:
        return None
    given["expected_statuses"] = tuple(given.get("expected_statuses") or ("200-299",))
    return CheckInput(**given)


def _default(name: str) -> Any:
    return next(field.default for field in fields(CheckInput) if field.name == name)


def _is_default(name: str, value: Any) -> bool:
    default = _default(name)
    return value in (None, "", {}, default) or (isinstance(value, list) and tuple(value) == default)


def _check_key(key: object, errors: list[FieldError]) -> None:
    if not isinstance(key, str) or not KEY.match(key):
        detail = "1 to 100 of a-z, 0-9, dot, hyphen and underscore, beginning with a letter or digit."
        errors.append(FieldError("/key", "invalid", detail))


def _check_text(name: str, value: object, longest: int, errors: list[FieldError]) -> None:
    if not isinstance(value, str) or "\0" in value:
        errors.append(FieldError(f"/{name}", "invalid", "Must be text."))
    elif len(value) > longest:
        errors.append(FieldError(f"/{name}", "max_length", f"At most {longest:,} characters."))


def _check_whole(name: str, value: object, least: float, most: float, errors: list[FieldError]) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        errors.append(FieldError(f"/{name}", "invalid", "Must be a whole number."))
    elif not least <= value <= most:
        errors.append(FieldError(f"/{name}", "out_of_range", f"From {least:,.0f} to {most:,.0f}."))


def _check_entity(given: Mapping[str, Any], errors: list[FieldError]) -> None:
    both = given.get("entity_type"), given.get("entity_id")
    if both == (None, None):
        return
    for name, value, longest in (("entity_type", both[0], 100), ("entity_id", both[1], 255)):
        if not isinstance(value, str) or not value.strip() or len(value) > longest or "\0" in value:
            detail = f"1 to {longest} characters; both or neither of entity_type and entity_id."
            errors.append(FieldError(f"/{name}", "invalid", detail))


def _check_http(given: Mapping[str, Any], errors: list[FieldError]) -> None:
    if not given.get("url"):
        errors.append(FieldError("/url", "required", "A probe needs a URL."))
    if given.get("method", "GET") not in METHODS:
        errors.append(FieldError("/method", "invalid_choice", f"Is one of {', '.join(METHODS)}."))
    if given.get("method") == "HEAD" and given.get("contains"):
        errors.append(FieldError("/contains", "no_body", "The answer to HEAD has no text to look at."))
    timeout = given.get("timeout_seconds", 10.0)
    interval = given.get("interval_seconds")
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or timeout != timeout:
        errors.append(FieldError("/timeout_seconds", "invalid", "Must be a number."))
    elif not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        detail = f"From {MIN_TIMEOUT:g} to {MAX_TIMEOUT:g}."
        errors.append(FieldError("/timeout_seconds", "out_of_range", detail))
    elif isinstance(interval, int) and timeout > interval:
        errors.append(FieldError("/timeout_seconds", "above_interval", "Is longer than the interval."))
    _check_statuses(given.get("expected_statuses", ("200-299",)), errors)
    _check_headers(given.get("headers"), errors)


def _check_statuses(value: object, errors: list[FieldError]) -> None:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= 20:
        errors.append(FieldError("/expected_statuses", "invalid", "A list of 1 to 20 statuses."))
        return
    for index, item in enumerate(value):
        found = _STATUS.match(item) if isinstance(item, str) else None
        if found is None or (found[2] and found[2] < found[1]):
            detail = 'A status such as "204", or a range such as "200-299".'
            errors.append(FieldError(f"/expected_statuses/{index}", "invalid", detail))


def _check_headers(value: object, errors: list[FieldError]) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping) or len(value) > MAX_HEADERS:
        errors.append(FieldError("/headers", "invalid", f"An object of at most {MAX_HEADERS} headers."))
        return
    seen: set[str] = set()
    for name, text in value.items():
        # Values are secrets: what is wrong with one is said without repeating it.
        pointer = "/headers/" + str(name).replace("~", "~0").replace("/", "~1")
        if not isinstance(name, str) or not HEADER_NAME.fullmatch(name) or len(name) > 100:
            errors.append(FieldError(pointer, "invalid", "Is not the name of a header."))
            continue
        if written_here(name):
            errors.append(FieldError(pointer, "not_settable", "Is written by this service alone."))
        elif name.lower() in seen:
            errors.append(
                FieldError(pointer, "repeated", "Stands there twice: upper and lower case are the same.")
            )
        elif not isinstance(text, str) or not HEADER_VALUE.fullmatch(text) or len(text) > MAX_HEADER_VALUE:
            detail = f"Is visible ASCII without spaces at its ends, at most {MAX_HEADER_VALUE:,} characters."
            errors.append(FieldError(pointer, "invalid", detail))
        seen.add(name.lower())
    texts = [(name, text) for name, text in value.items() if isinstance(text, str)]
    if sum(header_bytes(str(name), text) for name, text in texts) > MAX_HEADER_BYTES:
        errors.append(FieldError("/headers", "too_large", f"At most {MAX_HEADER_BYTES:,} bytes in all."))
