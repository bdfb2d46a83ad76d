"""Reports: frozen once when their period ended, amended after corrections, never changed."""

from __future__ import annotations

import csv
import io
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from pypdf import PdfReader

from agent_factory_site.common.errors import Conflict, Invalid
from operations.slo.api.reports import report_file
from operations.slo.models import Slo, SloReport, SloReportAmendment
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.maintenance import create_maintenance_window
from operations.slo.services.record_samples import record_samples
from operations.slo.services.remarks import adjust_budget, annotate
from operations.slo.services.reports import freeze_due_reports, freeze_report
from operations.slo.services.slos import create_slo
from tests.children import run_children, start_child
from tests.operations.slo_setup import sample
from tests.operations.test_slo_api import Api
from tests.processes import PATIENCE

NOW = timezone.now()
DAY = timedelta(days=1)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
START = TODAY - 9 * DAY
"""A rolling week from here has ended; made long enough ago for its samples to be kept."""


def made(key: str = "slo", **fields: Any) -> Slo:
    """An SLO of a week that was made ten days ago."""
    body = {"key": key, "sli": {"key": key, "kind": "ratio"}, "target": 0.99, "window": {"rolling": "7d"}}
    slo = create_slo(body={**body, **fields})
    Slo.objects.filter(pk=slo.pk).update(created_at=START + timedelta(hours=5))
    slo.objectives.update(started_at=START)
    return Slo.objects.get(pk=slo.pk)


def recorded(*samples: Any, sli: str = "slo") -> None:
    assert record_samples(sli=sli, samples=list(samples)).rejected == {}


def rolling() -> SloReport:
    return SloReport.objects.select_related("slo").get(period="rolling", slo__key="slo")


@pytest.mark.django_db
def test_a_period_that_ended_is_frozen_once_with_all_that_is_known_of_it() -> None:
    slo = made()
    recorded(
        sample("a", START + DAY, 980, 1000),
        sample("b", START + 2 * DAY, 1000, 1000),
        sample("c", START + 3 * DAY, 995, 1000),
        sample("before", START - DAY, 90, 100),
        sample("after", START + 8 * DAY, 0, 100),
    )
    annotate(slo="slo", text="New model", at=START + DAY)
    create_maintenance_window(
        body={
            "name": "Move", "starts_at": (START + 3 * DAY).isoformat(), "duration": "2h", "slos": ["slo"],
            "reason": "new racks",
        }
    )  # fmt: skip
    adjust_budget(slo="slo", events=4, reason="A drill", at=START + 4 * DAY)
    evaluate_slos(at=START + DAY + timedelta(minutes=1))
    evaluate_slos(at=START + DAY + timedelta(hours=7))
    first = freeze_due_reports(now=NOW)
    assert first.reports >= 1
    report = rolling()
    assert (report.start, report.end) == (START, START + 7 * DAY)
    found = report.figures
    assert (found["result"], found["good"], found["total"], found["sli"]) == ("met", 1980, 2000, 0.99)
    assert found["budget"] == {
        "total": 20, "spent": 20, "adjusted": 4, "left": 4, "left_ratio": 0.2, "minutes_left": 19.92,
        "unit": "events",
    }  # fmt: skip
    assert (found["before_exclusions"]["good"], found["before_exclusions"]["total"]) == (2975, 3000)
    assert (found["excluded"]["minutes"], found["excluded"]["events"]) == (120, 1000)
    assert found["excluded"]["windows"] == [
        {"name": "Move", "kind": "announced", "reason": "new racks", "minutes": 120}
    ]
    assert [(day["day"], day["bad"]) for day in found["worst_days"]] == [
        ((START + DAY).date().isoformat(), 20)
    ]
    assert len(found["days"]) == 7
    assert (found["previous"]["good"], found["previous"]["result"]) == (90, "missed")
    assert [one["text"] for one in found["annotations"]] == ["New model"]
    assert [(one["events"], one["reason"]) for one in found["adjustments"]] == [(4, "A drill")]
    assert found["coverage"] == pytest.approx(3 / (7 * 1440))
    again = freeze_due_reports(now=NOW)
    assert (again.reports, again.amendments) == (0, 0)
    assert SloReport.objects.filter(slo=slo, period="rolling").count() == 1


