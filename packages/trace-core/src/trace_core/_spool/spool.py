"""Spans on disk until they are delivered: a sink in front of a sink.

Writing appends to this process's own journal; a thread delivers from there, in batches, for as
long as it takes, and takes over what processes that are gone have left behind.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from trace_core._delivery.retry import BatchWriter, Outcome, Retry, is_outage
from trace_core._delivery.stats import (
    DAMAGED,
    DISK_FULL,
    LEFT_AT_EXIT,
    REJECTED,
    SPOOL_FULL,
    Ledger,
    Stats,
)
from trace_core._errors import ConfigurationError
from trace_core._lifecycle import after_fork
from trace_core._log import log_once, report, text_of
from trace_core._model.span import Span
from trace_core._sinks.base import SinkLike, as_sink, seconds_left
from trace_core._sinks.wrapper import WrapperSink, close_guarded, flush_guarded
from trace_core._spool.backlog import Batch, Orphan, Own, readable_spans
from trace_core._spool.deadletters import DeadLetters
from trace_core._spool.journal import Journal, journals_in, sync_file
from trace_core._tracing.context import suppress

Sync: TypeAlias = Literal["interval", "batch", "never"]
SYNCS: Final = ("interval", "batch", "never")
_MIB: Final = 1024 * 1024
_TRIES_BEFORE_OTHERS: Final = 2
_TRIES_AT_EXIT: Final = 3
_DISK_RETRY_SECONDS: Final = 0.5
_ADOPTED_AT_ONCE: Final = 8
_ADOPTED_IN_ALL: Final = 64  # with those that wait because their place is away


def default_spool_dir() -> Path:
    """Return where spools live unless told otherwise: in the user's own state folder."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "trace-core" / "spool"


