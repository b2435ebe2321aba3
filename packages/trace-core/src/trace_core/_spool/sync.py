"""Waits for the disk, so that what was appended survives a loss of power."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from trace_core._log import report, text_of
from trace_core._spool.files import sync_file

Sync: TypeAlias = Literal["interval", "batch", "never"]
SYNCS: Final = ("interval", "batch", "never")


def start_thread(target: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread.

    Args:
        target: What it runs.
        name: Its name.

    Returns:
        The thread, or ``None`` if none can be started, as while the interpreter shuts down.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        if "interpreter shutdown" not in text_of(error):  # then the close does without one
            report("starting a thread of the spool", error)
        return None
    return thread


class Syncer:
    """Has the disk take what was appended to a file: now, or every so often on another thread.

    Args:
        sync: When.
        every: Seconds between two times.
        duplicate: Returns another descriptor of the file, or ``None`` if there is none.
        failed: Told of an error of the disk.
    """

    def __init__(
        self,
        sync: Sync,
        every: float,
        duplicate: Callable[[], int | None],
        failed: Callable[[OSError], None],
    ) -> None:
        self._sync = sync
        self._every = every
        self._duplicate = duplicate
        self._failed = failed
        self._dirty = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread, which does nothing else: waiting for a disk may take long."""
        if self._sync == "interval":
            start_thread(self._run, "trace-sync")

    def note_append(self) -> None:
        """See to it that the disk gets what was appended."""
        if self._sync == "batch":
            self.sync_now()
        elif not self._dirty.is_set():  # asking is quicker than setting
            self._dirty.set()

    def stop(self, *, sync: bool) -> None:
        """Have the thread end.

        Args:
            sync: Whether what it has not synced matters.
        """
        self._stopped.set()
        if sync and self._sync == "interval" and self._dirty.is_set():
            self.sync_now()
        self._dirty.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self._dirty.wait()
            self._dirty.clear()  # first: what is appended from here on is for the next time
            self.sync_now()

    def sync_now(self) -> None:
        """Wait until the disk has what was appended so far."""
        descriptor = self._duplicate()
        if descriptor is None:
            return
        try:
            sync_file(descriptor)
        except OSError as error:
            self._failed(error)
        finally:
            os.close(descriptor)
