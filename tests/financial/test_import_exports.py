"""What LiteLLM, OpenAI, Anthropic and FOCUS report comes to the same sums as the requests behind it."""

from __future__ import annotations

import json

import pytest
from django.db.models import Sum

from agent_factory_site.common.errors import Invalid
from financial.domain.import_profiles.profile import ImportOptions
from financial.models import CostEvent, CostImport
from financial.services.import_costs import import_costs
from financial.services.import_report import ImportWatch

from .books import assert_books_agree
from .traces import AZURE_CODE, AZURE_CONV, BURSTGPT, TRACES, Trace
from .usage_exports import (
    NANO_PRICES,
    minutes_of,
    requests_of,
    write_anthropic,
    write_focus,
    write_litellm,
    write_openai,
)

pytestmark = pytest.mark.django_db
WRITERS = {
    "litellm": write_litellm,
    "openai-usage": write_openai,
    "anthropic-usage": write_anthropic,
    "focus": write_focus,
}
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens")


def sums(*names: str) -> dict[str, int]:
    return CostEvent.objects.aggregate(**{name: Sum(name, default=0) for name in names})


def run(path, profile, **changes):
    return import_costs(**{"path": path, "profile": profile, "options": ImportOptions()} | changes)


# The spend logs of LiteLLM have a row for each request; the other formats sum them by the minute.
PAIRS = [
    pytest.param(
        profile,
        trace,
        id=f"{profile}-{trace.name}",
        marks=[pytest.mark.slow] if profile == "litellm" and trace is not BURSTGPT else [],
    )
    for profile in WRITERS
    for trace in TRACES
]


@pytest.mark.parametrize(("profile", "trace"), PAIRS)
def test_a_trace_comes_to_the_same_tokens_in_every_format(profile: str, trace: Trace, tmp_path):
    path = tmp_path / "export"
    requests = requests_of(trace)
    bill = WRITERS[profile](path, requests)
    report = run(path, profile)
    groups = sum(1 for _ in minutes_of(requests))
    rows = {"litellm": trace.rows, "focus": 3 * groups}.get(profile, groups)
    assert (report.complete, report.counts.rows, report.counts.accepted) == (True, rows, rows)
    assert (report.counts.rejected, report.rejects) == (0, None)
    assert sums(*TOKENS) == {
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cache_read_tokens": trace.cache_read_tokens,
    }
    if profile == "openai-usage":
        assert sums("requests") == {"requests": trace.rows}
    if bill is not None:
        assert sums("base_amount") == {"base_amount": bill}
    again = run(path, profile)
    assert (again.counts.accepted, again.counts.duplicates) == (0, rows)


@pytest.mark.parametrize("profile", ["litellm", "openai-usage"])
def test_aggregated_or_not_the_tokens_cost_the_same(profile: str, tmp_path):
    path = tmp_path / "export"
    requests = requests_of(BURSTGPT)
    WRITERS[profile](path, requests)
    run(path, profile)
    expected = 0
    for request in requests:
        per_input, per_output = NANO_PRICES[request.model]
        expected += request.input * per_input + request.output * per_output
    assert sums("base_amount") == {"base_amount": expected}
    assert_books_agree()


@pytest.mark.parametrize("profile", ["litellm", "openai-usage", "anthropic-usage"])
def test_an_interrupted_import_of_a_document_goes_on(profile: str, tmp_path, monkeypatch):
    monkeypatch.setattr("financial.services.import_costs.BATCH", 7)
    path = tmp_path / "export"
    WRITERS[profile](path, requests_of(BURSTGPT))
    seen: list[int] = []
    watch = ImportWatch(on_batch=lambda counts: seen.append(counts.rows), should_stop=lambda: True)
    first = run(path, profile, watch=watch)
    assert (first.complete, first.counts.rows) == (False, 7)
    rest = run(path, profile)
    assert (rest.complete, rest.counts.duplicates, rest.id) == (True, 0, first.id)
    assert rest.counts.rows == rest.counts.accepted == CostEvent.objects.count()
    assert sums("input_tokens") == {"input_tokens": BURSTGPT.input_tokens}
    assert CostImport.objects.get().state == "succeeded"


def test_an_import_interrupted_inside_of_a_bucket_goes_on_with_its_rest(tmp_path, monkeypatch):
    monkeypatch.setattr("financial.services.import_costs.BATCH", 2)
    results = [
        {"model": "gpt-4o", "project_id": f"p{n}", "input_tokens": n, "output_tokens": 1}
        for n in (1, 10, 100)
    ]
    path = tmp_path / "bucket.jsonl"
    path.write_text(json.dumps({"start_time": 1_730_419_200, "results": results}))
    first = run(path, "openai-usage", watch=ImportWatch(should_stop=lambda: True))
    assert (first.complete, sums("input_tokens")) == (False, {"input_tokens": 11})
    rest = run(path, "openai-usage")
    assert (rest.complete, rest.counts.rows, rest.counts.accepted) == (True, 3, 3)
    assert sums("input_tokens") == {"input_tokens": 111}


