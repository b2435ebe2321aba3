"""Waits for the disk, so that what was appended survives a loss of power."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from trace_core._lifecycle import new_thread
from trace_core._log import report, text_of
from trace_core._platform import close, duplicate
from trace_core._spool.files import sync_file
from trace_core._spool.segments import SegmentFile

Sync: TypeAlias = Literal["interval", "batch", "never"]
SYNCS: Final = ("interval", "batch", "never")


def start_thread(target: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread.

    Args:
        target: What it runs.
        name: Its name.

    Returns:
        The thread, or ``None`` if none can be started, as while the interpreter shuts down, or in
        a subinterpreter.
    """
    try:
        thread = new_thread(target, name)
        thread.start()
    except RuntimeError as error:
        if "interpreter shutdown" not in text_of(error):  # then the close does without one
            report("starting a thread of the spool", error)
        return None
    return thread


class Syncer:
    """Has the disk take what was appended to files: now, or every so often on another thread.

    Args:
        sync: When.
        every: Seconds between two times.
        failed: Told of an error of the disk.
    """

    def __init__(self, sync: Sync, every: float, failed: Callable[[OSError], None]) -> None:
        self._sync = sync
        self._every = every
        self._failed = failed
        self._noted: SegmentFile | None = None
        self._waiting: deque[int] = deque()  # descriptors of our own: files may be closed meanwhile
        self._dirty = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread, which does nothing else: waiting for a disk may take long."""
        if self._sync == "interval":
            start_thread(self._run, "trace-sync")

    def note_append(self, file: SegmentFile | None) -> None:
        """See to it that the disk gets what was appended.

        The thread that syncs takes no lock: whoever holds one while the program computes would
        hold up those who append for many turns at the interpreter.

        Args:
            file: What it was appended to.
        """
        if file is None or (self._dirty.is_set() and file is self._noted):
            return
        if self._sync == "batch":
            self._sync_file(file.descriptor)
        elif self._sync == "interval":
            self._put_off(file)

    def _put_off(self, file: SegmentFile) -> None:
        try:
            self._waiting.append(duplicate(file.descriptor))
        except OSError as error:
            self._failed(error)
        self._noted = file
        self._dirty.set()

    def _sync_file(self, descriptor: int) -> None:
        try:
            sync_file(descriptor)
        except OSError as error:
            self._failed(error)

    def stop(self, *, sync: bool) -> None:
        """Have the thread end.

        Args:
            sync: Whether what it has not synced matters.
        """
        self._stopped.set()
        self.end_waiting(sync=sync)
        self._dirty.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self._dirty.wait()
            self._dirty.clear()  # first: what is appended from here on is for the next time
            self.end_waiting(sync=True)

    def end_waiting(self, *, sync: bool) -> None:
        """Close the descriptors of the files that wait to be synced.

        Args:
            sync: Whether to sync them; not so in a forked child, whose parent does.
        """
        with suppress(IndexError):
            while True:
                descriptor = self._waiting.popleft()
                if sync:
                    self._sync_file(descriptor)
                close(descriptor)
