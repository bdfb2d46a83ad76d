"""Recording samples: each event once, as it is known by its latest revision.

Writers of one indicator take turns. Under that lock what is known of the events of a batch is read, the new and
changed ones are written, and the difference goes into the buckets of every objective, all in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import Insert, write_all
from agent_factory_site.common.db.prepared import Asked, PreparedQuery, ask_all
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError
from operations.slo.domain.kept import minutes_from
from operations.slo.domain.sample_input import (
    SampleInput,
    SampleItem,
    Takes,
    check_sample,
    content_digest,
    event_key,
)
from operations.slo.models import Sli, SloSample

from .objective_counts import Change, Content, count_changes, open_objectives
from .sli_lock import lock_sli, locked_sli_asked, unknown_sli

CHUNK: Final = 1000
MOST_FORMER: Final = 64
"""So many earlier contents of one event are remembered."""
_COLUMNS: Final = (
    "sli_id", "key", "timestamp", "good", "total", "value", "labels", "revision", "digest", "former",
)  # fmt: skip


_Checked = tuple[int, UUID, bytes, SampleInput]
"""Position, key and digest of a sample that is right by itself."""


@dataclass(slots=True)
class RecordedSamples:
    """What became of a batch: positions that changed something, that were known, and what is wrong with others."""

    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)


@dataclass(slots=True)
class _Known:
    """What is stored of an event, or will be after this batch."""

    content: Content | None = None
    revision: int = 0
    digest: bytes = b""
    former: bytes = b""
    stored: Content | None = None
    changed: bool = False


def record_samples(*, sli: str, samples: Sequence[SampleItem]) -> RecordedSamples:
    """Record a batch of samples of the indicator with the key ``sli``.

    An item that is a list of errors (it did not decode) is passed through as rejected. The same event with the
    same content, or one that it had before, changes nothing; other content takes the place of the former, unless
    a higher ``revision`` came first. Good items are recorded whatever becomes of the others. Raises
    :class:`NotFound` for an unknown indicator and :class:`Conflict` for an archived one.
    """
    rows = _SLI.rows(sli)
    if not rows:
        raise unknown_sli()
    number, threshold, archived_at = rows[0]
    takes = _takes(threshold)
    checked: list[_Checked] = []
    outcome = RecordedSamples()
    now = timezone.now()
    earliest = minutes_from(now)
    for index, item in enumerate(samples):
        errors = item if isinstance(item, list) else check_sample(item, takes, now=now, earliest=earliest)
        if errors:
            outcome.rejected[index] = list(errors)
        elif isinstance(item, SampleInput):
            key, digest = event_key(item.event_id), content_digest(item).bytes
            checked.append((index, key, digest, item))
    if checked or archived_at is not None:
        stored = retry_conflicts(lambda: _store(number, sli, checked))
        if stored is None:
            raise Conflict("archived", "This SLI is archived.")
        outcome.accepted, outcome.duplicates = stored
    return outcome


def withdraw_samples(*, sli: str, event_ids: Sequence[str]) -> int:
    """Take the samples of events back that turned out to be none; how many there were.

    Raises :class:`NotFound` for an unknown indicator and :class:`Conflict` for an archived one.
    """
    return retry_conflicts(lambda: _withdraw(sli, {event_key(one) for one in event_ids}))


def _withdraw(sli: str, keys: set[UUID]) -> int:
    with transaction.atomic():
        row = lock_sli(sli)
        if row.archived_at is not None:
            raise Conflict("archived", "This SLI is archived.")
        known = sorted(_read_known(row.pk, keys).items(), key=lambda pair: pair[0].int)
        if not known:
            return 0
        for start in range(0, len(known), CHUNK):
            part = [key for key, _ in known[start : start + CHUNK]]
            SloSample.objects.filter(sli=row.pk, key__in=part).delete()
        count_changes(open_objectives(row.pk), [Change(key, one.stored, None) for key, one in known])
        told = audit_insert(
            action="withdraw",
            target_type="operations.SloSample",
            changes={"sli": sli, "samples": len(known)},
        )
        write_all(connection, [told])
    return len(known)


def takes_of(sli: Sli) -> Takes:
    """What the samples of an indicator say: good of total, or where it has a threshold a value as well."""
    return _takes(sli.threshold)


def _takes(threshold: Decimal | None) -> Takes:
    return "counts" if threshold is None else "either"


_SLI: Final = PreparedQuery(
    lambda key: Sli.objects.filter(key=key).order_by().values_list("pk", "threshold", "archived_at"), "?"
)


def _store(number: int, sli: str, checked: Sequence[_Checked]) -> tuple[list[int], list[int]] | None:
    """The positions that changed something and those that were known; None where the indicator is archived."""
    accepted: list[int] = []
    duplicates: list[int] = []
    keys = {key for _, key, _, _ in checked}
    # Who calls this in a transaction does not go on where it fails.
    with transaction.atomic(savepoint=False):
        locked, *stored = ask_all(locked_sli_asked(number), *_stored_asked(number, keys))
        if not locked or locked[0][0] is not None:
            return None
        known = _read_known(number, {key for rows in stored for (key,) in rows} if stored else keys)
        for index, key, digest, sample in checked:
            taken = _take(known.setdefault(key, _Known()), digest, sample)
            (accepted if taken else duplicates).append(index)
        # By number: comparing UUIDs takes as long as writing them.
        changed = sorted(
            ((key, one) for key, one in known.items() if one.changed), key=lambda pair: pair[0].int
        )
        if changed:
            _write(number, changed)
            count_changes(
                open_objectives(number), [Change(key, one.stored, one.content) for key, one in changed]
            )
        if accepted:
            told = audit_insert(
                action="record",
                target_type="operations.SloSample",
                changes={"sli": sli, "samples": len(accepted)},
            )
            write_all(connection, [told])
    return accepted, duplicates


def _take(known: _Known, digest: bytes, sample: SampleInput) -> bool:
    """Have ``known`` be what is known after this sample; whether what it says is new."""
    if known.content is not None:
        if sample.revision < known.revision:
            return False
        if sample.revision == known.revision:
            if digest == known.digest or digest in _parts(known.former):
                return False
            known.former = (known.former + known.digest)[-16 * MOST_FORMER :]
        else:
            # What was said under a lower revision may be said anew.
            known.former = b""
    fresh = digest != known.digest
    known.revision, known.digest, known.changed = sample.revision, digest, True
    known.content = Content(
        sample.timestamp.astimezone(UTC),
        sample.good or 0,
        1 if sample.total is None else sample.total,
        sample.value,
        sample.labels,
    )
    return fresh


def _parts(former: bytes) -> set[bytes]:
    return {former[start : start + 16] for start in range(0, len(former), 16)}


def _read_known(sli: int, keys: Iterable[UUID]) -> dict[UUID, _Known]:
    found: dict[UUID, _Known] = {}
    wanted = sorted(keys, key=lambda key: key.int)
    for start in range(0, len(wanted), CHUNK):
        rows = SloSample.objects.filter(sli=sli, key__in=wanted[start : start + CHUNK])
        for key, revision, digest, former, *content in rows.values_list(
            "key", "revision", "digest", "former", "timestamp", "good", "total", "value", "labels"
        ):
            stored = Content(*content)
            found[key] = _Known(stored, revision, digest.bytes, bytes(former), stored)
    return found


def _stored_asked(sli: int, keys: Iterable[UUID]) -> list[Asked]:
    """Which of the keys are stored already: most samples are new. Nothing on SQLite, where all are looked for."""
    if connection.vendor == "sqlite":
        return []
    # As one array, which takes a fifth of the time of as many parameters.
    array = f"{{{','.join([key.hex for key in keys])}}}"
    return [
        Asked(
            "SELECT key FROM operations_slosample WHERE sli_id = %s AND key = ANY(%s::uuid[])", [sli, array]
        )
    ]


def _write(sli: int, changed: Sequence[tuple[UUID, _Known]]) -> None:
    replaced = [key for key, one in changed if one.stored is not None]
    for start in range(0, len(replaced), CHUNK):
        SloSample.objects.filter(sli=sli, key__in=replaced[start : start + CHUNK]).delete()
    rows = [
        (
            sli,
            key,
            one.content.timestamp,
            one.content.good,
            one.content.total,
            one.content.value,
            json.dumps(one.content.labels) if one.content.labels else "{}",
            one.revision,
            UUID(bytes=one.digest),
            one.former,
        )
        for key, one in changed
        if one.content is not None
    ]
    write_all(connection, [Insert(SloSample._meta.db_table, _COLUMNS, rows)])
