"""Counting what became of what each source sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agent_factory_site.common.db.prepared import PreparedQuery
from operations.telemetry.domain.ignored import Held
from operations.telemetry.domain.spans import Origin
from operations.telemetry.domain.values import text
from operations.telemetry.models import TelemetrySource

LIMIT: Final = 1000
"""Sources that are told apart; those beyond are counted as one without a name for each key."""
_REASONS: Final = 50


class Ignored:
    """Why something that was sent is not kept."""

    LOGS: Final = "log_records"
    METRICS: Final = "metric_points"
    OTHER: Final = "other_spans"


class SourceName(NamedTuple):
    """Who sends: an API key's prefix, the name of a service and the SDK it uses."""

    key: str
    service: str = ""
    sdk: str = ""
    sdk_version: str = ""


@dataclass(slots=True)
class Counts:
    """What became of one request of one source; ``reasons`` counts what was ignored or refused, and why."""

    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    remark: str = ""

    @property
    def ignored(self) -> int:
        """Spans, log records and points of metrics that were not kept."""
        return self.reasons[Ignored.OTHER] + self.reasons[Ignored.LOGS] + self.reasons[Ignored.METRICS]


def source_name(key: str, origin: Origin) -> SourceName:
    """The source that a resource tells of."""
    said = origin.resource
    return SourceName(
        key[:100],
        text(said.get("service.name")),
        text(said.get("telemetry.sdk.name") or said.get("telemetry.sdk.language"), 100),
        text(said.get("telemetry.sdk.version"), 50),
    )


def note_ignored(*, key: str, ignored: Held, reason: str) -> None:
    """Count log records or metrics, which are not kept."""
    counts = Counts(reasons=Counter({reason: ignored.items} if ignored.items else {}))
    with transaction.atomic():
        note_sources(counts={source_name(key, ignored.origin): counts})


def note_refused(*, key: str, code: str) -> None:
    """Count a request whose body was refused, by the code of the refusal.

    It counts on the key alone: what a body says that cannot be read must not make up sources.
    """
    with transaction.atomic():
        note_sources(counts={SourceName(key[:100]): Counts(refused=1, reasons=Counter({code: 1}))})


def note_sources(*, counts: Mapping[SourceName, Counts]) -> None:
    """Add to the counters of sources, in the caller's transaction: the last that it writes."""
    if not counts:
        return
    now = timezone.now()
    found = {name: pk for name in counts if (pk := _find(name)) is not None}
    missing = sorted(counts.keys() - found.keys())
    if missing:
        room = LIMIT - TelemetrySource.objects.count()
        for name in missing:
            known = name if room > 0 else SourceName(name.key)
            row, made = TelemetrySource.objects.get_or_create(
                **known._asdict(), defaults={"last_seen_at": now}
            )
            room -= made
            found[name] = row.pk
    together: dict[int, Counts] = {}
    for name, pk in found.items():
        have, said = together.setdefault(pk, Counts()), counts[name]
        have.accepted += said.accepted
        have.rejected += said.rejected
        have.duplicates += said.duplicates
        have.refused += said.refused
        have.reasons += said.reasons
        have.remark = have.remark or said.remark
    for pk, said in sorted(together.items()):
        _add(pk, said)


def _find(name: SourceName) -> int | None:
    for (found,) in _FOUND.rows(*name):
        number: int = found
        return number
    return None


_FOUND: Final = PreparedQuery(
    lambda *name: (
        TelemetrySource.objects.filter(**dict(zip(SourceName._fields, name, strict=True)))
        .order_by()
        .values_list("pk")
    ),
    *(f"?{field}" for field in SourceName._fields),
)


def _add(pk: int, said: Counts) -> None:
    changes: dict[str, object] = {
        "last_seen_at": timezone.now(),
        "requests": F("requests") + 1,
        "accepted": F("accepted") + said.accepted,
        "rejected": F("rejected") + said.rejected,
        "duplicates": F("duplicates") + said.duplicates,
        "ignored": F("ignored") + said.ignored,
        "refused": F("refused") + said.refused,
    }
    if said.remark:
        changes["remark"] = said.remark[:500]
    rows = TelemetrySource.objects.filter(pk=pk)
    if said.reasons:
        reasons = Counter(rows.select_for_update().values_list("ignored_by", flat=True).get())
        for reason, count in said.reasons.items():
            if reason in reasons or len(reasons) < _REASONS:
                reasons[reason] += count
        changes["ignored_by"] = dict(reasons)
    rows.update(**changes)
