"""What a report says, as titled tables of texts: the one content of its page, its CSV and its PDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from operations.slo.models import SloReport, SloReportAmendment


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title; ``numeric`` are the columns that are set to the right, ``note`` says what is left out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A report to be read: a title, a line below, the result, sentences, tables."""

    title: str
    subtitle: str
    result: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]


RESULTS = {"met": "Met", "missed": "Missed", "no_data": "No data"}


def document_of(
    report: SloReport, amendments: Sequence[SloReportAmendment], every_group: bool = False
) -> Document:
    """The report as it stands after its amendments, and what each of them changed; with the worst groups, and where
    the others are, or ``every_group``.
    """
    figures: dict[str, Any] = amendments[-1].figures if amendments else report.figures
    period, slo = figures["period"], figures["slo"]
    labels = ", ".join(f"{name}={value}" for name, value in sorted(figures["labels"].items()))
    said = [figures["text"]]
    if figures["coverage"] is not None:
        said.append(f"{percent(figures['coverage'])} of the minutes have data.")
    said += [note for note in (figures["note"],) if note]
    if amendments:
        first = report.figures
        times = "once" if len(amendments) == 1 else f"{len(amendments)} times"
        said.append(
            f"Frozen as {RESULTS[first['result']].lower()} with {percent(first['sli'])}; amended {times}."
        )
    return Document(
        title=slo["name"],
        subtitle=f"{period['kind'].capitalize()} {days(period)} ({period['timezone']})"
        + (f", {labels}" if labels else ""),
        result=RESULTS[figures["result"]],
        sentences=tuple(said),
        tables=tuple(table for table in _tables(report, figures, amendments, every_group) if table.rows),
    )


def _tables(
    report: SloReport, figures: dict[str, Any], amendments: Sequence[SloReportAmendment], every_group: bool
) -> list[Table]:
    unit = figures["budget"]["unit"]
    after, before, previous = figures, figures["before_exclusions"], figures["previous"]
    three = (after, before, previous)
    numbers = [
        ("Result", *(RESULTS[one["result"]] for one in three)),
        ("Level", *(percent(one["sli"]) for one in three)),
        ("Objective", *(percent(figures["slo"]["target"]) for _ in three)),
        (f"Good {unit}", *(count(one["good"]) for one in three)),
        (f"All {unit}", *(count(one["total"]) for one in three)),
        (f"Budget, {unit}", *(count(one["budget"]["total"]) for one in three)),
        ("Spent", *(count(one["budget"]["spent"]) for one in three)),
        ("Adjusted", *(count(one["budget"]["adjusted"]) for one in three)),
        ("Left", *(count(one["budget"]["left"]) for one in three)),
        ("Left of the budget", *(percent(one["budget"]["left_ratio"]) for one in three)),
    ]
    right = frozenset({1, 2, 3})
    columns = ("", "After exclusions", "Before exclusions", "Period before")
    return [
        Table("Figures", columns, tuple(numbers), right),
        Table(
            "Amendments",
            ("Number", "Written (UTC)", "Why", "Level", "Result"),
            tuple(
                (
                    str(one.number), f"{one.created_at:%Y-%m-%d %H:%M}", one.reason, percent(one.figures["sli"]),
                    RESULTS[one.figures["result"]],
                )
                for one in amendments
            ),
        ),
        Table(
            "Worst days",
            ("Day", "Level", "Good", "All", "Bad", "Of the budget"),
            tuple(_day_row(one) for one in figures["worst_days"]),
            frozenset({1, 2, 3, 4, 5}),
        ),
        _groups(report, figures, amendments[-1].groups if amendments else report.groups)
        if every_group
        else _worst_groups(report, figures),
        Table(
            "Exclusions",
            ("Maintenance window", "Kind", "Minutes", "Reason"),
            tuple(
                (one["name"], one["kind"].replace("_", " "), count(one["minutes"]), one["reason"])
                for one in figures["excluded"]["windows"]
            ),
            frozenset({2}),
        ),
        Table(
            "Budget adjustments",
            ("At (UTC)", "Amount", "Reason", "By"),
            tuple(
                (
                    moment(one["at"]),
                    _amount(one),
                    one["reason"], one["actor"],
                )
                for one in figures["adjustments"]
            ),
        ),
        Table(
            "Alerts",
            ("Rule", "Severity", "State", "From (UTC)", "Until (UTC)"),
            tuple(
                (
                    one["rule"], one["severity"], one.get("state", "firing"), second(one["from"]),
                    second(one["until"]) if one["until"] else "beyond the period",
                )
                for one in figures["alerts"]
            ),
        ),
        Table(
            "Annotations",
            ("At (UTC)", "Text", "By"),
            tuple((moment(one["at"]), one["text"], one["actor"]) for one in figures["annotations"]),
        ),
        Table(
            "Days",
            ("Day", "Level", "Good", "All", "Bad", "Of the budget"),
            tuple(_day_row(one) for one in figures["days"]),
            frozenset({1, 2, 3, 4, 5}),
        ),
    ]  # fmt: skip


