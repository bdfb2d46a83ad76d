"""Settings from environment variables, read strictly.

django-environ parses URLs well, and single values too kindly: it follows a leading ``$`` to another
variable (a secret key may begin with one), reads ``1e3`` as 13, and any misspelt truth value as false.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final

import environ
from django.core.exceptions import ImproperlyConfigured

TRUTH: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
KINDS: Final = {
    int: "a whole number",
    float: "a number",
    bool: "1 or 0 (true or false, yes or no, on or off)",
}


class Environment(environ.Env):
    """Reads ``NAME``, or the file named by ``NAME_FILE``; an empty value is the same as none."""

    def get_value(self, var: str, cast: Any = None, default: Any = None, parse_default: bool = False) -> Any:
        """The value of ``var`` as ``cast``, or ``default``; one sentence when it cannot be read."""
        text = self._text(var)
        if text == "":
            return default
        try:
            if cast is bool:
                return TRUTH[text.lower()]
            if cast is list:
                return [item.strip() for item in text.split(",") if item.strip()]
            return text if cast is None else cast(text)
        except (KeyError, ValueError) as error:
            raise ImproperlyConfigured(f"{var}={text!r} is not {KINDS.get(cast, 'valid')}.") from error

    def choice(self, var: str, choices: Sequence[str], default: str) -> str:
        """The value of ``var``, in any case, which is one of ``choices``."""
        text = self._text(var) or default
        found = next((each for each in choices if each.lower() == text.lower()), None)
        if found is None:
            raise ImproperlyConfigured(f"{var}={text!r} is not one of {', '.join(choices)}.")
        return found

    def moment(self, var: str, default: str) -> datetime:
        """The value of ``var`` as a time: RFC 3339 with a zone; a date is its midnight UTC."""
        text = self._text(var) or default
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is None and len(text) == len("2015-01-01"):
            moment = moment.replace(tzinfo=UTC)
        if moment is None or moment.tzinfo is None:
            raise ImproperlyConfigured(
                f"{var}={text!r} is not a time with a zone, such as 2015-01-01T00:00:00Z."
            )
        return moment

    def networks(self, var: str) -> list[IPv4Network | IPv6Network]:
        """The value of ``var``: addresses and networks such as ``10.2.0.0/16``, separated by commas."""
        found = []
        for item in self.list(var, default=[]):
            try:
                found.append(ip_network(item))
            except ValueError as error:
                raise ImproperlyConfigured(
                    f"{var}: {item!r} is not a network such as 10.2.0.0/16."
                ) from error
        return found

    def _text(self, var: str) -> str:
        path = os.environ.get(f"{var}_FILE", "")
        if not path:
            return os.environ.get(var, "").strip()
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{var}_FILE={path!r} cannot be read: {error.strerror}.") from error
