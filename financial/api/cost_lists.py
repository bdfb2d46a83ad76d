"""The filters of a list of costs, read from a query string."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.http import QueryDict

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.errors import FieldError
from financial.domain.grouping import TAG
from financial.models import CostEvent
from financial.selectors.cost_events import CostFilters

from .ranges import optional_range, repeated_parameters, unknown_parameters

_TEXTS: Final = (
    "entity_type", "entity_id", "source", "event_id", "run_id", "cost_type", "provider", "model",
)  # fmt: skip
_NAMED: Final = frozenset({*_TEXTS, "start", "end", "tz", "unpriced", "currency", "kind"})


def cost_filters(query: QueryDict, more: Collection[str] = ()) -> tuple[CostFilters, list[FieldError]]:
    """What to list, and what is wrong with the parameters; ``more`` are those read elsewhere.

    A parameter that is unknown or repeated is refused: a misspelt filter must not widen an answer.
    """
    tags = sorted(name for name in query if name.startswith(TAG) and len(name) > len(TAG))
    start, end, errors = optional_range(query)
    errors += unknown_parameters(query, frozenset({*_NAMED, *more, *tags}))
    errors += repeated_parameters(query, query)
    if bool(query.get("entity_type")) != bool(query.get("entity_id")):
        errors.append(FieldError("?entity_id", "incomplete", "Give entity_type and entity_id together."))
    unpriced = {None: None, "true": True, "false": False}.get(query.get("unpriced"), ...)
    if unpriced is ...:
        errors.append(FieldError("?unpriced", "bad_value", "true or false."))
        unpriced = None
    currency, kind = query.get("currency"), query.get("kind")
    if currency is not None and currency not in CURRENCIES:
        errors.append(
            FieldError("?currency", "unknown_currency", "An ISO 4217 code in capitals, such as USD.")
        )
    if kind is not None and kind not in CostEvent.Kind.values:
        errors.append(FieldError("?kind", "bad_value", f"One of {', '.join(CostEvent.Kind.values)}."))
    texts: dict[str, Any] = {name: query.get(name) for name in _TEXTS}
    filters = CostFilters(
        start=start,
        end=end,
        unpriced=unpriced,
        currency=currency,
        kind=kind,
        tags=tuple((name.removeprefix(TAG), str(query[name])) for name in tags) or None,
        **texts,
    )
    return filters, errors