@pytest.mark.django_db
def test_alerts_of_the_period_stand_in_it() -> None:
    made()
    recorded(sample("a", START + DAY, 0, 1000))
    fired = START + DAY + timedelta(minutes=1)
    evaluate_slos(at=fired)
    recorded(sample("b", START + DAY + timedelta(minutes=3), 10**6, 10**6))
    over = START + DAY + timedelta(minutes=4)
    evaluate_slos(at=over)
    freeze_due_reports(now=NOW)
    told = ("rule", "severity", "state", "from", "until")
    alerts = rolling().figures["alerts"]
    assert {len(one) for one in alerts} == {len(told)}
    alerts = [tuple(one[name] for name in told) for one in alerts]
    assert alerts == [
        ("1h_5m", "page", "firing", _text(fired), _text(over)),
        ("3d_6h", "ticket", "held", _text(fired), _text(over)),
        ("6h_30m", "page", "held", _text(fired), _text(over)),
    ]


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@pytest.mark.django_db
def test_later_corrections_are_amendments_and_the_report_stays() -> None:
    made()
    recorded(sample("a", START + DAY, 980, 1000))
    freeze_due_reports(now=NOW)
    frozen = rolling().figures
    recorded(sample("a", START + DAY, 999, 1000, revision=1), sample("late", START + 2 * DAY, 1, 1))
    assert freeze_due_reports(now=NOW).amendments >= 1
    amendment = SloReportAmendment.objects.get(report=rolling())
    assert amendment.number == 1
    assert (
        amendment.reason
        == "Samples that came or were corrected later: 980 of 1,000 good became 1,000 of 1,001."
    )
    assert amendment.figures["difference"]["before"] == {
        "sli": 0.98,
        "good": 980,
        "total": 1000,
        "result": "missed",
    }
    assert (amendment.figures["result"], amendment.figures["good"]) == ("met", 1000)
    assert rolling().figures == frozen
    assert freeze_due_reports(now=NOW).amendments == 0
    create_maintenance_window(
        body={"name": "Late", "starts_at": (START + DAY).isoformat(), "duration": "10m", "slos": ["slo"]}
    )
    freeze_due_reports(now=NOW)
    adjust_budget(slo="slo", events=1, reason="Forgotten", at=START + DAY)
    freeze_due_reports(now=NOW)
    reasons = SloReportAmendment.objects.filter(report=rolling()).values_list("number", "reason")
    assert sorted(reasons)[1:] == [
        (2, "Maintenance windows changed: 0 excluded minutes became 10, 0 excluded events 1,000."),
        (3, "The budget was adjusted 1 more times."),
    ]


@pytest.mark.django_db
def test_a_report_cannot_be_changed() -> None:
    made()
    recorded(sample("a", START + DAY))
    freeze_due_reports(now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        SloReport.objects.update(figures={})
    with pytest.raises(IntegrityError), transaction.atomic():
        SloReport.objects.all().delete()


@pytest.mark.django_db
def test_calendar_periods_end_with_the_clock_of_their_zone() -> None:
    slo = made(window={"calendar": "week", "timezone": "America/New_York"})
    recorded(sample("a", START + DAY))
    Slo.objects.filter(pk=slo.pk).update(created_at=TODAY - 33 * DAY)
    freeze_due_reports(now=NOW)
    weeks = list(SloReport.objects.filter(period="week").order_by("start"))
    assert len(weeks) in (4, 5)
    for before, after in zip(weeks, weeks[1:]):
        assert before.end == after.start
    assert {report.period for report in SloReport.objects.all()} >= {"week", "month"}
    assert {report.figures["period"]["timezone"] for report in weeks} == {"America/New_York"}
    month = SloReport.objects.filter(period="month").latest("end")
    assert month.end.astimezone(UTC).hour in (4, 5), "midnight in New York"


@pytest.mark.django_db
def test_a_report_is_named_after_its_first_day_where_it_is_told() -> None:
    made(window={"calendar": "week", "timezone": "Asia/Kathmandu"})
    recorded(sample("a", START))
    week = freeze_report(slo="slo", period="week", at=START)
    monday = week.start + timedelta(hours=5, minutes=45)
    assert (week.start.strftime("%a %H:%M"), monday.strftime("%a %H:%M")) == ("Sun 18:15", "Mon 00:00")
    named = report_file(week, "csv")["Content-Disposition"]
    assert named == f'attachment; filename="slo-week-{monday:%Y-%m-%d}.csv"'


@pytest.mark.django_db
def test_a_report_can_be_asked_for_of_a_period_that_ended() -> None:
    made()
    recorded(sample("a", START + DAY))
    report = freeze_report(slo="slo", period="rolling", at=START + DAY)
    assert report == freeze_report(slo="slo", period="rolling", at=START + 2 * DAY)
    with pytest.raises(Conflict, match="ended"):
        freeze_report(slo="slo", period="rolling", at=NOW)
    with pytest.raises(Invalid):
        freeze_report(slo="slo", period="week", at=START)
    made("empty")
    with pytest.raises(Conflict, match="Nothing was ever counted"):
        freeze_report(slo="empty", period="rolling", at=START + DAY)


@pytest.mark.django_db(transaction=True)
def test_reports_are_frozen_once_by_many_and_go_on_after_a_kill(live_database: str) -> None:
    for number in range(12):
        made(f"slo-{number}")
        recorded(sample("a", START + DAY, number, 100), sli=f"slo-{number}")
    code = """
        from operations.slo.services import reports
        figures, count = reports.report_figures, []
        def dying(*arguments):
            count.append(1)
            if len(count) == 5:
                print("half", flush=True)
                sys.stdin.read()
            return figures(*arguments)
        reports.report_figures = dying
        reports.freeze_due_reports()
    """
    child = start_child(code, "killed", database=live_database)
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=PATIENCE)
    assert SloReport.objects.count() == 4
    finish = """
        from operations.slo.services.reports import freeze_due_reports
        print(freeze_due_reports().reports)
    """
    run_children(finish, 3, live_database)
    assert SloReport.objects.filter(period="rolling").count() == 12
    assert SloReportAmendment.objects.count() == 0


