"""The supervisor: one loop over the output, the signals and the deadlines of all programs."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from .child import Child
from .console import Console
from .state import ProcessList

GRACE: Final = 15.0
"""Seconds between asking programs to stop and ending them."""
READINESS_INTERVAL: Final = 0.05
ECHO: Final = 0.5
"""Seconds in which a second signal is the first again: make and timeout pass on what their group was sent."""
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Keeps programs running until a signal stops them all.

    ``stages`` is the order of stopping: those of one stage stop together, the next stage when they
    are gone (a broker outlives the worker, so that an unfinished task can be put back). Children that
    do not run yet are started. ``on_ready`` is called once, when ``is_ready`` first says so.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Child]],
        *,
        processes: ProcessList,
        console: Console,
        is_ready: Callable[[], bool],
        on_ready: Callable[[], None],
    ) -> None:
        self._stages = [list(stage) for stage in stages]
        self._children = [child for stage in self._stages for child in stage]
        self._processes = processes
        self._console = console
        self._is_ready: Callable[[], bool] | None = is_ready
        self._on_ready = on_ready
        self._stopping: list[Child] | None = None
        self._kill_at: float | None = None
        self._asked_at = 0.0
        self._hurry = False
        self._signals: list[float] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Start everything; returns when everything has stopped after a signal."""
        wake_up, wake = socket.socketpair()
        for end in (wake_up, wake):
            end.setblocking(False)
        self._selector.register(wake_up, selectors.EVENT_READ, lambda: wake_up.recv(4096))
        old_fd = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        old_handlers = {
            number: signal.signal(number, self._on_signal) for number in (*STOPPING, signal.SIGCHLD)
        }
        try:
            for child in self._children:
                if not child.running:
                    child.start()
                self._watch(child)
            self._record()
            while self._stages:
                self._turn()
        finally:
            for child in self._children:
                child.kill()
            self._processes.clear()
            signal.set_wakeup_fd(old_fd)
            for number, handler in old_handlers.items():
                signal.signal(number, handler)
            for end in (wake_up, wake):
                end.close()
            self._selector.close()

    def _stop(self, asked_at: float) -> None:
        """Begin to stop; asked again a moment later, end what has not stopped yet."""
        if self._stopping is not None:
            self._hurry = self._hurry or asked_at - self._asked_at > ECHO
            return
        self._asked_at = asked_at
        self._console.say("stopping")
        self._stop_stage()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Nothing more: a second signal may come in the midst of what is done here, and find a line half written.
        if number in STOPPING:
            self._signals.append(time.monotonic())

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        asked, self._signals = self._signals, []
        if self._console.closed and self._stopping is None:
            asked.append(time.monotonic())
        for asked_at in asked:
            self._stop(asked_at)
        for child in self._children:
            status = child.reap()
            if status is not None:
                self._ended(child, status)
            elif child.restart_at is not None and time.monotonic() >= child.restart_at:
                child.start()
                self._watch(child)
                self._record()
        if self._stopping is not None:
            self._go_on_stopping(self._stopping)
        elif self._is_ready is not None and self._is_ready():
            self._is_ready = None
            self._on_ready()

    def _patience(self) -> float | None:
        """Seconds until something has to be done without an event; None for ever."""
        if self._is_ready is not None and self._stopping is None:
            return READINESS_INTERVAL
        deadlines = [child.restart_at for child in self._children if child.restart_at is not None]
        if self._kill_at is not None:
            deadlines.append(self._kill_at)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _watch(self, child: Child) -> None:
        output = child.output
        os.set_blocking(output.fileno(), False)

        def read() -> None:
            data = output.read(1 << 16)
            if data:
                self._console.feed(child.program.name, data)
            elif data == b"":
                self._selector.unregister(output)
                output.close()
                self._console.flush(child.program.name)

        self._selector.register(output, selectors.EVENT_READ, read)

    def _ended(self, child: Child, status: int) -> None:
        if self._stopping is not None and child in self._stopping:
            return
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        pause = child.schedule_restart()
        self._console.say(f"{child.program.name} {how}; starting it again in {pause:g} s")
        self._record()

    def _record(self) -> None:
        self._processes.write((child.program.name, child.pid) for child in self._children if child.pid)

    def _stop_stage(self) -> None:
        self._stopping = self._stages[0]
        self._kill_at = time.monotonic() + GRACE
        for child in self._stopping:
            child.restart_at = None
            child.ask_to_stop()

    def _go_on_stopping(self, stage: list[Child]) -> None:
        if not any(child.running for child in stage):
            self._stages.pop(0)
            if self._stages:
                self._stop_stage()
        elif self._hurry or (self._kill_at is not None and time.monotonic() >= self._kill_at):
            self._kill_at = None
            for child in stage:
                child.kill()
