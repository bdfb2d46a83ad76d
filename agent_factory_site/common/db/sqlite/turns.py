"""A lock between processes and threads that is given in the order in which it was asked for.

SQLite lets one writer in at a time but keeps no queue: who waits sleeps for growing intervals, and a
busy writer that comes straight back nearly always finds the lock free before a sleeper wakes. Here
each taker draws a number and waits for the one before it.

The queue is a file of 24 bytes (the next number; whose turn it is: number and process) and byte-range locks
that belong to an open file (``F_OFD_SETLK``): the kernel drops them when their process ends, however
it ends, so that nobody waits for the dead. Who has number n locks byte n of the queue until it is
done; who has n + 1 waits until that byte is free. One more byte, the turn itself, keeps takers apart
when somebody in the middle of the queue dies or gives up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final

#: Whether this platform has locks that belong to an open file.
AVAILABLE: Final = hasattr(fcntl, "F_OFD_SETLK")

_NUMBER: Final = struct.Struct("<Q")
_HOLDER: Final = struct.Struct("<QQ")
_FLOCK: Final = struct.Struct("@hhqqi")
_EVERYTHING: Final = 0
_NUMBERING: Final = 1 << 40
_TURN: Final = _NUMBERING + 1
_FIRST: Final = 1 << 41
_RING: Final = 1 << 40
_HOLDER_OFFSET: Final = _NUMBER.size

_PAUSE_SHARE: Final = 0.1
_SHORTEST_PAUSE: Final = 0.000_1
_LONGEST_PAUSE: Final = 0.002


class Turns:
    """One taker's place in the queue of ``path``, which is made with the permissions of the file ``like``.

    Not shared between threads while it is held.
    """

    def __init__(self, path: str, *, like: str) -> None:
        self.path = path
        self._like = like
        self._file: int | None = None
        self._pid = 0
        self.held = False
        #: The number last drawn: turns are given in this order.
        self.number = -1
        _all.add(self)

    def acquire(self, timeout: float) -> None:
        """Wait for the turn, at most ``timeout`` seconds, then :class:`TimeoutError`."""
        deadline = time.monotonic() + timeout
        file = self._open()
        try:
            self.number = self._draw(file, deadline)
            before = _FIRST + (self.number - 1) % _RING
            self._wait(lambda: _is_free(file, before), deadline, behind=self.number - 1)
            self._wait(lambda: _lock(file, _TURN), deadline)
        except BaseException:
            self.release()
            raise
        self.held = True
        os.pwrite(file, _HOLDER.pack(self.number, self._pid), _HOLDER_OFFSET)

    def release(self) -> None:
        """Give up the turn, or the place in the queue; safe to call at any time."""
        self.held = False
        if self._file is None:
            return
        if self._pid == os.getpid():
            _fcntl(self._file, fcntl.F_UNLCK, 0, _EVERYTHING)
        else:
            self.forget()

    def forget(self) -> None:
        """Close the file, in a forked child without touching what the parent holds."""
        self.held = False
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def __del__(self) -> None:
        self.forget()

    def _open(self) -> int:
        if self._file is not None and self._pid != os.getpid():
            self.forget()
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._pid = os.getpid()
            if os.fstat(self._file).st_size == 0:
                # Who may write to the database may queue for it.
                with suppress(PermissionError):
                    os.fchmod(self._file, os.stat(self._like).st_mode & 0o666)
        return self._file

    def _draw(self, file: int, deadline: float) -> int:
        """Take the next number and lock its byte."""
        self._wait(lambda: _lock(file, _NUMBERING), deadline)
        text = os.pread(file, _NUMBER.size, 0)
        number: int = _NUMBER.unpack(text)[0] if len(text) == _NUMBER.size else 0
        self._wait(lambda: _lock(file, _FIRST + number % _RING), deadline)
        os.pwrite(file, _NUMBER.pack((number + 1) % (1 << 64)), 0)
        _fcntl(file, fcntl.F_UNLCK, _NUMBERING, 1)
        return number

    def _wait(self, ready: Callable[[], bool], deadline: float, behind: int | None = None) -> None:
        """Ask until it is so. The order is kept by the numbers, whoever asks first.

        The kernel's own waiting has no time limit, so this asks again after a tenth of the time
        waited; as first in the queue, of the time since number ``behind`` got its turn.
        """
        if ready():
            return
        began = time.monotonic()
        first_in_queue = behind is None
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError(f"process {self._holder()[1]} has it")
            if not first_in_queue and self._holder()[0] == behind:
                first_in_queue, began = True, now
            pause = min(max((now - began) * _PAUSE_SHARE, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            time.sleep(min(pause, deadline - now))
            if ready():
                return

    def _holder(self) -> tuple[int, int]:
        """Number and process of who had the turn last."""
        assert self._file is not None
        text = os.pread(self._file, _HOLDER.size, _HOLDER_OFFSET)
        return _HOLDER.unpack(text) if len(text) == _HOLDER.size else (-1, 0)


def _fcntl(file: int, kind: int, start: int, length: int, command: int | None = None) -> bytes:
    request = _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
    return fcntl.fcntl(file, fcntl.F_OFD_SETLK if command is None else command, request)


def _lock(file: int, byte: int) -> bool:
    try:
        _fcntl(file, fcntl.F_WRLCK, byte, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_free(file: int, byte: int) -> bool:
    answer = _fcntl(file, fcntl.F_WRLCK, byte, 1, fcntl.F_OFD_GETLK)
    return bool(_FLOCK.unpack_from(answer)[0] == fcntl.F_UNLCK)


_all: weakref.WeakSet[Turns] = weakref.WeakSet()


def _forget_all() -> None:
    # A lock belongs to the open file, which a forked child shares: kept there, it would outlive its holder.
    for turns in list(_all):
        turns.forget()


os.register_at_fork(after_in_child=_forget_all)
