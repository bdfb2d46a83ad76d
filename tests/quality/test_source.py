"""What the source never contains."""

from __future__ import annotations

import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {"var", "staticfiles", "__pycache__"}
HIDDEN = {".ci", ".github", ".gitignore"}
# Spelt apart, so that this file passes its own test.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")))
BARE = re.compile(r"#\s*(noqa(?!\s*:)|type:\s*ignore(?!\[)|nosec(?!\s+B\d+)|pragma:\s*no cover)")
MACHINE = re.compile(r"(?<![\w.])/(?:work|home/\w+|Users/\w+|tmp/w)/")
TEXT = {".py", ".md", ".html", ".css", ".js", ".toml", ".txt", ".yml", ".yaml", ".in", ".sh", ""}


def _files() -> list[Path]:
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        kept = all(part in HIDDEN or not part.startswith(".") for part in parts)
        if kept and not SKIPPED & set(parts) and path.is_file() and path.suffix in TEXT:
            found.append(path)
    return found


def _python() -> list[Path]:
    return [path for path in _files() if path.suffix == ".py"]


def _found(pattern: re.Pattern[str], files: list[Path], comments_only: bool = False) -> list[str]:
    found = []
    for path in files:
        text = path.read_text(errors="replace")
        lines = enumerate(text.splitlines(), 1)
        if comments_only:
            tokens = tokenize.generate_tokens(io.StringIO(text).readline)
            lines = ((t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT)
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in lines
            if pattern.search(line)
        ]
    return found


def test_nothing_is_left_unfinished() -> None:
    assert _found(UNFINISHED, _python(), comments_only=True) == []
    assert _found(re.compile("raise " + r"NotImplemented(Error)?\b"), _python()) == []


def test_every_silenced_warning_is_named() -> None:
    assert _found(BARE, _python(), comments_only=True) == []


def test_no_path_of_one_machine() -> None:
    assert _found(MACHINE, _files()) == []


def test_there_is_source_to_look_at() -> None:
    assert len(_python()) > 100
    assert _found(re.compile("WHAT IS SEARCHED FOR IS FOUND"), [Path(__file__)])


def test_every_dependency_is_locked_with_its_hash() -> None:
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-bench.txt",
        "requirements-clients.txt",
    ):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert len(lines) > 20
        unlocked = [
            line for line in lines if not re.match(r"[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
        ]
        assert unlocked == []


def _pins(name: str) -> set[str]:
    """Each ``package==version`` of a lock."""
    return set(re.findall(r"^[\w.\[\]-]+==\S+", (ROOT / name).read_text(), re.MULTILINE))


def test_a_lock_on_top_of_another_has_all_that_it_has() -> None:
    locks = ["requirements.txt", "requirements-dev.txt", "requirements-bench.txt"]
    for below, name in pairwise(locks):
        assert f"-r {below.replace('.txt', '.in')}\n" in (ROOT / name.replace(".txt", ".in")).read_text()
        pinned = _pins(below)
        assert len(pinned) > 20
        assert pinned - _pins(name) == set(), f"{name} is older than {below}: make lock"


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in _files():
        if path.suffix == ".md":
            text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                file = target.partition("#")[0]
                elsewhere = not file or "://" in target or file.startswith(("mailto:", "/"))
                if not elsewhere and not (path.parent / file).exists():
                    broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert broken == []
