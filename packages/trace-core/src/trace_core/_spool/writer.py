"""The writing half of a spool: appends spans to this process's journal, and counts them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import attrs

from trace_core import _arguments as arguments
from trace_core._delivery.stats import DAMAGED, DISK_FULL, LEFT_AT_EXIT, REMOVED, SPOOL_FULL, Ledger
from trace_core._failures import failure
from trace_core._log import counted, log_once
from trace_core._model.span import Span
from trace_core._spool.disk import SpoolDisk
from trace_core._spool.journal import Journal
from trace_core._spool.orphan import Orphans
from trace_core._spool.own import Own
from trace_core._spool.sync import Sync, Syncer

_LOOKS: Final = 32
"""While a process writes as much as the limit, it looks so often at what the others have."""
_LOOKS_OF_MANY: Final = 8
"""While it writes as much as its share: less than the limit where there are many processes."""


@attrs.frozen
class WriterOptions:
    """Options of a spool's writing half; see `Spool` for what they mean."""

    max_bytes: int
    max_memory: int
    segment_bytes: int
    sync: Sync
    sync_every: float

    def __attrs_post_init__(self) -> None:
        for name in ("max_bytes", "max_memory", "segment_bytes"):
            arguments.count(getattr(self, name), name)
        arguments.number(self.sync_every, "sync_every")

    def new_own(self) -> Own:
        """Return the state of a process that has written nothing."""
        return Own(self.max_bytes, self.max_memory, self.segment_bytes)


