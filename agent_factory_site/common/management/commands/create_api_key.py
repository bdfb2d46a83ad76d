"""``manage.py create_api_key``."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.models import User
from agent_factory_site.common.scopes import EVERYTHING, SCOPES
from agent_factory_site.common.services.api_keys import create_api_key

_DAYS = re.compile(r"([1-9]\d{0,4})d\Z")


class Command(ServiceCommand):
    """Prints the key on stdout, once and alone, so that it can be piped into a file or a variable."""

    help = "Create an API key and print it, once, alone on stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the key is for")
        parser.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            required=True,
            help=f"what it may do; repeat it for several. {', '.join(SCOPES)}, or '{EVERYTHING}' for all",
        )
        parser.add_argument(
            "--expires", help="a date (2027-01-01, at midnight UTC) or a number of days (90d)"
        )
        parser.add_argument("--owner", help="the user name of whom it belongs to")

    def handle(
        self, *, name: str, scopes: list[str], expires: str | None, owner: str | None, **options: Any
    ) -> None:
        key, secret = create_api_key(
            name=name,
            scopes=scopes,
            expires_at=_expiry(expires) if expires is not None else None,
            owner=_user(owner) if owner is not None else None,
        )
        self.stdout.write(secret)
        until = key.expires_at.strftime("%Y-%m-%d")
        self.note(f'Created the API key "{key.name}" ({", ".join(key.scopes)}), valid until {until}.')
        self.note("Keep it: it is not stored and cannot be shown again.")


def _expiry(text: str) -> datetime:
    if days := _DAYS.match(text):
        return timezone.now() + timedelta(days=int(days[1]))
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"--expires takes a date such as 2027-01-01 or days such as 90d, not {text!r}."
        ) from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _user(username: str) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user named {username!r}.")
    return user
