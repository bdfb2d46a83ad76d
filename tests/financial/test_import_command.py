"""``manage.py import_costs`` as a person runs it: real processes, exit codes, words, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from financial.models import CostEvent, CostImport
from financial.services.import_costs import BATCH
from tests.processes import PATIENCE, until
from tests.programs import run_manage

from .books import assert_books_agree
from .traces import AZURE_CONV, BURSTGPT

ROOT = Path(__file__).resolve().parents[2]
HEADER = "occurred_at,entity_type,entity_id,cost_type,provider,model,usage.input_tokens,usage.output_tokens"
ROW = "2026-03-01T10:00:00Z,agent,bot,llm,openai,gpt-4o,100,10"


def start(database: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "import_costs", *map(str, arguments)],
        env=os.environ | {"DATABASE_URL": database, "VAR_DIR": str(folder / "var")},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(database: str, folder: Path, *arguments: object) -> tuple[int, str, str]:
    process = start(database, folder, *arguments)
    out, err = process.communicate(timeout=2 * PATIENCE)
    return process.returncode, out, err


def figures(out: str) -> dict[str, str]:
    """The lines of a summary: name and figure."""
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    return {name.strip(): figure for name, figure in (line.rsplit(maxsplit=1) for line in lines)}


def rows_done() -> int:
    stored = CostImport.objects.first()
    return stored.rows if stored else 0


def test_a_trace_is_imported_with_a_summary_on_stdout(live_database, tmp_path):
    arguments = (BURSTGPT.path, "--profile", "burstgpt", "--time-origin", "2024-03-01")
    code, out, err = run(live_database, tmp_path, *arguments)
    assert code == 0
    assert out == (
        "BurstGPT_1_head.csv\n"
        "  rows                        400\n"
        "  accepted                    400\n"
        "  duplicates                    0\n"
        "  rejected                      0\n"
        "  input_tokens            208,189\n"
        "  output_tokens           110,612\n"
        "  amount (USD)          2.5792145\n"
    )
    assert err.startswith(
        "Assumed, because such files do not say: --set provider=openai\n400 of 400 rows (100 %)"
    )
    code, out, _ = run(live_database, tmp_path, *arguments)
    assert code == 0
    assert (figures(out)["duplicates"], figures(out)["amount (USD)"]) == ("400", "0.00")
    stored = CostImport.objects.latest("id")
    assert (stored.actor_kind, stored.actor_id) == ("command", "import_costs")


def test_rejected_rows_are_told_by_the_exit_code_and_where_they_are(live_database, tmp_path):
    (tmp_path / "usage.csv").write_text(f"{HEADER}\n{ROW}\n1,2\n")
    code, out, _ = run(live_database, tmp_path, "usage.csv", "--profile", "generic", "--rejects", "bad.jsonl")
    assert code == 1
    assert (figures(out)["rejected"], figures(out)["accepted"]) == ("1", "1")
    assert out.endswith("Rejected rows, with the reasons: bad.jsonl\n")
    assert json.loads((tmp_path / "bad.jsonl").read_text())["raw"] == "1,2"
    assert CostEvent.objects.count() == 1


def test_mappings_assignments_and_unused_columns(live_database, tmp_path):
    (tmp_path / "calls.csv").write_text(
        "when;who;prompt;answer;note\n2026-03-01 10:00:00+01:00;support-bot;100;10;hello\n"
    )
    code, out, err = run(
        *(live_database, tmp_path, "calls.csv", "--profile", "generic"),
        *("--map", "occurred_at=when", "--map", "entity_id=who", "--map", "usage.input_tokens=prompt"),
        *("--map", "usage.output_tokens=answer", "--set", "entity_type=agent", "--set", "cost_type=llm"),
        *("--set", "provider=openai", "--set", "model=gpt-4o", "--set", "tags.env=prod"),
    )
    assert (code, err.splitlines()[0]) == (0, "Columns not used: note")
    event = CostEvent.objects.get()
    assert (event.entity.key, event.tags, event.input_tokens) == ("support-bot", {"env": "prod"}, 100)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "generic"], "The following arguments are required: FILE."),
        (
            ["usage.csv", "--profile", "nonsense"],
            'There is no profile "nonsense": it is one of litellm, openai-usage, '
            "anthropic-usage, focus, burstgpt, azure-llm-trace, mooncake, generic.",
        ),
        (["absent.csv", "--profile", "generic"], "Cannot read absent.csv: No such file or directory."),
        (
            ["usage.csv", "--profile", "generic", "--set", "model"],
            'Argument --set: "model" is not of the form field=value.',
        ),
        (
            ["usage.csv", "--profile", "generic", "--time-origin", "2024-03-01T10:00:00"],
            'Argument --time-origin: "2024-03-01T10:00:00" has no time zone: add Z or an offset.',
        ),
        (
            ["usage.csv", "--profile", "mooncake", "--time-origin", "2024-03-01"],
            "Mooncake files are JSON Lines, and this is CSV.",
        ),
        (["empty.csv", "--profile", "generic"], "The file is empty."),
        (
            ["binary", "--profile", "generic"],
            "The file is binary: CSV and JSON Lines, plain or gzip, can be read.",
        ),
    ],
)
def test_a_wrong_command_line_or_file_is_one_sentence_and_exit_2(
    live_database, tmp_path, arguments, sentence
):
    (tmp_path / "usage.csv").write_text(f"{HEADER}\n{ROW}\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    ended = run_manage("import_costs", *arguments, database=live_database, folder=tmp_path)
    assert ended == (2, "", f"{sentence}\n")
    assert CostImport.objects.count() == 0


@pytest.mark.once_when_quick
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_between_batches_and_the_same_command_goes_on(live_database, tmp_path, number):
    arguments = (AZURE_CONV.path, "--profile", "azure-llm-trace")
    process = start(live_database, tmp_path, *arguments)
    until(lambda: rows_done() >= 2000)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.endswith(
        "Interrupted. Give the same command again to go on after the last row counted here.\n"
    )
    stored = CostImport.objects.get()
    assert (stored.state, stored.rows % BATCH) == ("interrupted", 0)
    assert stored.accepted == CostEvent.objects.count() == stored.rows
    code, out, err = run(live_database, tmp_path, *arguments)
    assert (code, err.splitlines()[0]) == (0, f"Going on after row {stored.rows:,}.")
    assert figures(out)["accepted"] == "19,366"
    assert CostImport.objects.get().state == "succeeded"
    assert_books_agree()


def test_a_killed_import_is_completed_by_the_same_command(live_database, tmp_path):
    arguments = (AZURE_CONV.path, "--profile", "azure-llm-trace")
    for rows in (2000, 7000):
        process = start(live_database, tmp_path, *arguments)
        until(lambda rows=rows: rows_done() >= rows)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    code, out, _ = run(live_database, tmp_path, *arguments)
    assert code == 0
    told = figures(out)
    assert (told["accepted"], told["duplicates"]) == ("19,366", "0")
    assert (told["input_tokens"], told["output_tokens"]) == ("22,361,870", "4,088,665")
    stored = CostImport.objects.get()
    assert (stored.accepted, stored.usage["output_tokens"]) == (AZURE_CONV.rows, AZURE_CONV.output_tokens)
    assert CostEvent.objects.count() == AZURE_CONV.rows
    assert_books_agree()


PEAK = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, "")
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    status = open("/proc/self/status").read()
    print(status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell peak memory")
def test_memory_does_not_grow_with_the_file(live_database, tmp_path):
    """200 MB are imported in the memory that 2 MB take, up to a tenth more."""
    peaks = []
    for name, rows in (("small.csv", 1_000), ("large.csv", 100_000)):
        path = tmp_path / name
        with path.open("w") as file:
            file.write(f"{HEADER},note\n")
            for number in range(rows):
                hour, second = divmod(number, 3600)
                at = f"2026-03-01T{hour % 24:02}:{second // 60:02}:{second % 60:02}Z"
                file.write(f"{at},agent,bot-{number % 50},llm,openai,gpt-4o,{number},10,{'x' * 2000}\n")
        assert path.stat().st_size > rows * 2000
        process = subprocess.run(
            [sys.executable, "-c", PEAK, "manage.py", "import_costs", str(path), "--profile", "generic"],
            env=os.environ | {"DATABASE_URL": live_database, "VAR_DIR": str(tmp_path / "var")},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert figures(process.stdout)["accepted"] == f"{rows:,}"
        peaks.append(int(process.stderr.splitlines()[-1]))
    assert peaks[1] <= peaks[0] * 1.1
    assert CostEvent.objects.count() == 101_000
