"""The real traces: where they are, how they are imported, and what their README says is in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from financial.domain.import_profiles.profile import ImportOptions

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ORIGIN = datetime(2024, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Trace:
    """One file and its exact sums."""

    name: str
    profile: str
    rows: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    failed: int = 0
    options: ImportOptions = field(default_factory=ImportOptions)

    @property
    def path(self) -> Path:
        """The file; skips the test when it is not there."""
        path = FOLDER / self.name
        if not path.exists():
            pytest.skip(f"the real trace {self.name} is not in {FOLDER}")
        return path


BURSTGPT = Trace(
    "BurstGPT_1_head.csv",
    "burstgpt",
    rows=400,
    input_tokens=208_189,
    output_tokens=110_612,
    failed=17,
    options=ImportOptions(time_origin=ORIGIN),
)
AZURE_CONV = Trace(
    "AzureLLMInferenceTrace_conv.csv",
    "azure-llm-trace",
    rows=19_366,
    input_tokens=22_361_870,
    output_tokens=4_088_665,
)
AZURE_CODE = Trace(
    "AzureLLMInferenceTrace_code.csv",
    "azure-llm-trace",
    rows=8_819,
    input_tokens=18_059_974,
    output_tokens=245_896,
)
MOONCAKE = Trace(
    "mooncake_conversation_trace.jsonl",
    "mooncake",
    rows=12_031,
    input_tokens=144_793_823,
    output_tokens=4_122_048,
    cache_read_tokens=54_098_411,
    options=ImportOptions(time_origin=ORIGIN),
)
TRACES = (BURSTGPT, AZURE_CONV, AZURE_CODE, MOONCAKE)