@pytest.fixture
def api() -> Api:
    """An SLO with a report that was amended."""
    made(name="Answers <b>größer</b> 回答")
    recorded(sample("a", START + DAY, 980, 1000))
    freeze_due_reports(now=NOW)
    recorded(sample("b", START + DAY, 2, 100))
    freeze_due_reports(now=NOW)
    return Api("operations:write")


@pytest.mark.django_db
def test_reports_are_listed_and_read_as_json(api: Api) -> None:
    listed = api("GET", "slos/slo/reports").json()["results"]
    (one,) = [one for one in listed if one["period"] == "rolling"]
    assert (one["result"], one["amendments"], one["sli"]) == ("missed", 1, 982 / 1100)
    whole = api("GET", f"slos/slo/reports/{one['id']}").json()
    assert (whole["figures"]["good"], whole["amendments"][0]["figures"]["good"]) == (980, 982)
    assert whole["figures"]["basis"]["counts"][:2] == [980, 1000]
    assert Api("financial:read")("GET", "slos/slo/reports").status_code == 403
    assert api("GET", f"slos/slo/reports/{rolling().slo_id}").status_code == 404
    assert api("GET", f"slos/slo/reports/{one['id']}?format=doc").status_code == 400


@pytest.mark.django_db
def test_a_report_is_a_page_a_csv_and_a_pdf(api: Api) -> None:
    path = f"slos/slo/reports/{rolling().pk}"
    page = api("GET", path, Accept="text/html")
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = page.content.decode()
    assert "Answers &lt;b&gt;größer&lt;/b&gt; 回答" in text
    assert "982 of 1,100 good; budget 11, 118 used." in text
    assert f"Rolling {START:%Y-%m-%d} to {START + 6 * DAY:%Y-%m-%d} (UTC)" in text
    assert "Frozen as missed with 98 %; amended once." in text
    assert "Written (UTC)" in text
    csv_file = api("GET", f"{path}?format=csv")
    assert csv_file["Content-Type"] == "text/csv; charset=utf-8"
    lines = list(csv.reader(io.StringIO(csv_file.content.decode())))
    assert lines[0] == ["table", "row", "column", "value"]
    assert ["Figures", "Level", "After exclusions", "89.2727 %"] in lines
    assert ["Figures", "Left", "After exclusions", "-107"] in lines
    pdf = api("GET", path, Accept="application/pdf")
    assert (pdf["Content-Type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    assert pdf["Content-Disposition"] == f'attachment; filename="slo-rolling-{START:%Y-%m-%d}.pdf"'
    read = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    words = " ".join(read.split())
    assert "Answers <b>größer</b> ??" in words
    assert "982 of 1,100 good; budget 11, 118 used." in words
    assert "89.2727 %" in words


@pytest.mark.django_db
def test_a_report_is_frozen_when_asked_for(api: Api) -> None:
    body = {"period": "rolling", "at": (START + DAY).isoformat()}
    answer = api("POST", "slos/slo/reports", body)
    assert (answer.status_code, answer.json()["id"]) == (201, str(rolling().pk))
    assert answer["Location"] == f"/api/v1/operations/slos/{rolling().slo_id}/reports/{rolling().pk}"
    assert api("POST", "slos/slo/reports", {**body, "at": NOW.isoformat()}).status_code == 409
    assert api("POST", "slos/slo/reports", {**body, "period": "week"}).status_code == 400
    assert Api("operations:read")("POST", "slos/slo/reports", body).status_code == 403
