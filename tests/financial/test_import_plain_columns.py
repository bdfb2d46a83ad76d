"""A file whose columns are called like the fields of a cost: no profile to name, no prefix to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from financial.domain.import_profiles import PROFILES
from financial.models import CostEvent

from .test_import_command import BURSTGPT, figures, run

pytestmark = pytest.mark.django_db(transaction=True)

FILE = """\
event_id,source,occurred_at,entity_type,entity_id,cost_type,provider,model,input_tokens,output_tokens,note
c1,plain,2026-03-01T10:00:00Z,agent,support-bot,llm,openai,gpt-4o,1200,310,hello
"""


def test_a_file_is_generic_unless_said_otherwise(live_database: str, tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text(FILE)
    code, out, err = run(live_database, tmp_path, "usage.csv")
    assert (code, err.splitlines()[0]) == (0, "Columns not used: note")
    assert (figures(out)["accepted"], figures(out)["amount (USD)"]) == ("1", "0.0061")
    event = CostEvent.objects.get()
    assert (event.event_id, event.input_tokens, event.output_tokens) == ("c1", 1200, 310)


def test_a_bad_quantity_is_named_by_its_column(live_database: str, tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text(FILE.replace("1200", "-5"))
    code, out, _ = run(live_database, tmp_path, "usage.csv", "--rejects", "bad.jsonl")
    assert (code, figures(out)["rejected"]) == (1, "1")
    assert '"pointer": "/usage/input_tokens"' in (tmp_path / "bad.jsonl").read_text()


def test_a_file_of_a_known_kind_says_which_profile_it_needs(live_database: str, tmp_path: Path) -> None:
    code, out, err = run(live_database, tmp_path, BURSTGPT.path)
    assert (code, out) == (2, "")
    assert "It looks like --profile burstgpt." in err
    assert "burstgpt" in PROFILES
