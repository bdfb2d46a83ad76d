"""Exchange rates from a CSV file, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import Invalid
from financial.domain.rate_files import read_rates

from .exchange_rates import add_exchange_rates


@dataclass(frozen=True, slots=True)
class ImportedRates:
    """How many rates were added, were there already, and were missing; columns that were left out."""

    added: int
    known: int
    gaps: int
    left_out: list[str]


def import_rates(*, lines: Iterable[str], base: str = "EUR", source: str = "") -> ImportedRates:
    """Add the rates in ``lines`` (see :mod:`financial.domain.rate_files`) against ``base``.

    Raises :class:`Invalid` naming the rows that are wrong, :class:`Conflict` where a day has another
    rate; then nothing is added.
    """
    if base not in CURRENCIES:
        raise Invalid.field_error(
            "/base", "unknown_currency", f'"{base}" is not an ISO 4217 code such as EUR.'
        )
    file = read_rates(lines, base)
    if file.problems:
        raise Invalid("bad_file", " ".join(file.problems))
    done = add_exchange_rates(rates=file.rates, source=source)
    return ImportedRates(done.added, done.known, file.gaps, file.left_out)
