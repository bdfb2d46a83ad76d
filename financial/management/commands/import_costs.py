"""``manage.py import_costs FILE``: import a file of costs, or go on with it."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from django.conf import settings

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.management.base import ServiceCommand
from agent_factory_site.common.management.progress import Progress
from agent_factory_site.common.money import format_amount
from financial.domain.import_profiles import PROFILES
from financial.domain.import_profiles.generic import GENERIC
from financial.domain.import_profiles.profile import ImportOptions
from financial.domain.import_profiles.values import BadValue, parse_time_origin
from financial.services.import_costs import import_costs
from financial.services.import_report import ImportBeginning, ImportCounts, ImportReport, ImportWatch

ROWS_REJECTED: Final = 1
INTERRUPTED: Final = 130


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ArgumentTypeError(f'"{text}" is not of the form field=value')
    return name.strip(), value.strip()


def _origin(text: str) -> datetime:
    try:
        return parse_time_origin(text)
    except BadValue as error:
        raise ArgumentTypeError(error.detail) from None


class Command(ServiceCommand):
    help = (
        "Import costs from a CSV, JSON Lines or JSON file, plain or gzip. Repeating an import, or going on "
        "with one that was interrupted, never charges a row twice. Profiles: "
        + "; ".join(f"{profile.name}: {profile.title}" for profile in PROFILES.values())
        + ". Exits 0 when every row is in the ledger, 1 when rows were rejected, 2 when the file or the "
        "command line is wrong, 130 when interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--profile", default=GENERIC.name, help="What kind of file it is (%(default)s).")
        parser.add_argument(
            "--map", type=_pair, action="append", default=[], metavar="FIELD=COLUMN",
            help="Take a field from another column, such as tags.env=Environment. Repeats.",
        )  # fmt: skip
        parser.add_argument(
            "--set", type=_pair, action="append", default=[], metavar="FIELD=VALUE",
            help="Give a field the same value in every row, such as model=gpt-4o. Repeats; wins over --map.",
        )  # fmt: skip
        parser.add_argument(
            "--time-origin", type=_origin, metavar="TIME",
            help="When a recording with relative times began: a date, or a time with a zone.",
        )  # fmt: skip
        parser.add_argument(
            "--rejects", type=Path, metavar="PATH", help="Where rows that cannot be imported are written."
        )
        parser.add_argument("--dry-run", action="store_true", help="Do everything and keep nothing.")

    def handle(self, **options: Any) -> None:
        with (
            acting(Actor.command("import_costs")),
            _stop_on_signals() as received,
            ExitStack() as displays,
        ):
            follower = _Follower(self, displays)
            report = import_costs(
                path=options["file"],
                profile=options["profile"],
                options=ImportOptions(dict(options["map"]), dict(options["set"]), options["time_origin"]),
                rejects=options["rejects"],
                dry_run=options["dry_run"],
                watch=ImportWatch(
                    on_begin=follower.begin, on_batch=follower.batch, should_stop=lambda: bool(received)
                ),
            )
        self.stdout.write(_summary(report))
        if not report.complete:
            self.note("Interrupted. Give the same command again to go on after the last row counted here.")
            sys.exit(INTERRUPTED)
        if report.counts.rejected:
            sys.exit(ROWS_REJECTED)


class _Follower:
    """Tells the person at the terminal; progress appears once there is a first row to read."""

    def __init__(self, command: Command, displays: ExitStack) -> None:
        self._command = command
        self._displays = displays
        self._progress: Progress | None = None
        self._before = 0

    def begin(self, beginning: ImportBeginning) -> None:
        self._before = beginning.resumed_after_row
        if self._before:
            self._command.note(f"Going on after row {self._before:,}.")
        if beginning.assumed:
            said = " ".join(f"--set {name}={value}" for name, value in beginning.assumed.items())
            self._command.note(f"Assumed, because such files do not say: {said}")
        for note in beginning.notes:
            self._command.note(f"Assumed: {note}")
        if beginning.unused_columns:
            self._command.note(f"Columns not used: {', '.join(beginning.unused_columns)}")
        total = None if beginning.lines is None else max(0, beginning.lines - self._before)
        self._progress = self._displays.enter_context(self._command.progress("rows", total))

    def batch(self, counts: ImportCounts) -> None:
        if self._progress is not None:
            self._progress.move_to(counts.rows - self._before)


@contextmanager
def _stop_on_signals() -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM asks for a stop after the batch in hand, the second ends at once."""
    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _summary(report: ImportReport) -> str:
    counts = report.counts
    lines = [report.file_name + ("" if report.id else " (dry run: nothing is kept)")]
    figures = {
        "rows": f"{counts.rows:,}",
        "accepted": f"{counts.accepted:,}",
        "duplicates": f"{counts.duplicates:,}",
        "rejected": f"{counts.rejected:,}",
        **({"unpriced": f"{counts.unpriced:,}"} if counts.unpriced else {}),
        **{name: f"{quantity:,}" for name, quantity in counts.usage.items() if quantity},
        f"amount ({settings.BASE_CURRENCY})": format_amount(counts.amount),
    }
    width = max(map(len, figures.values()))
    lines += [f"  {name:<21} {figure:>{width}}" for name, figure in figures.items()]
    if report.rejects:
        lines.append(f"Rejected rows, with the reasons: {_shown(report.rejects)}")
    if counts.conflicts and counts.conflicts == counts.rows:
        lines.append(
            "Every row was imported before with other options; to import the file once more beside that, "
            "give it another source: --set source=NAME"
        )
    return "\n".join(lines)


def _shown(path: Path) -> Path:
    """As short as it can be given to a next command."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
