"""docs/benchmarks.md, from the outcomes of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from . import machine, postgres
from .outcome import Outcome


@dataclass(frozen=True, slots=True)
class Section:
    """The outcomes of one benchmark on one database."""

    title: str
    database: str
    outcomes: list[Outcome]


HEADER: Final = """# Benchmarks

`make bench` measures what stands here and writes this page; `make bench-large` adds the data sets of
10^7 events. A *ratio* compares two things measured in turn, round by round, in one run on one database:
it is the median of the ratios of all rounds, and moves little with the machine. The *numbers aside* are
those of the machine below, while it did other things as well, and are no promise.
"""


def render(sections: Sequence[Section], *, version: str, busy: str, seconds: float, large: bool) -> str:
    """The page."""
    settings = ", ".join(f"`{name}={value}`" for name, value in postgres.SETTINGS.items())
    lines = [
        HEADER,
        f"- Measured {datetime.now(UTC):%Y-%m-%d} in {seconds:.0f} s with "
        f"`make bench{'-large' if large else ''}`, at a {busy} before it began.",
        f"- {machine.processor()}, {machine.memory()} of memory.",
        f"- {machine.versions()}.",
        f"- {version} over loopback TCP: {settings}. The *commit flush of 2 ms* is "
        "`commit_delay=2000` with `commit_siblings=0`: a committing session waits that long before it "
        "flushes, holding the lock that other flushes wait for; those that come meanwhile share its flush.",
        "- SQLite: a file in WAL mode with `synchronous=NORMAL`, as the application uses it.",
        "",
    ]
    title = ""
    for section in sections:
        if section.title != title:
            title = section.title
            lines += [f"## {title}", "", "| database | what | measured | bar | verdict |"]
            lines += ["|---|---|---|---|---|"]
            titled = [other for other in sections if other.title == title]
            rows = [(other.database, found) for other in titled for found in other.outcomes]
            lines += [_row(database, found) for database, found in rows]
            lines += ["", "Numbers aside:", ""]
            lines += [f"- {name}: {found.what}: {found.aside}." for name, found in rows if found.aside]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(database: str, found: Outcome) -> str:
    bar = "" if found.bar is None else f"{found.sense} {_number(found.bar)}"
    measured = f"**{_number(found.value)}** {found.unit}"
    return f"| {database} | {found.what} | {measured} | {bar} | {found.verdict} |"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