def folder_name(key: str) -> str:
    """Return the name of the folder for a key: readable, and different for different keys."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", key).strip("-.")[:40] or "sink"
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


class Spool(WrapperSink):
    """Keeps spans on disk until another sink has taken them. A sink itself.

    What is written survives the process: the next one with a spool for the same sink delivers
    it. Delivery is at least once, in the order spans were written. When the disk fails, spans
    are kept in memory until it recovers. A span the sink refuses for good goes to the dead
    letters and holds up nothing.

    Args:
        path: The spool's folder, shared by all programs and sinks; each sink gets a folder of
            its own in it, by its ``spool_key``. `default_spool_dir` by default.
        sink: Where spans go in the end.
        key: What to know the sink by, instead of its ``spool_key``.
        max_bytes: Bytes on disk at the most; the oldest spans go first.
        max_memory: Bytes kept in memory as well, which saves reading them back.
        segment_bytes: A file longer than this is followed by a new one.
        sync: When to wait for the disk, which matters when the machine loses power, not when
            the process dies: every ``sync_every`` seconds, with every batch, or never.
        sync_every: Seconds.
        batch_size: Spans in one write to the sink at the most.
        batch_bytes: Their size at the most, as written on disk.
        linger: Seconds to let spans gather after a delivery, so that they go in batches.
        retry: When to repeat a failed write.
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
        linger: float = 0.05,
        retry: Retry | None = None,
        adopt: bool = True,
        adopt_every: float = 30.0,
        exit_timeout: float | None = None,
    ) -> None:
        if sync not in SYNCS:
            raise ConfigurationError(f"sync={sync!r}; choose one of {', '.join(SYNCS)}")
        if min(max_bytes, max_memory, segment_bytes, batch_size, batch_bytes) < 1:
            raise ConfigurationError("sizes of a spool must be at least 1")
        self.root = Path(path) if path is not None else default_spool_dir()
        self.sink = as_sink(sink)
        super().__init__((self.sink,), exit_timeout)
        self.small_batches = True
        self.takes_starts = True  # to tell which calls a crash cut off
        self._key = key
        self._limits = (max_bytes, max_memory, segment_bytes)
        self._sync: Sync = sync
        self._sync_every = sync_every
        self._batch_size = batch_size
        self._batch_bytes = batch_bytes
        self._linger = linger
        self._retry = retry or Retry()
        self._adopt_orphans = adopt
        self._adopt_every = adopt_every
        self._own = Own(*self._limits)
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        """Set up everything that does not survive a fork."""
        if self._own.journal is not None:
            self._own.journal.forget()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._own = Own(*self._limits)
        self._orphans: list[Orphan] = []
        self._ledger = Ledger()
        self._batches = BatchWriter(self.sink.write)
        self._thread: threading.Thread | None = None
        self._folder: Path | None = None
        self._attempt = 0
        self._quiet_until = 0.0
        self._disk_again_at = 0.0
        self._adopt_at = 0.0
        self._urgent = threading.Event()  # a flush or the close wants no lingering
        self._idle = False  # the delivery thread waits for work
        self._gather_until = 0.0  # on the monotonic clock
        self._dirty = threading.Event()
        self._stop_syncing = threading.Event()
        self._deadline: float | None = None  # of closing
        self._closed = False
        self._turn = 0
        self._written = 0  # spans of this process
        self._written_at_choice = 0  # of them, when the batch at hand was chosen
        self._resolved = 0  # those of them that are delivered or dropped

    # What callers use

    @property
    def stats(self) -> Stats:
        """What became of the spans written, and of those adopted, in this process."""
        return self._ledger.stats()

    @property
    def spool_key(self) -> str:
        """What the sink is known by."""
        return self._key or self.sink.spool_key

    @property
    def folder(self) -> Path:
        """The folder of this sink's journals, those of other processes included.

        Settled by the first span: what the sink is known by may only be said after the start.
        """
        return self._folder or self.root / folder_name(self.spool_key)

    @property
    def delivers_for_others(self) -> bool:
        """Whether journals of processes that are gone are being delivered right now."""
        return bool(self._orphans)

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
        with self._lock:
            self._ledger.accept(len(spans))
            self._written += len(spans)
            self._append(spans)
            self._count_lost(*self._own.shrink())
            self._note_dirty()
            if self._idle:
                self._changed.notify_all()
        if self._thread is None:
            self.start()

    def write_started(self, spans: Sequence[Span], /) -> None:
        """Append records of spans that have started; best effort.

        If the process dies before such a span ends, it is delivered as interrupted.
        """
        if not spans:
            return
        with self._lock:
            try:
                self._open_journal()
                self._own.note_started(spans)
            except OSError as error:
                self._tell_of_disk(error)

    def start(self) -> None:
        """Start delivering, which the first write does as well."""
        with self._lock:
            if self._thread is not None or self._closed:
                return
            self._thread = self._started_thread(self._run, "trace-delivery")
            if self._thread is not None and self._sync == "interval":
                self._started_thread(self._run_sync, "trace-sync")

    def _started_thread(self, target: Callable[[], None], name: str) -> threading.Thread | None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if "interpreter shutdown" not in text_of(error):  # then the close does without one
                report("starting a thread of the spool", error)
            return None
        return thread

    def begin_flush(self, deadline: float, /) -> Callable[[], bool]:
        """Ask for the delivery of all that was written so far; the result waits for it."""
        with self._lock:
            wanted = self._written
            self._quiet_until = 0.0
            self._urgent.set()
            self._changed.notify_all()
        return lambda: self._await_flush(wanted, deadline)

    def _await_flush(self, wanted: int, deadline: float) -> bool:
        with self._lock:
            settled = self._changed.wait_for(
                lambda: self._resolved >= wanted, seconds_left(deadline)
            )
        return settled and flush_guarded(self.sink, deadline)

    def begin_close(self, deadline: float, /) -> Callable[[], None]:
        """Deliver what can be delivered in time, leave the rest on disk; the result waits.

        A sink that does not answer is not waited for: what is on disk is safe.
        """
        with self._lock:
            if self._deadline is not None:
                return lambda: None
            self._forget_handlers()
            self._deadline = deadline
            self._attempt = 0
            self._quiet_until = 0.0
            self._urgent.set()
            self._changed.notify_all()
            delivering = self._thread is not None
        return self._await_close if delivering else self._deliver_and_close

    def _deliver_and_close(self) -> None:
        if self._thread is None:
            self._run()  # no thread does it
        self._await_close()

    def _await_close(self) -> None:
        assert self._deadline is not None
        with self._lock:
            self._changed.wait_for(lambda: self._closed, seconds_left(self._deadline))
            self._closed = True
            waiting = self._written - self._resolved
        if waiting:
            log_once(
                f"spool:left:{id(self)}",
                "tracing: %d span(s) wait in %s for the next start, or `trace-core spool drain`",
                *(waiting, self.folder),
            )

    # Appending, with the lock held

    def _append(self, spans: Sequence[Span]) -> None:
        if not self._disk_is_open():
            self._own.append_in_memory(spans)
            return
        try:
            self._own.append(spans)
        except OSError as error:
            self._tell_of_disk(error)

    def _disk_is_open(self) -> bool:
        if time.monotonic() < self._disk_again_at:
            return False
        try:
            self._open_journal()
        except OSError as error:
            self._tell_of_disk(error)
            return False
        return True

    def _open_journal(self) -> None:
        if self._own.journal is None:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._folder is None:
                self._folder = self.folder
                self._adopt_at = 0.0  # what was looked into before may have been another one
                self._changed.notify_all()
            self._own.journal = Journal.create(self._folder)
            self._write_key()

    def _write_key(self) -> None:
        """Leave a note of whose folder it is, for `trace-core spool`."""
        target = self.folder / "key"
        if not target.exists():
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(descriptor, self.spool_key.encode())
            os.close(descriptor)

    def _tell_of_disk(self, error: OSError) -> None:
        self._disk_again_at = time.monotonic() + _DISK_RETRY_SECONDS
        log_once(
            f"spool:disk:{error.errno}",
            "tracing: the spool %s cannot be written, spans are kept in memory meanwhile: %s",
            *(self.folder, error),
        )

    def _count_lost(self, memory: int, disk: int) -> None:
        if not (memory or disk):
            return
        for count, reason in ((memory, DISK_FULL), (disk, SPOOL_FULL)):
            if count:
                self._resolved += count
                self._ledger.dropped(count, reason)
                log_once(f"spool:{reason}", "tracing: %s: the oldest spans are dropped", reason)

    def _note_dirty(self) -> None:
        """See to it that the disk gets what was appended, now or soon."""
        if self._sync == "batch":
            self._sync_now()
        elif self._sync == "interval" and not self._dirty.is_set():  # asking is quicker
            self._dirty.set()

    def _sync_now(self) -> None:
        journal = self._own.journal
        if journal is not None:
            try:
                journal.sync()
            except OSError as error:
                self._tell_of_disk(error)

    # Waiting for the disk, on a thread that does nothing else: it may take long, and nobody
    # else is to wait for it

    def _run_sync(self) -> None:
        while not self._stop_syncing.wait(self._sync_every):
            self._dirty.wait()
            self._dirty.clear()  # first: what is appended from here on is for the next time
            with self._lock:
                journal = self._own.journal
                descriptor = journal.duplicate() if journal is not None else None
            if descriptor is not None:
                self._sync_descriptor(descriptor)

    def _sync_descriptor(self, descriptor: int) -> None:
        try:
            sync_file(descriptor)
        except OSError as error:
            self._tell_of_disk(error)
        finally:
            os.close(descriptor)

    # Delivering, on the delivery thread

    def _run(self) -> None:
        with suppress():
            while not self._is_over():
                try:
                    self._adopt_if_due()
                    self._deliver_one()
                except Exception as error:  # the disk: what cannot be read now is tried again
                    report("delivering from the spool", error)
                    self._rest(self._retry.wait(0, error))
            self._end()

    def _is_over(self) -> bool:
        """Say whether the close is done with: nothing left, no time left, or no answer."""
        with self._lock:
            if self._deadline is None:
                return False
            nothing = not self._own.waiting and not self._orphans
            hopeless = self._attempt >= _TRIES_AT_EXIT and not self._own.only_in_memory
            return nothing or hopeless or time.monotonic() >= self._deadline

    def _deliver_one(self) -> None:
        self._let_some_gather()
        batch, orphan = self._choose()
        if batch is None:
            self._wait_for_work()
            return
        if batch.damaged:
            self._count_damage(batch, orphan)
        outcome = self._batches.write(batch.spans, urgent=self._deadline is not None)
        if (
            outcome.error is None
            or outcome.delivered
            or self._is_in_the_way(batch, orphan, outcome)
        ):
            self._settle(batch, orphan, outcome)
            self._after(batch)
        else:
            self._put_back(batch, orphan, outcome.error)

    def _is_in_the_way(self, batch: Batch, orphan: Orphan | None, outcome: Outcome) -> bool:
        """Say whether a batch holds up others, though it is not the sink that is away."""
        tries = self._attempt if orphan is None else orphan.tries
        if tries < _TRIES_BEFORE_OTHERS or outcome.error is None or is_outage(outcome.error):
            return False
        return orphan is not None or batch.end < self._own.tail

    def _after(self, batch: Batch) -> None:
        """After a small batch, have spans gather: the next one will be larger, and cheaper."""
        if len(batch.spans) >= self._batch_size or self._next_orphan() is not None:
            return
        if self._urgent.is_set():
            with self._lock:
                if self._resolved >= self._written and self._deadline is None:
                    self._urgent.clear()
        elif len(batch.spans) > 1:
            self._urgent.wait(self._linger)
        else:  # spans come one by one: to wake up for none costs more than to deliver one
            self._gather_until = time.monotonic() + self._linger

    def _let_some_gather(self) -> None:
        """Wait for others with a span that has come soon after one that came alone."""
        if not self._gather_until or not self._own.waiting or self._next_orphan() is not None:
            return
        left = self._gather_until - time.monotonic()
        if left > 0:
            self._urgent.wait(left)
        self._gather_until = 0.0

    def _choose(self) -> tuple[Batch | None, Orphan | None]:
        """Take turns between this process's spans and those left behind."""
        self._turn += 1
        orphan = self._next_orphan()
        if orphan is not None and (self._turn % 2 or not self._own.waiting):
            batch = orphan.next(self._batch_size, self._batch_bytes)
            if batch is not None:
                return batch, orphan
            self._orphans.remove(orphan)
            orphan.release()
        return self._next_of_own(), None

    def _next_orphan(self) -> Orphan | None:
        """Return the first orphan that need not wait; a close waits for none of them."""
        now = time.monotonic() if self._deadline is None else math.inf
        return next((orphan for orphan in self._orphans if orphan.not_before <= now), None)

    def _next_of_own(self) -> Batch | None:
        with self._lock:
            own = self._own
            self._written_at_choice = self._written
            if not own.waiting:
                return None
            place, journal = own.place_of_next(), own.journal
            if place is None or journal is None:
                batch = own.next_from_memory(self._batch_size, self._batch_bytes)
            else:
                end, reading = journal.read(place, self._batch_size, self._batch_bytes)
                progress = end if end > place else own.tail
                batch = Batch(readable_spans(reading.frames), progress, reading.damaged)
            own.hold(batch)
            return batch

    def _count_damage(self, batch: Batch, orphan: Orphan | None) -> None:
        log_once("spool:damaged", "tracing: %s has damaged records", self.folder)
        if orphan is not None:  # of our own spans we know how many are missing in the end
            self._ledger.accept(batch.damaged)
            self._ledger.dropped(batch.damaged, DAMAGED)

    def _count_missing(self) -> None:
        """Once all there is has been delivered, count what was written and is not there."""
        missing = self._written - self._resolved
        if missing and not self._own.waiting:
            self._resolved += missing
            self._ledger.dropped(missing, DAMAGED)

    def _settle(self, batch: Batch, orphan: Orphan | None, outcome: Outcome) -> None:
        if outcome.refused:
            DeadLetters(self.folder).add(outcome.refused)
            reason = outcome.refused[0][1]
            log_once(f"spool:refused:{id(self)}", "tracing: span(s) refused for good: %s", reason)
        if outcome.waiting:
            self._append_again(outcome.waiting)
        self._tell_disk(batch, orphan)
        with self._lock:
            self._attempt = 0
            if orphan is not None:
                self._ledger.accept(len(batch.spans))
                self._written += len(outcome.waiting)
            self._ledger.delivered(len(outcome.delivered))
            self._ledger.dropped(len(outcome.refused), REJECTED)
            if orphan is None:
                self._resolved += len(batch.spans) - len(outcome.waiting)
                self._count_missing()
            self._changed.notify_all()

    def _append_again(self, spans: Sequence[Span]) -> None:
        """Put spans behind all others, which they would hold up."""
        with self._lock:
            self._append([attrs.evolve(span) for span in spans])  # other objects: known by identity
            self._count_lost(*self._own.shrink())

    def _tell_disk(self, batch: Batch, orphan: Orphan | None) -> None:
        """Write down that a batch is settled, without holding up whoever appends meanwhile."""
        try:
            if orphan is not None:
                orphan.settle(batch)
                return
            with self._lock:
                settled = self._own.settle(batch)
            if settled is not None:
                settled.write()
        except OSError as error:
            self._tell_of_disk(error)

    def _put_back(self, batch: Batch, orphan: Orphan | None, error: BaseException) -> None:
        name, kind = self.sink.name, type(error).__name__
        log_once(
            f"spool:{name}:{kind}",
            "tracing: %s cannot write; spans wait in %s and will be tried again: %s: %s",
            *(name, self.folder, kind, text_of(error)),
        )
        with self._lock:
            if orphan is not None:
                orphan.put_back(self._retry.wait(orphan.tries, error))
                self._orphans.remove(orphan)
                self._orphans.append(orphan)
                if self._deadline is None:
                    return  # it may be for another place than our own spans, which need not wait
            else:
                self._count_lost(0, self._own.failed())
            wait = self._retry.wait(self._attempt, error)
            self._attempt += 1
        self._rest(wait, others=self._batches.failed_alone(batch.spans))

    def _rest(self, seconds: float, *, others: bool = False) -> None:
        """Leave the sink alone for a while, unless a flush or close wants to know now.

        Args:
            seconds: How long.
            others: Whether to go on as soon as other spans are written.
        """
        with self._lock:
            until = self._quiet_until = time.monotonic() + seconds
            self._idle = others
            while self._quiet_until == until and self._deadline is None:
                left = until - time.monotonic()
                if left <= 0 or (others and self._written != self._written_at_choice):
                    break
                self._changed.wait(left)
            self._idle = False
            if self._deadline is not None:
                self._changed.wait(max(0.0, min(0.1, self._deadline - time.monotonic())))

    def _wait_for_work(self) -> None:
        with self._lock:
            if self._own.waiting or self._deadline is not None:
                return
            times = [orphan.not_before for orphan in self._orphans]
            if self._adopt_orphans and not self._adopted_enough():
                times.append(self._adopt_at)
            idle = min(times) - time.monotonic() if times else 3600.0
            if idle > 0:
                self._idle = True
                self._changed.wait(idle)
                self._idle = False

    def _adopt_if_due(self) -> None:
        now = time.monotonic()
        if not self._adopt_orphans or now < self._adopt_at or self._deadline is not None:
            return
        self._adopt_at = now + self._adopt_every
        mine = self._own.journal.path if self._own.journal is not None else None
        for path in journals_in(self.folder):
            if self._adopted_enough():
                self._adopt_at = now  # more of them as soon as these are done
                return
            journal = Journal.adopt(path) if path != mine else None
            if journal is not None:
                self._orphans.append(Orphan(journal))
                self._limit_orphan(journal)

    def _adopted_enough(self) -> bool:
        untried = sum(not orphan.tries for orphan in self._orphans)
        return untried >= _ADOPTED_AT_ONCE or len(self._orphans) >= _ADOPTED_IN_ALL

    def _limit_orphan(self, journal: Journal) -> None:
        """Keep what many crashed processes left behind within the limit too: oldest go first."""
        limit = self._limits[0] - sum(o.journal.size for o in self._orphans[:-1])
        while journal.size > max(0, limit) and len(journal.segments) > 1:
            lost = journal.count_spans(journal.segments[0])
            journal.remove_oldest()
            self._ledger.accept(lost)
            with self._lock:
                self._ledger.dropped(lost, SPOOL_FULL)
            log_once("spool:orphans", "tracing: %s: the oldest spans are dropped", SPOOL_FULL)

    def _end(self) -> None:
        """Let go of the folder, close the sink."""
        with self._lock:
            deadline = self._deadline or 0.0
            self._release()
        close_guarded(self.sink, deadline)
        with self._lock:
            self._closed = True
            self._changed.notify_all()
        self._stop_syncing.set()
        self._dirty.set()

    def _release(self) -> None:
        own = self._own
        for orphan in self._orphans:
            orphan.journal.release(remove=False)
        self._orphans = []
        self._resolved += own.only_in_memory
        self._ledger.dropped(own.only_in_memory, LEFT_AT_EXIT)
        if own.journal is not None:
            if self._sync != "never" and own.waiting:
                self._sync_now()
            own.journal.release(remove=own.done >= own.tail)
        self._own = Own(*self._limits)  # what is written from now on begins a journal of its own