class SpoolWriter:
    """Appends spans to this process's journal; while the disk fails, keeps them in memory.

    Args:
        disk: The sink's folder.
        orphans: The journals that the spool delivers beside this process's own.
        options: The options.
    """

    def __init__(self, disk: SpoolDisk, orphans: Orphans, options: WriterOptions) -> None:
        self.lock = threading.RLock()
        """Guards everything here."""
        self.changed = threading.Condition(self.lock)
        self.awaited = False
        """Whether the delivery thread waits for spans to be written."""
        self.is_tidy = True
        """Whether somebody has seen to the folder since the journal was begun."""
        self.written = 0
        """Spans of this process."""
        self.resolved = 0
        """Those of them that are delivered or dropped."""
        self.ledger = Ledger()
        self.disk = disk
        self.own = options.new_own()
        self.syncer = Syncer(options.sync, options.sync_every, disk.tell)
        self._orphans = orphans
        self._options = options
        self._left_at_exit = 0
        self._appended_at_look = 0

    def write(self, spans: Sequence[Span]) -> None:
        """Append spans to the journal. Never raises: without a disk they are kept in memory."""
        with self.lock:
            self.own.keep(spans)  # which may raise for want of memory: then they are not accepted
            self.ledger.accept(len(spans))
            self.written += len(spans)
            self.append()
            if self.awaited:
                self.changed.notify_all()

    def write_started(self, spans: Sequence[Span]) -> None:
        """Append records of spans that have started; best effort."""
        with self.lock:
            try:
                self._open_journal()
                self.own.note_started(spans)
            except failure() as error:
                self.disk.tell(error)

    def append(self, spans: Sequence[Span] = ()) -> None:
        """Append spans that are counted, and what the disk has not taken before."""
        with self.lock:
            before = self.own.tail
            self.own.keep(spans)
            try:
                self._shrink_disk()  # if it cannot be, it takes no more
                self._save()
                self._look_at_others()
                self._shrink_disk()
            except failure() as error:  # such as what an audit hook of the program's raises
                self.disk.tell(error)
            if lost := self.own.shrink_memory():
                self.count_lost(lost, DISK_FULL)
            if self.own.tail != before and self.own.journal is not None:
                self.syncer.note_append(self.own.journal.file)

    def _shrink_disk(self) -> None:
        for lost in self.own.shrink_disk():
            self.count_lost(lost, SPOOL_FULL)

    def _save(self) -> None:
        journal = self.own.journal
        if self.disk.is_left_alone:
            return
        if journal is not None and self.disk.has_lost(journal):
            self._begin_anew(journal)
        if self.own.memory.alone:
            self._open_journal()
            self.own.save()

    def _look_at_others(self) -> None:
        """Keep to the limit once the journal has grown: those of others may have, too."""
        most = min(self._options.max_bytes // _LOOKS, self.own.max_bytes // _LOOKS_OF_MANY)
        if self.own.appended - self._appended_at_look > most:
            self.keep_to_limit(adopted=())

    def _open_journal(self) -> None:
        if self.own.journal is None:
            self.own.begin(self.disk.create_journal())
            self.is_tidy = False
            self._orphans.look_now()  # what was looked into before may have been another folder
            self.changed.notify_all()

    def _begin_anew(self, journal: Journal) -> None:
        waiting, left = self.waiting, self.own.begin_anew()
        lost = max(0, waiting - left)
        self.drop(lost, REMOVED)
        log_once(
            f"spool:removed:{journal.path}",
            "tracing: %s was removed or closed in use: made anew with %s from memory; %d lost",
            *(journal.path, counted(left, "span"), lost),
        )

    # Counting; the lock is held

    @property
    def waiting(self) -> int:
        """Spans of this process that are neither delivered nor dropped nor set aside."""
        return self.written - self.resolved - self._orphans.left_of_own

    def count_lost(self, count: int, reason: str) -> None:
        """Count spans that a limit has cost, and say so."""
        if count:
            self.drop(count, reason)
            log_once(f"spool:{reason}", "tracing: %s: the oldest spans are dropped", reason)

    def drop_missing(self, count: int) -> None:
        """Count spans of this process that are not where they were written, and say so."""
        if count:
            self.drop(count, DAMAGED)
            log_once(
                "spool:missing",
                "tracing: %s lost: missing from %s, or unreadable",
                *(counted(count, "span"), self.disk.folder),
            )

    def drop(self, count: int, reason: str) -> None:
        """Count spans of this process that are lost."""
        self.resolved += count
        self.ledger.dropped(count, reason)

    def tidy(self, adopted: Sequence[Journal]) -> None:
        """Note in the folder whose it is, and keep it to its limit.

        Args:
            adopted: Journals that this process has adopted.
        """
        self.is_tidy = True
        self.disk.note_key()
        with self.lock:
            if self.own.journal is not None:
                self.own.journal.step_aside()
        self.keep_to_limit(adopted)

    def keep_to_limit(self, adopted: Sequence[Journal]) -> None:
        """Keep what all processes have in the sink's folder within the limit.

        Args:
            adopted: Journals that this process has adopted.
        """
        self._appended_at_look = self.own.appended
        removed, share = self.disk.keep_to_limit(self.own.journal, adopted)
        with self.lock:
            self.own.max_bytes = share
            self.ledger.accept(removed)
            self.ledger.dropped(removed, SPOOL_FULL)
        if removed:
            log_once("spool:orphans", "tracing: %s: the oldest spans are dropped", SPOOL_FULL)

    # At the end

    def save_rest(self) -> tuple[int, int]:
        """Write to disk what is in memory alone, as the process is about to end.

        Returns:
            How many spans wait on disk, and how many the disk did not take.
        """
        with self.lock:
            self.disk.ask_again()
            self.append()
            if not self.is_tidy:
                self.tidy(())
            alone = self.own.memory.alone
            return self.written - self.resolved - alone, alone + self._left_at_exit

    def release(self) -> None:
        """Let go of the journal; what is written from now on begins another one."""
        with self.lock:
            self.save_rest()
            own = self.own
            self.syncer.stop(sync=own.waiting)
            self._left_at_exit += own.memory.alone
            self.drop(own.memory.alone, LEFT_AT_EXIT)
            if own.journal is not None:
                try:
                    own.journal.release(remove=own.done >= own.tail)
                except failure() as error:
                    self.disk.tell(error)
                    own.journal.forget()
            self.own = self._options.new_own()
            self._appended_at_look = 0
