"""A file that several processes append lines to: whole ones, also on a disk that is full."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from trace_core._clock import pause
from trace_core._platform import BINARY, aside, close, lock, share, unlock
from trace_core._spool.files import write_all

APPENDING: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY
_LOOKS: Final = 40
_LOOK_SECONDS: Final = 0.05
"""Between two looks at a line that another process may be writing."""
_LOCK_SECONDS: Final = 0.001
"""Between two tries to lock the file, which others do for no longer than that."""


class LinesFile:
    """A file of lines, opened for appending.

    Who appends has a shared lock on it, so that who has it alone knows that nobody does.

    Args:
        descriptor: The file's, opened with `APPENDING`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = aside(descriptor)
        self._locked_out = False
        self._written: frozenset[bytes] = frozenset()
        """Lines of a batch that failed: it is offered again."""

    def status(self) -> os.stat_result | None:
        """Return what the system says of the file; ``None`` if the program has closed it."""
        try:
            return os.fstat(self.descriptor)
        except OSError:
            return None

    @property
    def descriptor(self) -> int:
        """The file's; one that cannot be if it is closed."""
        return -1 if self._descriptor is None else self._descriptor

    def append(self, lines: Sequence[bytes]) -> None:
        """Append lines with one write, but for those that a failed write has appended.

        Args:
            lines: Each with its line break.

        Raises:
            OSError: The disk does not take all of them; a part of a line is taken back.
        """
        data = b"".join([line for line in lines if line not in self._written])
        torn = self._stays_torn()
        shared = self._lock(alone=False)
        try:
            if torn and self._is_torn():  # it may have been taken back meanwhile
                data = b"\n" + data
            self._append(data, shared=shared)
        finally:
            if shared:
                unlock(self.descriptor)
        self._written = frozenset()

    def _append(self, data: bytes, *, shared: bool) -> None:
        begin = -1
        try:
            if (taken := os.write(self.descriptor, data)) < len(data):  # a nearly full disk
                begin = self._place() - taken
                write_all(self.descriptor, data[taken:])
        except OSError:
            if begin >= 0 and shared:
                self._take_back(begin, data)
            raise

    def _place(self) -> int:
        """Return the end of what was written last; -1 in what is no file on a disk."""
        try:
            return os.lseek(self.descriptor, 0, os.SEEK_CUR)
        except OSError:
            return -1

    def _take_back(self, begin: int, data: bytes) -> None:
        """Cut the file back to whole lines, unless something of others is behind them."""
        end = self._place()
        whole = data.rfind(b"\n", 0, end - begin) + 1
        if not self._lock(alone=True):
            return
        if os.fstat(self.descriptor).st_size == end:
            os.ftruncate(self.descriptor, begin + whole)
            self._written |= set(data[:whole].splitlines(keepends=True))

    def _lock(self, *, alone: bool) -> bool:
        """Lock the file, or find that somebody else keeps it locked, as ``flock FILE ...`` does."""
        for _ in range(1 if self._locked_out else _LOOKS):
            try:
                (lock if alone else share)(self.descriptor)
            except BlockingIOError:
                pause(_LOCK_SECONDS)
            except OSError:  # no file system or system on which one can
                return False
            else:
                self._locked_out = False
                return True
        self._locked_out = not alone
        return False

    def lock_alone(self) -> bool:
        """Lock the file until it is closed, unless others do."""
        return self._lock(alone=True)

    def _stays_torn(self) -> bool:
        """Say whether the last line is incomplete, after a killed process.

        Another process may be about to complete it, and then the file grows, or to take it back.
        """
        before = 0
        for _ in range(_LOOKS):
            if not self._is_torn():
                return False
            size = os.fstat(self.descriptor).st_size
            if size == before:
                return True
            before = size
            pause(_LOOK_SECONDS)
        return True

    def _is_torn(self) -> bool:
        size = os.fstat(self.descriptor).st_size
        if not size:
            return False
        os.lseek(self.descriptor, size - 1, os.SEEK_SET)  # appending is not affected
        return os.read(self.descriptor, 1) not in (b"\n", b"")

    def close(self) -> None:
        """Close the file."""
        close(self._descriptor)
        self._descriptor = None
