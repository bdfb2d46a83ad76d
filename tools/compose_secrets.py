"""Make the secrets of compose.yaml in a folder, once: ``python tools/compose_secrets.py FOLDER``.

What is there already is kept, so that running it again changes nothing.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Write the passwords, and the URLs that contain them."""
    postgres = keep(folder / "postgres_password", secrets.token_hex(32))
    redis = keep(folder / "redis_password", secrets.token_hex(32))
    keep(folder / "database_url", f"postgres://agent_factory:{postgres}@postgres:5432/agent_factory")
    keep(folder / "redis_url", f"redis://:{redis}@redis:6379/0")


def keep(path: Path, text: str) -> str:
    """The content of ``path``; ``text`` is written when there is none yet."""
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.write_text(text)
        # Each container that mounts the folder reads it as a user of its own.
        draft.chmod(0o444)
        draft.rename(path)
    return path.read_text()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
