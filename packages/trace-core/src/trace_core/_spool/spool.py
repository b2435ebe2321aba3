"""Spans on disk until they are delivered: a sink in front of a sink.

Writing appends to this process's own journal; a thread delivers from there, in batches, for as
long as it takes, and takes over what processes that are gone have left behind.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from trace_core import _arguments as arguments
from trace_core._delivery.retry import Retry
from trace_core._delivery.stats import Stats
from trace_core._errors import ConfigurationError
from trace_core._lifecycle import after_fork
from trace_core._log import counted, log_once, owner_key
from trace_core._model.span import Span
from trace_core._platform import make_room_aside
from trace_core._sinks.base import SinkLike, as_sink, seconds_left
from trace_core._sinks.wrapper import WrapperSink, flush_guarded
from trace_core._spool.deliverer import Deliverer, DelivererOptions
from trace_core._spool.disk import SpoolDisk
from trace_core._spool.folders import default_spool_dir
from trace_core._spool.journal import journals_in
from trace_core._spool.orphan import Orphans
from trace_core._spool.sync import SYNCS, Sync, start_thread
from trace_core._spool.writer import SpoolWriter, WriterOptions

_MIB: Final = 1024 * 1024
_RETRY: Final = Retry(longest=4.0)  # a sink that is back is noticed within 5 s


class Spool(WrapperSink):
    """Keeps spans on disk until another sink has taken them. A sink itself.

    What is written survives the process: the next one with a spool for the same sink delivers
    it. Delivery is at least once, in the order spans were written. When the disk fails, spans
    are kept in memory until it recovers. A span the sink refuses for good goes to the dead
    letters and holds up nothing. After an outage, new spans do not wait for all that is left.

    Args:
        path: The spool's folder, shared by all programs and sinks; each sink gets a folder of
            its own in it, by its ``spool_key``. `default_spool_dir` by default.
        sink: Where spans go in the end.
        key: What to know the sink by, instead of its ``spool_key``.
        max_bytes: Bytes on disk at the most, of all processes with this sink together; the
            oldest spans go first.
        max_memory: Bytes kept in memory as well, which saves reading them back.
        segment_bytes: A file longer than this is followed by a new one.
        sync: When to wait for the disk, which matters when the machine loses power, not when
            the process dies: every ``sync_every`` seconds, with every batch, or never.
        sync_every: Seconds.
        batch_size: Spans in one write to the sink at the most.
        batch_bytes: Their size at the most, as written on disk.
        linger: Seconds to let spans gather after a delivery, so that they go in batches.
        retry: When to repeat a failed write; by default after 4 s at the most. Most attempts
            while the sink is away are with a single span.
        adopt: Whether to deliver what processes that are gone left behind.
        adopt_every: Seconds between two looks for that.
        exit_timeout: Seconds the delivery at exit may take; what the sink asks for by default
            (its ``exit_timeout``), else 5.

    Raises:
        ConfigurationError: ``sink`` is not a sink, or an option makes no sense.
    """

    immediate = True

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        sink: SinkLike,
        *,
        key: str | None = None,
        max_bytes: int = 512 * _MIB,
        max_memory: int = 8 * _MIB,
        segment_bytes: int = 16 * _MIB,
        sync: Sync = "interval",
        sync_every: float = 0.5,
        batch_size: int = 100,
        batch_bytes: int = 4 * _MIB,
        linger: float = 0.2,
        retry: Retry | None = None,
        adopt: bool = True,
        adopt_every: float = 30.0,
        exit_timeout: float | None = None,
    ) -> None:
        if sync not in SYNCS:
            raise ConfigurationError(f"sync={sync!r}; choose one of {', '.join(SYNCS)}")
        self.root = default_spool_dir() if path is None else arguments.absolute(path, "path")
        self.sink = as_sink(sink)
        super().__init__((self.sink,), exit_timeout)
        self.small_batches = True
        self.takes_starts = True  # to tell which calls a crash cut off
        self._key = None if key is None else arguments.instance(key, str, "key")
        self._adopt_every = arguments.number(adopt_every, "adopt_every") if adopt else None
        self._writing = WriterOptions(max_bytes, max_memory, segment_bytes, sync, sync_every)
        self._delivering = DelivererOptions(batch_size, batch_bytes, linger, retry or _RETRY)
        self._log_key = owner_key("spool")
        self._set_up()
        after_fork(self._renew)

    def _set_up(self) -> None:
        make_room_aside()  # while there is a single thread, if it can be
        self._orphans = orphans = Orphans(self._adopt_every)
        disk = SpoolDisk(self.root, lambda: self.spool_key, self._writing.max_bytes)
        self._writer = SpoolWriter(disk, orphans, self._writing)
        self._deliverer = Deliverer(self.sink, self._writer, orphans, self._delivering)
        self._thread: threading.Thread | None = None

    def _renew(self) -> None:
        """Set up anew in a forked child, whose parent goes on with all that is there."""
        journals = [self._writer.own.journal, *(o.journal for o in self._orphans.found)]
        for journal in journals:
            if journal is not None:
                journal.forget()
        self._writer.syncer.end_waiting(sync=False)
        self._set_up()

    @property
    def stats(self) -> Stats:
        """What became of the spans written, and of those adopted, in this process."""
        return self._writer.ledger.stats()

    @property
    def spool_key(self) -> str:
        """What the sink is known by."""
        return self._key or self.sink.spool_key

    @property
    def folder(self) -> Path:
        """The folder of this sink's journals, those of other processes included.

        Settled by the first span: what the sink is known by may only be said after the start.
        """
        return self._writer.disk.folder

    @property
    def delivers_for_others(self) -> bool:
        """Whether journals of processes that are gone are being delivered right now."""
        return bool(self._orphans.found)

    def folder_of_others_exists(self) -> bool:
        """Say whether any process has left a journal for any sink, without asking for the key.

        The key may not be known before the first span.
        """
        try:
            return any(journals_in(folder) for folder in self.root.iterdir())
        except OSError:
            return False

    def write(self, spans: Sequence[Span], /) -> None:
        """Append spans to the journal. Never raises: without a disk they are kept in memory."""
        self._writer.write(spans)
        if self._thread is None:
            self.start()
        if self._deliverer.closed:  # no thread sees to the folder any more
            self._writer.save_rest()

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Append records of spans that have started; best effort. Without any, only get ready.

        If the process dies before such a span ends, it is delivered as interrupted.
        """
        self._writer.write_started(spans)
        if spans and self._thread is None:
            self.start()

    def start(self) -> None:
        """Start delivering, which the first write does as well."""
        with self._writer.lock:
            if self._thread is None and not self._deliverer.closed:
                self._thread = start_thread(self._run, "trace-delivery")

    def _run(self) -> None:
        self._writer.syncer.start()
        self._deliverer.run()

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Ask for the delivery of all that was written so far; the result waits for it."""
        wanted = self._writer.written
        self._deliverer.hurry()
        return lambda: self._await_flush(wanted, deadline)

    def _await_flush(self, wanted: int, deadline: float) -> bool:
        writer = self._writer
        with writer.lock:
            settled = writer.changed.wait_for(
                lambda: writer.resolved >= wanted, seconds_left(deadline)
            )
        return settled and flush_guarded(self.sink, deadline)

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Deliver what can be delivered in time, leave the rest on disk; the result waits.

        A sink that does not answer is not waited for: what is on disk is safe.
        """
        with self._writer.lock:
            if self._deliverer.waits.closing:
                return lambda: None
            self._forget_handlers()
            self._deliverer.close(deadline)
        return lambda: self._await_close(deadline)

    def _await_close(self, deadline: float) -> None:
        if self._thread is None:
            self._deliverer.run()  # no thread does it
        writer, deliverer = self._writer, self._deliverer
        with writer.lock:
            writer.changed.wait_for(lambda: deliverer.closed, seconds_left(deadline))
            deliverer.closed = True
        waiting, lost = writer.save_rest()
        if waiting:
            log_once(
                f"{self._log_key}:left",
                "tracing: %s left in %s for the next run, or `trace-core spool drain`",
                *(counted(waiting, "span"), self.folder),
            )
        if lost:
            log_once(
                f"{self._log_key}:lost",
                "tracing: %s lost: neither the sink nor the spool %s took them",
                *(counted(lost, "span"), self.folder),
            )
