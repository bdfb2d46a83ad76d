"""Groups in reports: all of them in the CSV, the worst in the page and the PDF with where the others are."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from pypdf import PdfReader

from operations.slo.models import Slo, SloReport, SloReportAmendment
from operations.slo.services.reports import freeze_due_reports
from tests.operations.test_slo_api import Api
from tests.operations.test_slo_reports import DAY, NOW, START, made, recorded, rolling, sample

pytestmark = pytest.mark.django_db
GROUPS = 30
FORMS = ("json", "html", "csv", "pdf")


def grouped(bad: int = GROUPS) -> Slo:
    """An SLO whose first ``bad`` of 30 agents had as many bad events as their number says, and one more."""
    slo = made(group_by=["agent"])
    recorded(
        *(
            sample(
                f"{number}", START + DAY, 1000 - (number + 1 if number < bad else 0), 1000,
                labels={"agent": f"a{number:02}"},
            )
            for number in range(GROUPS)
        )
    )  # fmt: skip
    freeze_due_reports(now=NOW)
    return slo


def read(form: str) -> bytes:
    answer = Api("operations:read")("GET", f"slos/slo/reports/{rolling().pk}?format={form}")
    assert answer.status_code == 200
    return bytes(answer.content)


def groups_in_csv() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, row, column, value in csv.reader(io.StringIO(read("csv").decode())):
        if table == "Groups":
            found.setdefault(row, {})[column] = value
    return found


def test_the_csv_has_all_groups_and_the_others_say_where_they_are() -> None:
    grouped()
    found = groups_in_csv()
    worst = [f"agent=a{number:02}" for number in reversed(range(GROUPS))]
    assert list(found) == worst, "the most bad first"
    assert found["agent=a00"] == {"Level": "99.9 %", "Good": "999", "All": "1,000", "Bad": "1"}
    assert found["agent=a29"] == {"Level": "97 %", "Good": "970", "All": "1,000", "Bad": "30"}
    address = f"/api/v1/operations/slos/slo/reports/{rolling().pk}?format=csv"
    note = f"10 more groups are in the CSV: {address}"
    page = read("html").decode()
    assert escape(note) in page
    assert "agent=a10" in page
    assert "agent=a09" not in page
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(read("pdf"))).pages)
    assert "10 more groups are in the CSV" in text
    assert str(rolling().pk) in text.replace("\n", "")
    figures = rolling().figures
    assert (figures["group_count"], len(figures["groups"])) == (GROUPS, 20)
    assert figures["groups"][0] == {
        "labels": {"agent": "a29"}, "good": 970, "total": 1000, "bad": 30, "sli": 0.97,
    }  # fmt: skip


def test_groups_without_anything_bad_are_counted() -> None:
    grouped(bad=0)
    assert len(groups_in_csv()) == GROUPS
    assert "None of 30 had anything bad." in read("html").decode()
    grouped_page = read("pdf")
    assert grouped_page.startswith(b"%PDF")


def test_all_shown_needs_no_note() -> None:
    slo = made(group_by=["agent"])
    recorded(*(sample(f"{n}", START + DAY, n, 10, labels={"agent": f"=a{n}"}) for n in range(3)))
    freeze_due_reports(now=NOW)
    assert "in the CSV" not in read("html").decode()
    assert set(groups_in_csv()) == {f"agent==a{n}" for n in range(3)}
    assert SloReport.objects.filter(slo=slo, groups__isnull=True).count() == 0


def test_an_amendment_has_its_own_table() -> None:
    grouped()
    recorded(sample("0", START + DAY, 0, 1000, labels={"agent": "a00"}))
    assert freeze_due_reports(now=NOW).amendments >= 1
    assert list(groups_in_csv())[0] == "agent=a00"
    assert groups_in_csv()["agent=a00"]["Bad"] == "1,000"
    amendment = SloReportAmendment.objects.get(report=rolling())
    assert amendment.groups["rows"][0] == [["a00"], 0, 1000]
    assert rolling().groups["rows"][-1] == [["a00"], 999, 1000]
    with pytest.raises(IntegrityError), transaction.atomic():
        SloReport.objects.filter(pk=rolling().pk).update(groups=None)


def test_one_that_was_frozen_without_the_table_shows_what_it_has() -> None:
    grouped()
    report = rolling()
    old = dict(report.figures)
    del old["group_count"]
    other = SloReport(slo=report.slo, series=report.series, period="year", start=report.start, end=report.end,
                      figures=old, groups=None)  # fmt: skip
    other.save()
    answer = Api("operations:read")("GET", f"slos/slo/reports/{other.pk}?format=csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert len({row[1] for row in rows if row[0] == "Groups with most that was bad"}) == 20


def test_lists_leave_the_tables_in_the_database() -> None:
    grouped()
    api = Api("operations:read")
    with CaptureQueriesContext(connection) as captured:
        assert api("GET", "slos/slo/reports").status_code == 200
    reads = [query["sql"] for query in captured if "operations_sloreport" in query["sql"]]
    assert reads
    assert not [sql for sql in reads if '"groups"' in sql]
