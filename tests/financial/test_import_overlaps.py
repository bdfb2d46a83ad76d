"""Exports that overlap, in whatever order and form, charge nothing twice; what changed is told."""

from __future__ import annotations

import csv
import json

import pytest
from django.db.models import Q, Sum

from financial.domain.import_profiles import PROFILES
from financial.domain.import_profiles.profile import ImportOptions
from financial.domain.import_profiles.reader import RowReader
from financial.models import CostAttribution, CostEvent
from financial.services.import_costs import import_costs
from financial.services.import_report import ImportWatch
from tests.processes import Child

from .books import assert_books_agree
from .traces import BURSTGPT
from .usage_exports import requests_of, write_anthropic, write_focus, write_openai

pytestmark = pytest.mark.django_db
WRITERS = {"openai-usage": write_openai, "anthropic-usage": write_anthropic, "focus": write_focus}
BUCKET = {
    "start_time": 1_730_419_200, "end_time": 1_730_422_800, "model": "gpt-4o", "project_id": "p1",
    "user_id": None, "batch": False, "input_tokens": 1000, "output_tokens": 10,
}  # fmt: skip


def run(path, profile, **changes):
    return import_costs(**{"path": path, "profile": profile, "options": ImportOptions()} | changes)


def charged() -> tuple[int, int]:
    found = CostEvent.objects.aggregate(
        tokens=Sum("input_tokens", default=0), base=Sum("base_amount", default=0)
    )
    return found["tokens"], found["base"]


def write_lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def key(profile: str, row: dict, **options) -> str:
    return RowReader(PROFILES[profile], ImportOptions(**options), "c0ffee").read(row, 7).event_id


@pytest.mark.parametrize("profile", WRITERS)
def test_overlapping_exports_charge_what_one_would(profile, tmp_path):
    requests = requests_of(BURSTGPT)
    minute = requests[200].at.replace(second=0, microsecond=0)
    first = [request for request in requests if request.at < minute]
    WRITERS[profile](tmp_path / "monday", first)
    WRITERS[profile](tmp_path / "both", requests)
    one = run(tmp_path / "monday", profile).counts
    two = run(tmp_path / "both", profile).counts
    assert (two.duplicates, two.rejected) == (one.accepted, 0)
    together = charged()
    WRITERS[profile](tmp_path / "again", requests)
    assert run(tmp_path / "again", profile).counts.accepted == 0
    assert charged() == together
    assert together[0] == BURSTGPT.input_tokens
    assert_books_agree()