_GROUP_COLUMNS: Final = ("Group", "Level", "Good", "All", "Bad")


def _worst_groups(report: SloReport, figures: dict[str, Any]) -> Table:
    shown = figures["groups"]
    rows = tuple(
        _group_row(sorted(one["labels"].items()), one["good"], one["total"], one["sli"]) for one in shown
    )
    # Reports that were frozen before all groups were kept do not know how many there were.
    more = figures.get("group_count", len(shown)) - len(shown)
    if not more:
        note = ""
    elif not shown:
        return _quiet_groups(report, more)
    else:
        note = f"{more:,} more group{'s are' if more > 1 else ' is'} in the CSV: {csv_address(report)}"
    return Table("Groups with most that was bad", _GROUP_COLUMNS, rows, frozenset({1, 2, 3, 4}), note)


def _quiet_groups(report: SloReport, count: int) -> Table:
    said = f"None of {count:,} had anything bad."
    return Table("Groups", ("", "Where"), ((said, f"All of them are in the CSV: {csv_address(report)}"),))


def _groups(report: SloReport, figures: dict[str, Any], groups: dict[str, Any] | None) -> Table:
    """Every group that has data, the most bad first."""
    if groups is None:
        return _worst_groups(report, figures)
    rows = tuple(
        _group_row(list(zip(groups["labels"], values)), good, total, good / total)
        for values, good, total in groups["rows"]
    )
    return Table("Groups", _GROUP_COLUMNS, rows, frozenset({1, 2, 3, 4}))


def _group_row(
    labels: Sequence[tuple[str, str]], good: int, total: int, ratio: float
) -> tuple[str, str, str, str, str]:
    name = ", ".join(f"{name}={value}" for name, value in labels)
    return name, percent(ratio), count(good), count(total), count(total - good)


def csv_address(report: SloReport) -> str:
    """Where the CSV of a report is, with all of its groups."""
    return f"/api/v1/operations/slos/{report.slo.key}/reports/{report.pk}?format=csv"


def _amount(one: dict[str, Any]) -> str:
    return f"{count(one['minutes'])} minutes" if one["events"] is None else f"{count(one['events'])} events"


def _day_row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        one["day"], percent(one["sli"]), count(one["good"]), count(one["total"]), count(one["bad"]),
        percent(one["budget_share"]),
    )  # fmt: skip


def percent(value: float | None) -> str:
    """Cut off, not rounded up: 99.99999 % does not read as 100 %."""
    if value is None:
        return "unknown"
    units = int(abs(value) * 1_000_000 + 1e-6)
    text = f"{units // 10_000:,}.{units % 10_000:04d}".rstrip("0").rstrip(".")
    return f"{'-' if value < 0 and units else ''}{text} %"


def count(value: float | None) -> str:
    """With separators, and up to two decimals."""
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def days(period: dict[str, Any]) -> str:
    """The first and the last day of a period, in its zone."""
    end = datetime.fromisoformat(period["end"]) - timedelta(minutes=1)
    return f"{first_day(period)} to {end.astimezone(ZoneInfo(period['timezone'])):%Y-%m-%d}"


def first_day(period: dict[str, Any]) -> str:
    """The first day of a period, in its zone."""
    start = datetime.fromisoformat(period["start"])
    return f"{start.astimezone(ZoneInfo(period['timezone'])):%Y-%m-%d}"


def second(text: str) -> str:
    """A time, to the second (UTC)."""
    return text[:19].replace("T", " ")


def moment(text: str) -> str:
    """A time, to the minute (UTC)."""
    return text[:16].replace("T", " ")