def test_a_bad_result_is_kept_alone_and_can_be_mended(tmp_path):
    good = {"model": "gpt-4o", "input_tokens": 5, "output_tokens": 1}
    page = {
        "object": "page",
        "data": [
            {"start_time": 1_730_419_200, "results": [good, good | {"model": None, "batch": True}, "x"]},
            {"start_time": 1_730_505_600, "results": []},
            7,
            {"start_time": 1_730_505_600, "results": [good | {"input_cached_tokens": 6}]},
        ],
    }
    path = tmp_path / "page.json"
    path.write_text(json.dumps(page))
    report = run(path, "openai-usage")
    assert (report.counts.rows, report.counts.accepted, report.counts.rejected) == (5, 1, 4)
    entries = [json.loads(line) for line in report.rejects.read_text().splitlines()]
    assert [(entry["row"], entry["errors"][0]["code"]) for entry in entries] == [
        *((2, "required"), (3, "not_an_object"), (4, "not_an_object"), (5, "parts_exceed_whole")),
    ]
    mended = tmp_path / "mended.jsonl"
    mended.write_text(json.dumps(json.loads(entries[0]["raw"]) | {"model": "gpt-4o"}))
    assert run(mended, "openai-usage").counts.accepted == 1
    assert sums("input_tokens") == {"input_tokens": 10}


def test_long_prompts_are_told_from_many_prompts(tmp_path):
    """Tiers are those of one call: 400,000 tokens of 4 calls are no long prompt."""
    result = {"model": "claude-sonnet-4-5", "output_tokens": 0, "uncached_input_tokens": 400_000}
    path = tmp_path / "report.jsonl"
    windows = ("0-200k", None, "200k-1M")
    path.write_text(
        "\n".join(
            json.dumps(
                {"starting_at": f"2026-01-0{day}T00:00:00Z", "results": [{**result, "context_window": w}]}
            )
            for day, w in enumerate(windows, start=1)
        )
    )
    run(path, "anthropic-usage")
    found = list(CostEvent.objects.order_by("occurred_at").values_list("requests", "amount"))
    # 3 USD a million tokens, 6 USD in prompts beyond 200,000.
    assert found == [(2, 1_200_000_000), (2, 1_200_000_000), (0, 2_400_000_000)]


def test_overlapping_spend_logs_charge_nothing_twice(tmp_path):
    requests = requests_of(BURSTGPT)
    write_litellm(tmp_path / "monday", requests[:300])
    write_litellm(tmp_path / "tuesday", requests)
    assert run(tmp_path / "monday", "litellm").counts.accepted == 300
    second = run(tmp_path / "tuesday", "litellm").counts
    assert (second.accepted, second.duplicates, second.rejected) == (100, 300, 0)


def test_a_bill_with_credits_and_corrections_adds_up(tmp_path):
    path = tmp_path / "focus.csv"
    path.write_text(
        "BilledCost,BillingAccountId,BillingCurrency,ChargeCategory,ChargeClass,ChargeDescription,"
        "ChargePeriodStart,ProviderName,ServiceCategory,ConsumedQuantity,ConsumedUnit,SubAccountId\n"
        "10.5,acme,USD,Usage,,Hours,2026-03-01T00:00:00Z,Cloud,Compute,3.25,Hours,web\n"
        "-2.25,acme,USD,Usage,Correction,Hours of February,2026-03-01T00:00:00Z,Cloud,Compute,-1.0,Hours,web\n"
        "-5.0,acme,USD,Credit,,Startup programme,2026-03-01T00:00:00Z,Cloud,Compute,,,\n"
        "1.0,acme,ZZZ,Usage,,,2026-03-01T00:00:00Z,Cloud,Compute,,,web\n"
        "n/a,acme,USD,Usage,,,2026-03-01T00:00:00Z,Cloud,Compute,,,web\n"
    )
    report = run(path, "focus")
    assert (report.counts.accepted, report.counts.rejected) == (3, 2)
    assert sums("base_amount") == {"base_amount": 3_250_000_000}
    fields = ("entity__key", "kind", "reason", "quantity", "unit")
    assert list(CostEvent.objects.order_by("-base_amount").values_list(*fields)) == [
        ("web", "charge", "", 3_250_000_000, "Hours"),
        ("web", "credit", "Correction: Hours of February", None, ""),
        ("acme", "credit", "Credit: Startup programme", None, ""),
    ]
    entries = [json.loads(line) for line in report.rejects.read_text().splitlines()]
    assert [entry["errors"][0]["code"] for entry in entries] == ["unknown_currency", "not_an_amount"]
    assert_books_agree()


def test_files_of_the_wrong_profile_are_recognised(tmp_path):
    path = tmp_path / "export"
    write_openai(path, requests_of(BURSTGPT)[:5])
    with pytest.raises(Invalid) as refusal:
        run(path, "anthropic-usage")
    assert refusal.value.errors[0].detail.endswith("It looks like --profile openai-usage.")


def test_the_exports_of_two_organizations_add_up(tmp_path):
    for trace in (AZURE_CONV, AZURE_CODE):
        write_openai(tmp_path / trace.name, requests_of(trace))
        run(tmp_path / trace.name, "openai-usage", options=ImportOptions({}, {"source": trace.name}))
    assert sums("input_tokens") == {"input_tokens": AZURE_CONV.input_tokens + AZURE_CODE.input_tokens}