def test_the_form_of_an_export_does_not_matter(tmp_path):
    page = {"object": "page", "data": [{"start_time": BUCKET["start_time"], "end_time": BUCKET["end_time"],
                                        "results": [BUCKET]}]}  # fmt: skip
    assert run(write_lines(tmp_path / "page.json", page), "openai-usage").counts.accepted == 1
    with (tmp_path / "dashboard.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*reversed(BUCKET), "api_key_id"])
        writer.writeheader()
        writer.writerow({**BUCKET, "batch": "False", "user_id": ""})
    assert run(tmp_path / "dashboard.csv", "openai-usage").counts.duplicates == 1
    assert charged()[0] == 1000


def test_a_bucket_that_has_grown_is_told_and_not_doubled(tmp_path):
    run(write_lines(tmp_path / "open", BUCKET, {**BUCKET, "project_id": "p2"}), "openai-usage")
    recorded = CostEvent.objects.get(entities_of("p1"))
    grown = {**BUCKET, "input_tokens": 3000}
    report = run(
        write_lines(tmp_path / "over", grown, {**BUCKET, "project_id": "p2"}, {**BUCKET, "project_id": "p3"}),
        "openai-usage",
    )
    assert (report.counts.accepted, report.counts.duplicates, report.counts.rejected) == (1, 1, 1)
    (entry,) = [json.loads(line) for line in report.rejects.read_text().splitlines()]
    assert (entry["row"], entry["errors"]) == (
        1,
        [
            {
                "pointer": "/event_id",
                "code": "event_conflict",
                "detail": f"Imported before as {recorded.pk} with other content, which stays: where this row is "
                "right, correct that event by the difference; where it is of another account, give its export "
                "a source of its own (--set source=NAME).",
            }
        ],
    )
    assert charged()[0] == 3000
    assert_books_agree()


def entities_of(project: str):

    events = CostAttribution.objects.filter(entity__type="project", entity__key=project).values("event")
    return Q(pk__in=events)


def test_a_file_that_contradicts_itself_is_told(tmp_path):
    report = run(
        write_lines(tmp_path / "twice", BUCKET, BUCKET, {**BUCKET, "output_tokens": 11}), "openai-usage"
    )
    assert (report.counts.accepted, report.counts.duplicates, report.counts.rejected) == (1, 1, 1)
    assert charged()[0] == 1000


@pytest.mark.parametrize(
    ("profile", "change"),
    [
        ("openai-usage", {"end_time": 1_730_419_260}),
        ("openai-usage", {"user_id": "u"}),
        ("openai-usage", {"api_key_id": "k"}),
        ("openai-usage", {"batch": True}),
        ("openai-usage", {"model": "gpt-4o-mini"}),
        ("openai-usage", {"start_time": 1_730_415_600}),
    ],
)
def test_what_a_result_is_grouped_by_tells_it_apart(profile, change):
    assert key(profile, {**BUCKET, **change}) != key(profile, BUCKET)


def test_figures_and_writing_do_not_tell_apart():
    assert key("openai-usage", {**BUCKET, "input_tokens": 7, "num_model_requests": 3}) == key(
        "openai-usage", BUCKET
    )
    assert key("openai-usage", {**BUCKET, "start_time": "2024-11-01T01:00:00+01:00"}) == key(
        "openai-usage", BUCKET
    )
    renamed = {("deployment" if name == "model" else name): value for name, value in BUCKET.items()}
    assert key("openai-usage", renamed, mapping={"model": "deployment"}) == key("openai-usage", BUCKET)
    report = {
        "starting_at": "2026-03-01T00:00:00Z",
        "model": "m",
        "uncached_input_tokens": 1,
        "output_tokens": 1,
    }
    assert key("anthropic-usage", report) == key("anthropic-usage", {**report, "output_tokens": 2})
    assert key("anthropic-usage", report) != key("anthropic-usage", {**report, "inference_geo": "us"})
    charge = {"BilledCost": "1", "BillingCurrency": "USD", "ChargePeriodStart": "2026-03-01T00:00:00Z",
              "SubAccountId": "a", "Tags": '{"a": "1", "b": "2"}'}  # fmt: skip
    assert key("focus", charge) == key("focus", {**charge, "Tags": '{"b":"2", "a":"1"}', "InvoiceId": "i"})
    assert key("focus", charge) != key("focus", {**charge, "Tags": '{"a": "1", "b": "3"}'})


def bill(path, *costs, resource=""):
    path.write_text(
        "BilledCost,BillingAccountId,BillingCurrency,ChargePeriodStart,ProviderName,ServiceCategory,ResourceId\n"
        + "".join(f"{cost},acme,USD,2026-03-01T00:00:00Z,Cloud,Compute,{resource}\n" for cost in costs)
    )
    return path


def test_charges_of_a_bill_that_are_about_the_same_are_all_taken(tmp_path):
    assert run(bill(tmp_path / "bill.csv", 1, 1, 2), "focus").counts.accepted == 3
    assert charged()[1] == 4_000_000_000
    # The month goes on: one more of them, and another resource.
    longer = run(bill(tmp_path / "longer.csv", 1, 1, 2, 5), "focus").counts
    assert (longer.accepted, longer.duplicates) == (1, 3)
    assert run(bill(tmp_path / "other.csv", 1, resource="vm"), "focus").counts.accepted == 1
    assert charged()[1] == 10_000_000_000
    assert_books_agree()


def import_and_stop(child, path, rows):
    def there(counts):
        if counts.rows >= rows:
            child.say("there")
            child.hear()

    run(path, "focus", watch=ImportWatch(on_batch=there))


@pytest.mark.django_db(transaction=True)
def test_a_killed_import_of_alike_charges_goes_on_with_their_numbers(live_database, tmp_path):
    path = bill(tmp_path / "bill.csv", *[1] * 2500)
    child = Child(import_and_stop, path, 1000)
    assert child.hear() == "there"
    child.kill()
    assert charged()[1] in (1000 * 10**9, 1200 * 10**9)
    rest = run(path, "focus").counts
    assert (rest.rows, rest.accepted, rest.duplicates, rest.rejected) == (2500, 2500, 0, 0)
    assert charged()[1] == 2500 * 10**9
    assert_books_agree()
