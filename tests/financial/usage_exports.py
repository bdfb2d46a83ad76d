"""The real traces, written down as other systems would have exported them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path

from .traces import AZURE_CONV, BURSTGPT, MOONCAKE, ORIGIN, Trace

NANO_PRICES = {"gpt-4": (30_000, 60_000), "gpt-3.5-turbo": (500, 1_500)}
"""What a token of input and of output costs in billionths of a dollar."""


@dataclass(frozen=True)
class Request:
    """One call of a trace."""

    at: datetime
    model: str
    input: int
    output: int
    cached: int = 0


def requests_of(trace: Trace) -> list[Request]:
    """The calls of a trace, read without any of the code under test."""
    if trace.profile == "mooncake":
        return list(_mooncake(trace.path))
    with trace.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if trace.profile == "burstgpt":
        names = {"ChatGPT": "gpt-3.5-turbo", "GPT-4": "gpt-4"}
        return [
            Request(
                ORIGIN + timedelta(seconds=float(row["Timestamp"])),
                names[row["Model"]],
                int(row["Request tokens"]),
                int(row["Response tokens"]),
            )
            for row in rows
        ]
    return [
        Request(
            datetime.fromisoformat(row["TIMESTAMP"]).replace(tzinfo=UTC),
            "gpt-4",
            int(row["ContextTokens"]),
            int(row["GeneratedTokens"]),
        )
        for row in rows
    ]


def _mooncake(path: Path) -> Iterator[Request]:
    seen: set[int] = set()
    for line in path.read_text().splitlines():
        row = json.loads(line)
        known = 0
        while known < len(row["hash_ids"]) and row["hash_ids"][known] in seen:
            known += 1
        seen.update(row["hash_ids"])
        cached = min(known * 512, row["input_length"])
        at = ORIGIN + timedelta(milliseconds=row["timestamp"])
        yield Request(at, "claude-sonnet-4-5", row["input_length"], row["output_length"], cached)


def minutes_of(requests: Iterable[Request]) -> Iterator[tuple[datetime, str, list[Request]]]:
    """The calls of each minute and model."""

    def key(request: Request) -> tuple[datetime, str]:
        return request.at.replace(second=0, microsecond=0), request.model

    for (minute, model), group in groupby(sorted(requests, key=key), key):
        yield minute, model, list(group)


def write_litellm(path: Path, requests: list[Request]) -> None:
    """One JSON array over many lines, as ``/spend/logs`` answers."""
    rows = [
        {
            "request_id": f"chatcmpl-{number}",
            "call_type": "acompletion",
            "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
            "spend": 0.000123 if request.output else 0.0,
            "total_tokens": request.input + request.output,
            "prompt_tokens": request.input,
            "completion_tokens": request.output,
            "startTime": request.at.isoformat(),
            "endTime": (request.at + timedelta(seconds=2)).isoformat(),
            "model": request.model,
            "model_group": "chat",
            "custom_llm_provider": "anthropic" if request.model.startswith("claude") else "openai",
            "user": "u-1",
            "team_id": "t-1",
            "end_user": "",
            "cache_hit": "False",
            "request_tags": ["env:prod"],
            "status": "success" if request.output else "failure",
            "metadata": {
                "usage_object": {
                    "prompt_tokens": request.input,
                    "completion_tokens": request.output,
                    "prompt_tokens_details": {"cached_tokens": request.cached, "audio_tokens": None},
                }
            },
        }
        for number, request in enumerate(requests)
    ]
    path.write_text(json.dumps(rows, indent=1))


def write_openai(path: Path, requests: list[Request]) -> None:
    """Pages of 60 buckets, one after the other."""
    buckets = [
        {
            "object": "bucket",
            "start_time": int(minute.timestamp()),
            "end_time": int(minute.timestamp()) + 60,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": sum(request.input for request in group),
                    "output_tokens": sum(request.output for request in group),
                    "input_cached_tokens": sum(request.cached for request in group),
                    "input_audio_tokens": 0,
                    "output_audio_tokens": 0,
                    "num_model_requests": len(group),
                    "project_id": "proj_1",
                    "user_id": None,
                    "api_key_id": None,
                    "model": model,
                    "batch": False,
                }
            ],
        }
        for minute, model, group in minutes_of(requests)
    ]
    with path.open("w") as file:
        for first in range(0, len(buckets), 60):
            page = {"object": "page", "data": buckets[first : first + 60], "has_more": True, "next_page": "p"}
            json.dump(page, file, indent=2)
            file.write("\n")


def write_anthropic(path: Path, requests: list[Request]) -> None:
    """Buckets, one a line. A tenth of what was not cached is written to either cache."""
    with path.open("w") as file:
        for minute, model, group in minutes_of(requests):
            total, cached = sum(request.input for request in group), sum(request.cached for request in group)
            written = (total - cached) // 10
            result = {
                "uncached_input_tokens": total - cached - 2 * written,
                "cache_creation": {
                    "ephemeral_1h_input_tokens": written,
                    "ephemeral_5m_input_tokens": written,
                },
                "cache_read_input_tokens": cached,
                "output_tokens": sum(request.output for request in group),
                "server_tool_use": {"web_search_requests": 0},
                "api_key_id": None,
                "workspace_id": "wrkspc_1",
                "model": model,
                "service_tier": "standard",
                "context_window": "0-200k",
            }
            bucket = {
                "starting_at": minute.isoformat(),
                "ending_at": (minute + timedelta(minutes=1)).isoformat(),
                "results": [result],
            }
            file.write(json.dumps(bucket) + "\n")


FOCUS_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "EffectiveCost", "ProviderName",
    "ServiceCategory", "ServiceName", "SkuId", "SkuMeter", "SubAccountId", "Tags",
)  # fmt: skip


def write_focus(path: Path, requests: list[Request]) -> int:
    """A charge for each meter, minute and model; gives the sum of the bill in billionths."""
    bill = 0
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FOCUS_COLUMNS)
        writer.writeheader()
        for minute, model, group in minutes_of(requests):
            per_input, per_output = NANO_PRICES.get(model, (3_000, 15_000))
            cached = sum(request.cached for request in group)
            plain = sum(request.input for request in group) - cached
            output = sum(request.output for request in group)
            for meter, count, price in (
                ("Input Tokens", plain, per_input),
                ("Cached Input Tokens", cached, per_input // 10),
                ("Output Tokens", output, per_output),
            ):
                bill += count * price
                cost = str(Decimal(count * price).scaleb(-9))
                writer.writerow(
                    {
                        "BilledCost": cost,
                        "BillingAccountId": "acme",
                        "BillingCurrency": "USD",
                        "ChargeCategory": "Usage",
                        "ChargeDescription": meter,
                        "ChargePeriodStart": minute.isoformat().replace("+00:00", "Z"),
                        "ChargePeriodEnd": (minute + timedelta(minutes=1)).isoformat().replace("+00:00", "Z"),
                        "ConsumedQuantity": f"{count}.0",
                        "ConsumedUnit": "Tokens",
                        "EffectiveCost": cost,
                        "ProviderName": "OpenAI",
                        "ServiceCategory": "AI and Machine Learning",
                        "ServiceName": "API",
                        "SkuId": model,
                        "SkuMeter": meter,
                        "SubAccountId": "proj_1",
                        "Tags": '{"env": "prod"}',
                    }
                )
    return bill


EXPORTED = (BURSTGPT, AZURE_CONV, MOONCAKE)
