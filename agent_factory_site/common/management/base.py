"""The base of our commands: a refusal is one sentence on stderr and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from django.core.management.base import BaseCommand, CommandError, SystemCheckError, handle_default_options
from django.db import DatabaseError, connections

from agent_factory_site.common.errors import DomainError

from .progress import Progress

REFUSED = 2


class ServiceCommand(BaseCommand):
    """A command around a service. Results go to stdout; everything else goes to stderr.

    Whatever the command line or a service refuses ends in one sentence on stderr and exit status 2;
    ``--traceback`` shows where it came from.
    """

    def run_from_argv(self, argv: list[str]) -> None:
        show_traceback = "--traceback" in argv
        try:
            # Not marked as called from the command line: argparse would print the usage and exit itself.
            options = self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
            handle_default_options(options)
            arguments = vars(options)
            positional = arguments.pop("args", ())
            self.execute(*positional, **arguments)
        except SystemCheckError as error:
            self._stop(str(error), 1)
        except (CommandError, DomainError) as error:
            if show_traceback:
                raise
            self._stop(_sentence(error), REFUSED)
        except DatabaseError as error:
            if show_traceback:
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            self._stop(f"The database refused: {reason}. Is it there and migrated (manage.py migrate)?", 1)
        except KeyboardInterrupt:
            self._stop("Interrupted.", 130)
        finally:
            connections.close_all()

    def note(self, text: str) -> None:
        """Tell the person at the terminal something that is not the result."""
        self.stderr.write(text, lambda line: line)

    def progress(self, unit: str, total: int | None = None) -> Progress:
        """A progress display on stderr, for a ``with`` block."""
        return Progress(self.stderr, unit=unit, total=total)

    def _stop(self, sentence: str, status: int) -> None:
        self.note(sentence)
        sys.exit(status)


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).removeprefix("Error: ").split())
    # A pointer such as "/scopes/0: " means nothing on a command line.
    if isinstance(error, DomainError) and error.errors:
        text = " ".join(_unique([listed.detail for listed in error.errors]))
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _unique(sentences: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
