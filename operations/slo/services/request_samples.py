"""This service's own HTTP requests as samples of indicators with the source ``http``.

A request costs an append to a bounded list; a thread of the process writes what was gathered every few seconds.
What cannot be kept or written is dropped and counted: a request is never slowed or failed by it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import util as multiprocessing_util
from typing import Final

from django.db import connections

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.ids import uuid7
from operations.slo.domain.sample_input import SampleInput
from operations.slo.domain.units import in_unit
from operations.slo.models import Sli
from operations.slo.selectors.sources import SourceSli, slis_of

from .record_samples import record_samples

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 10.0
FLUSH_REQUESTS: Final = 1000
MOST_WAITING: Final = 20_000
BATCH: Final = 1000
MILLISECOND: Final = 0.001


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One answered request: when it ended (seconds since 1970), its route and how it went."""

    at: float
    method: str
    route: str
    status: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether this service did its part: a client's mistake is no failure of ours."""
        return self.status < 500

    @property
    def labels(self) -> dict[str, str]:
        """Bounded in number: routes are those of the program."""
        return {"method": self.method, "route": self.route, "status": f"{self.status // 100}xx"}


class RequestCollector:
    """The requests of this process that were not written yet. Safe for threads and across forks."""

    def __init__(self) -> None:
        self._waiting: deque[SeenRequest] = deque()
        self._dropped = 0
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def add(self, request: SeenRequest) -> None:
        """Remember a request; where too many wait, it is dropped."""
        waiting = len(self._waiting)
        if waiting >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(request)
        if waiting + 1 >= FLUSH_REQUESTS:
            self._due.set()

    def start(self) -> None:
        """Write regularly from now on, in a thread of this process, and once more when the process ends."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="request-samples", daemon=True)
        self._thread.start()
        atexit.register(self.stop)
        # Workers of the web server are multiprocessing's children, which end without atexit.
        multiprocessing_util.Finalize(None, self.stop, exitpriority=10)

    def stop(self) -> None:
        """End the thread and write what is left; safe to call twice."""
        if self._pid != os.getpid() or self._stopping.is_set():
            return
        self._stopping.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(timeout=FLUSH_SECONDS)

    def flush(self) -> int:
        """Write what was gathered; how many samples were accepted."""
        with self._flushing:
            gathered = [self._waiting.popleft() for _ in range(len(self._waiting))]
            dropped, self._dropped = self._dropped, 0
            if dropped:
                log.warning("%s requests were not counted: more than %s waited", dropped, MOST_WAITING)
            if not gathered:
                return 0
            accepted = 0
            with acting(Actor.system("request-samples")):
                for sli in slis_of(Sli.Source.HTTP):
                    samples = samples_of(sli, gathered)
                    for start in range(0, len(samples), BATCH):
                        outcome = record_samples(sli=sli.key, samples=samples[start : start + BATCH])
                        accepted += len(outcome.accepted)
            return accepted

    def _run(self) -> None:
        while True:
            self._due.wait(FLUSH_SECONDS)
            self._due.clear()
            last = self._stopping.is_set()
            try:
                self.flush()
            except Exception:
                # The database may be away: what was gathered is lost, requests go on.
                log.exception("requests were not counted")
            finally:
                connections.close_all()
            if last:
                return

    def reset(self) -> None:
        """Begin empty, as a forked child does: what the parent gathered is the parent's to write."""
        self.__init__()  # type: ignore[misc]


def samples_of(sli: SourceSli, requests: Sequence[SeenRequest]) -> list[SampleInput]:
    """The samples that ``requests`` are for one indicator.

    With a threshold each request is a sample with its duration, in the indicator's unit; else they are counted by
    minute and labels.
    The filter may name ``method``, ``route`` and ``path_prefix`` (of the route).
    """
    wanted = [request for request in requests if _matches(sli.source_filter, request)]
    if sli.threshold is not None:
        return [
            SampleInput(
                event_id=uuid7().hex,
                timestamp=datetime.fromtimestamp(request.at, UTC),
                value=in_unit(max(request.seconds, 0.0), sli.unit),
                labels=request.labels,
            )
            for request in wanted
        ]
    good: Counter[tuple[int, tuple[tuple[str, str], ...]]] = Counter()
    total: Counter[tuple[int, tuple[tuple[str, str], ...]]] = Counter()
    for request in wanted:
        place = (int(request.at // 60) * 60, tuple(sorted(request.labels.items())))
        total[place] += 1
        good[place] += request.good
    return [
        SampleInput(
            event_id=uuid7().hex,
            timestamp=datetime.fromtimestamp(minute, UTC),
            good=good[minute, labels],
            total=count,
            labels=dict(labels),
        )
        for (minute, labels), count in sorted(total.items())
    ]


def _matches(wanted: dict[str, object], request: SeenRequest) -> bool:
    prefix = wanted.get("path_prefix")
    return (
        wanted.get("method") in (None, request.method)
        and wanted.get("route") in (None, request.route)
        and (prefix is None or request.route.startswith(str(prefix)))
    )


collector: Final = RequestCollector()
os.register_at_fork(after_in_child=collector.reset)
