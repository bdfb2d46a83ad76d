"""Making and changing service levels in the admin: what is typed, refused beside its field, and told beforehand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from operations.slo.models import BudgetAdjustment, MaintenanceWindow, Sli, Slo, SloAnnotation
from operations.slo.services.slis import create_sli
from operations.slo.services.slos import create_slo

from .test_health_admin import signed_in, text_of

pytestmark = pytest.mark.django_db

SLOS, SLIS, WINDOWS = (
    "/admin/operations/slo/",
    "/admin/operations/sli/",
    "/admin/operations/maintenancewindow/",
)
SLO_FIELDS = {
    "key": "answers", "name": "Answers", "sli": "requests", "target": "99.9", "window_kind": "rolling",
    "rolling": "30d", "timezone": "UTC", "budgeting": "occurrences", "min_traffic": "10", "alerts": "default",
    "group_by": "agent, region",
}  # fmt: skip
SLI_FIELDS = {
    "key": "requests",
    "kind": "threshold",
    "source": "samples",
    "threshold": "2.5",
    "unit": "s",
    "op": "",
}
WINDOW_FIELDS = {
    "name": "Upgrade", "kind": "announced", "starts_at": "2026-03-01 02:30", "timezone": "Europe/Berlin",
    "duration": "90m", "repeats": "weekly", "all_slos": "on",
}  # fmt: skip


@pytest.fixture
def writer(client: Client) -> Client:
    return signed_in(client, "operations:write")


def ratio(key: str = "requests", **more: Any) -> Sli:
    return create_sli(body={"key": key, "kind": "ratio", **more})


def promise(**more: Any) -> Slo:
    body = {
        "key": "answers",
        "name": "Answers",
        "sli": "requests",
        "target": 0.99,
        "window": {"rolling": "30d"},
    }
    return create_slo(body=body | more)


def fault(client: Client, path: str, data: dict[str, Any], field: str) -> str:
    """What stands as wrong beside one field, and that nothing else is."""
    answer = client.post(path, data)
    assert answer.status_code == 200
    errors = answer.context["form"].errors
    assert list(errors) == [field], errors
    return str(errors[field][0])


def test_an_indicator_is_made_and_changed(writer: Client) -> None:
    answer = writer.post(f"{SLIS}new/", SLI_FIELDS | {"source_filter": "route: /a\n\nmethod: GET"})
    row = Sli.objects.get(key="requests")
    assert answer.headers["Location"] == f"{SLIS}{row.pk}/change/"
    assert (row.kind, row.threshold, row.op, row.unit) == ("threshold", Decimal("2.5"), "lte", "s")
    assert row.source_filter == {"route": "/a", "method": "GET"}
    page = text_of(writer.get(answer.headers["Location"]))
    assert "value ≤ 2.5 s" in page
    assert "No SLO in use counts it" in page
    same = {
        "name": "requests",
        "threshold": "2.5",
        "op": "lte",
        "unit": "s",
        "source_filter": "route: /a\nmethod: GET",
    }
    writer.post(f"{SLIS}{row.pk}/edit/", same | {"slice_target": "95"})
    row.refresh_from_db()
    assert (row.slice_target, row.threshold, row.version) == (Decimal("0.95"), Decimal("2.5"), 2)


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"key": "Über"}, "key", "a-z"),
        ({"threshold": ""}, "threshold", "held against"),
        ({"threshold": "fast"}, "threshold", "Write a number"),
        ({"threshold": "1e999"}, "threshold", "Write a number"),
        ({"kind": "ratio"}, "threshold", "without a threshold"),
        ({"slice_target": "950"}, "slice_target", "above 0 and up to 1"),
        ({"source_filter": "route"}, "source_filter", "a colon"),
    ],
)
def test_what_is_wrong_with_an_indicator_stands_beside_its_field(
    writer: Client, changes: dict[str, str], field: str, said: str
) -> None:
    assert said in fault(writer, f"{SLIS}new/", SLI_FIELDS | changes, field)
    assert not Sli.objects.exists()


def test_an_objective_is_made_and_changed(writer: Client) -> None:
    ratio()
    answer = writer.post(f"{SLOS}new/", SLO_FIELDS)
    row = Slo.objects.get(key="answers")
    assert answer.headers["Location"] == f"{SLOS}{row.pk}/change/"
    assert (row.target, row.rolling_seconds, row.group_by) == (
        Decimal("0.999"),
        2_592_000,
        ["agent", "region"],
    )
    assert (row.min_traffic, row.burn_alerts) == (10, "default")
    fields = {name: value for name, value in SLO_FIELDS.items() if name != "key"}
    changed = fields | {
        "target": "99,5 %", "window_kind": "month", "timezone": "Europe/Berlin", "alerts": "custom",
        "burn_alerts": '[{"long": "2h", "factor": 10.5, "severity": "ticket"}]',
    }  # fmt: skip
    writer.post(f"{SLOS}{row.pk}/edit/", changed)
    row.refresh_from_db()
    assert (row.target, row.calendar, row.timezone) == (Decimal("0.995"), "month", "Europe/Berlin")
    assert row.burn_alerts[0]["factor"] == 10.5
    # What is stored is what the form shows, so that sending it again changes nothing.
    form = writer.get(f"{SLOS}{row.pk}/edit/").context["form"]
    shown = {name: form.initial.get(name) or "" for name in form.fields}
    writer.post(f"{SLOS}{row.pk}/edit/", shown)
    again = Slo.objects.get(pk=row.pk)
    assert (again.version, again.burn_alerts, again.target) == (row.version, row.burn_alerts, row.target)


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"target": "100"}, "target", "leaves no error budget"),
        ({"target": "0"}, "target", "above 0 and below 1"),
        ({"target": "9990"}, "target", "not a percentage"),
        ({"target": "much"}, "target", "Write a number"),
        ({"rolling": "soon"}, "rolling", "whole number of m, h, d or w"),
        ({"rolling": "1000d"}, "rolling", "1h to 366d"),
        ({"window_kind": "month", "timezone": "Mars/Base"}, "timezone", "IANA"),
        ({"sli": ""}, "sli", "Is needed"),
        ({"budgeting": "timeslices"}, "sli", "slice_target"),
        ({"group_by": "1st"}, "group_by", "label's name"),
        ({"owner": "nobody"}, "owner", "type/id"),
        ({"owner": "team/none"}, "owner", "no such entity"),
        ({"alerts": "custom", "burn_alerts": "{"}, "burn_alerts", "list in JSON"),
        (
            {"alerts": "custom", "burn_alerts": '[{"long": "90d", "factor": 2}]'},
            "burn_alerts",
            "shorter than the window",
        ),
    ],
)
def test_what_is_wrong_with_an_objective_stands_beside_its_field(
    writer: Client, changes: dict[str, str], field: str, said: str
) -> None:
    ratio()
    assert said in fault(writer, f"{SLOS}new/", SLO_FIELDS | changes, field)
    assert not Slo.objects.exists()


def lines(client: Client, path: str, data: dict[str, Any]) -> tuple[list[str], bool]:
    answer = client.get(path, data).json()
    return answer["lines"], answer["wrong"]


def test_it_is_told_beforehand_what_a_target_allows(writer: Client) -> None:
    told, wrong = lines(writer, f"{SLOS}preview/", SLO_FIELDS)
    assert told == [
        "Over 30 days, rolling: 43.2 bad minutes are allowed.",
        "Of 10,000 events 10 may be bad.",
        "Alert over 1h (page), when 2 % of the budget is gone: 0.86 min into a full outage, 8.64 min into 10 % errors.",
        "Alert over 6h (page), when 5 % of the budget is gone: 2.16 min into a full outage, 21.6 min into 10 % errors.",
        "Alert over 3d (ticket), when 10 % of the budget is gone: 4.32 min into a full outage, 43.2 min into "
        "10 % errors.",
    ]
    assert not wrong
    told, wrong = lines(writer, f"{SLOS}preview/", SLO_FIELDS | {"target": "90", "rolling": "7d"})
    assert told[0] == "Over 7 days, rolling: 1,008 bad minutes are allowed; in 30 days that is 4,320."
    told, wrong = lines(writer, f"{SLOS}preview/", SLO_FIELDS | {"target": "90"})
    assert told[2].endswith("not even in a full outage.")
    assert "can never fire" in told[-1]
    assert wrong
    for data, said in (
        ({"target": "100"}, "leaves no error budget"),
        ({"target": "x"}, "The objective is a number"),
        ({"target": "99", "rolling": "x"}, "whole number of m, h, d or w"),
        ({"target": "99", "window_kind": "decade"}, "Is one of"),
        ({"target": "99", "rolling": "1d", "alerts": "custom", "burn_alerts": "<x>"}, "a list of rules"),
    ):
        told, wrong = lines(writer, f"{SLOS}preview/", data)
        assert wrong
        assert any(said in line for line in told), told
    assert lines(writer, f"{SLOS}preview/", {}) == ([], False)


def test_a_window_is_made_of_a_preset_by_the_clock_of_its_zone(writer: Client) -> None:
    answer = writer.post(f"{WINDOWS}new/", WINDOW_FIELDS)
    row = MaintenanceWindow.objects.get()
    assert answer.headers["Location"] == f"{WINDOWS}{row.pk}/change/"
    assert (row.starts_at, row.rrule) == (datetime(2026, 3, 1, 1, 30, tzinfo=UTC), "FREQ=WEEKLY;BYDAY=SU")
    assert (row.duration_seconds, row.all_slos) == (5400, True)
    page = text_of(writer.get(answer.headers["Location"]))
    assert "every Sunday at 02:30" in page
    assert "02:30 – 04:00" in page
    assert "every Sunday at 02:30" in text_of(writer.get(WINDOWS))
    # The form shows the preset again.
    form = writer.get(f"{WINDOWS}{row.pk}/edit/").context["form"]
    assert (form.initial["repeats"], form.initial["starts_at"]) == ("weekly", "2026-03-01 02:30")
    writer.post(
        f"{WINDOWS}{row.pk}/edit/", WINDOW_FIELDS | {"repeats": "custom", "rrule": "FREQ=DAILY;COUNT=3"}
    )
    row.refresh_from_db()
    assert (row.rrule, row.version) == ("FREQ=DAILY;COUNT=3", 2)


@pytest.mark.parametrize(
    ("day", "preset", "rule"),
    [
        ("2026-03-01", "daily", "FREQ=DAILY"),
        ("2026-03-02", "workdays", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        ("2026-03-03", "fortnightly", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU"),
        ("2026-03-31", "monthly", "FREQ=MONTHLY;BYMONTHDAY=31"),
        ("2026-03-08", "monthly_day", "FREQ=MONTHLY;BYDAY=2SU"),
        ("2026-03-29", "monthly_day", "FREQ=MONTHLY;BYDAY=-1SU"),
        ("2026-03-01", "once", None),
    ],
)
def test_each_preset_is_a_rule(writer: Client, day: str, preset: str, rule: str | None) -> None:
    writer.post(f"{WINDOWS}new/", WINDOW_FIELDS | {"starts_at": f"{day}T02:30", "repeats": preset})
    row = MaintenanceWindow.objects.get()
    assert row.rrule == rule
    assert writer.get(f"{WINDOWS}{row.pk}/edit/").context["form"].initial["repeats"] == preset


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"starts_at": "tomorrow"}, "starts_at", "Write a day and a time"),
        ({"starts_at": "1999-01-01 00:00"}, "starts_at", "2000 and 2099"),
        ({"timezone": "Mars/Base"}, "timezone", "IANA"),
        ({"duration": "90d"}, "duration", "at most 31 days"),
        ({"repeats": "custom"}, "rrule", "Write the rule"),
        ({"repeats": "custom", "rrule": "FREQ=SECONDLY"}, "rrule", "by the hour at most"),
        ({"all_slos": ""}, "slos", "Name SLOs"),
    ],
)
def test_what_is_wrong_with_a_window_stands_beside_its_field(
    writer: Client, changes: dict[str, str], field: str, said: str
) -> None:
    assert said in fault(writer, f"{WINDOWS}new/", WINDOW_FIELDS | changes, field)
    assert not MaintenanceWindow.objects.exists()


def test_the_next_occurrences_are_told_in_local_time(writer: Client) -> None:
    now = timezone.now()
    began = now - timedelta(days=21)
    typed = {
        "starts_at": f"{began:%Y-%m-%d} 02:30",
        "timezone": "Europe/Berlin",
        "duration": "2h",
        "repeats": "weekly",
    }
    told, wrong = lines(writer, f"{WINDOWS}preview/", typed)
    assert not wrong
    assert len(told) == 5
    assert all("02:30 – 04:30" in line for line in told)
    days = [datetime.fromisoformat(line.split()[1]).date() for line in told]
    assert all(later - day == timedelta(days=7) for day, later in zip(days, days[1:], strict=False))
    over = {"starts_at": "2020-01-01 00:00", "timezone": "UTC", "duration": "1h", "repeats": "once"}
    assert lines(writer, f"{WINDOWS}preview/", over) == (["Nothing is to come: it lies in the past."], False)
    told, wrong = lines(writer, f"{WINDOWS}preview/", typed | {"repeats": "custom", "rrule": "FREQ=MINUTELY"})
    assert wrong
    assert "by the hour at most" in told[0]
    assert lines(writer, f"{WINDOWS}preview/", {}) == ([], False)


def test_a_budget_is_adjusted_with_a_reason(writer: Client) -> None:
    ratio(slice_target=0.9)
    slo = promise(group_by=["agent"])
    path = f"{SLOS}{slo.pk}/adjust/"
    assert "Events are whole" in fault(writer, path, {"events": "1.5", "reason": "x"}, "events")
    assert "not 0" in fault(writer, path, {"events": "0", "reason": "x"}, "events")
    assert "required" in fault(writer, path, {"events": "5"}, "reason")
    future = f"{timezone.now() + timedelta(days=2):%Y-%m-%dT%H:%M}"
    assert "future" in fault(writer, path, {"events": "5", "reason": "x", "at": future}, "at")
    writer.post(path, {"events": "-5", "reason": "Theirs"})
    row = BudgetAdjustment.objects.get()
    assert (row.events, row.minutes, row.labels, row.reason, row.actor_kind) == (
        -5,
        None,
        {},
        "Theirs",
        "user",
    )
    by_minutes = promise(key="minutes", budgeting="timeslices")
    writer.post(f"{SLOS}{by_minutes.pk}/adjust/", {"minutes": "2.5", "reason": "Theirs"})
    assert by_minutes.adjustments.get().minutes == Decimal("2.5")


def test_an_annotation_is_written(writer: Client) -> None:
    ratio()
    slo = promise()
    path = f"{SLOS}{slo.pk}/annotate/"
    said = fault(writer, path, {"text": "x", "at": "2026-03-01T10:00", "until": "2026-03-01T09:00"}, "until")
    assert said == "Comes after at."
    writer.post(path, {"text": "Deployed", "at": "2026-03-01T10:00"})
    row = SloAnnotation.objects.get()
    assert (row.at, row.until, row.text) == (datetime(2026, 3, 1, 10, tzinfo=UTC), None, "Deployed")


def test_archiving_takes_a_reason_that_stays(writer: Client) -> None:
    sli = ratio()
    slo = promise()
    dialogs = f"{SLIS}{sli.pk}/archive/", f"{SLOS}{slo.pk}/archive/"
    writer.post(dialogs[0], {"reason": "Not measured any more", "_form_submitted": "on"})
    sli.refresh_from_db()
    assert sli.archived_at is None
    assert "Archive the SLOs that use it first: answers." in text_of(writer.get(f"{SLIS}{sli.pk}/change/"))
    writer.post(dialogs[1], {"reason": " ", "_form_submitted": "on"})
    slo.refresh_from_db()
    assert slo.archived_at is None
    writer.post(dialogs[1], {"reason": "Nobody reads it", "_form_submitted": "on"})
    slo.refresh_from_db()
    assert slo.archived_at is not None
    assert SloAnnotation.objects.get(slo=slo).text == "Archived: Nobody reads it"
    writer.post(dialogs[0], {"reason": "Not measured any more", "_form_submitted": "on"})
    sli.refresh_from_db()
    assert sli.archived_at is not None
    found = AuditEvent.objects.filter(target_type="operations.Sli", target_id=str(sli.pk), action="archive")
    assert found.get().changes == {"reason": [None, "Not measured any more"]}
    # What is archived is changed no more.
    assert writer.get(f"{SLOS}{slo.pk}/edit/").status_code in (302, 403)


def test_what_somebody_else_has_changed_is_not_overwritten(writer: Client) -> None:
    ratio()
    slo = promise()
    opened = writer.get(f"{SLOS}{slo.pk}/edit/")
    assert '<input type="hidden" name="version" value="1"' in opened.content.decode()
    fields = {name: value for name, value in SLO_FIELDS.items() if name != "key"} | {"version": "1"}
    writer.post(f"{SLOS}{slo.pk}/edit/", fields)
    refused = writer.post(f"{SLOS}{slo.pk}/edit/", fields | {"target": "50"})
    assert "Somebody has changed it in the meantime" in text_of(refused)
    slo.refresh_from_db()
    assert (slo.target, slo.version) == (Decimal("0.999"), 2)
