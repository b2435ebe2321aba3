"""What a spool has to deliver: spans of this process, and orphans, batch by batch in turns."""

from __future__ import annotations

from typing import Final

import attrs

from trace_core._delivery.retry import Outcome
from trace_core._delivery.stats import DAMAGED, REJECTED, SPOOL_FULL
from trace_core._failures import failure
from trace_core._log import log_once
from trace_core._spool.batch import Batch
from trace_core._spool.journal import Journal
from trace_core._spool.orphan import Orphan, Orphans
from trace_core._spool.waits import Tries
from trace_core._spool.writer import SpoolWriter

_MANY_SPANS: Final = 1_000


class Backlog:
    """Chooses what to deliver next, and takes note of what became of it. For one thread.

    Args:
        writer: The writing half of the spool.
        orphans: The journals it delivers beside this process's own.
        batch_size: Spans in a batch at the most.
        batch_bytes: Their size at the most, as written on disk.
    """

    def __init__(
        self, writer: SpoolWriter, orphans: Orphans, batch_size: int, batch_bytes: int
    ) -> None:
        self.batch_size = batch_size
        self.tries = Tries()
        """Attempts with spans of this process."""
        self.written_at_choice = 0
        """Spans of this process, when the batch at hand was chosen."""
        self._writer = writer
        self._orphans = orphans
        self._batch_bytes = batch_bytes
        self._turn = 0

    def tidy_if_due(self, *, closing: bool) -> None:
        """See to the folder: to its key, its limit, and what processes that are gone left in it.

        When a journal was begun, and now and then.

        Args:
            closing: Whether there is no time any more for what others have left.
        """
        adopts = self._orphans.is_due and not closing
        if self._writer.is_tidy and not adopts:
            return
        self._writer.tidy(self._adopted())
        if adopts:
            self._orphans.adopt(self._writer.disk.folder)

    def _adopted(self) -> list[Journal]:
        return [orphan.journal for orphan in self._orphans.found if not orphan.own]

    def next(self, *, hurry: bool) -> tuple[Batch | None, Orphan | None]:
        """Return the next batch, and the orphan it is from, taking turns.

        Args:
            hurry: Whether orphans are not to wait for their next attempt.
        """
        self._turn += 1
        orphan = self._orphans.next(hurry=hurry)
        if orphan is not None and (self._turn % 2 or not self._writer.own.waiting):
            batch = orphan.next(orphan.tries.limit(self.batch_size), self._batch_bytes)
            if batch is not None:
                return batch, orphan
            self._remove(orphan)
        with self._writer.lock:
            self.written_at_choice = self._writer.written
            size = self.tries.limit(self.batch_size)
            return self._writer.own.next(size, self._batch_bytes), None

    def _remove(self, orphan: Orphan) -> None:
        with self._writer.lock:
            self._writer.drop_missing(orphan.left)
            orphan.left = 0
        self._orphans.remove(orphan)

    def settle(self, batch: Batch, orphan: Orphan | None, outcome: Outcome) -> None:
        """Take note of what became of a batch.

        Args:
            batch: The batch.
            orphan: The orphan that it is from; ``None`` if it is of this process.
            outcome: What became of its spans; those that wait go behind all others.
        """
        if outcome.waiting:  # as other objects: in memory, spans are known by identity
            self._writer.append([attrs.evolve(span) for span in outcome.waiting])
        try:
            self._tell_disk(batch, orphan)
        except failure() as error:
            self._writer.disk.tell(error)
        writer = self._writer
        with writer.lock:
            if orphan is None or orphan.own:
                writer.resolved += len(batch.spans) - len(outcome.waiting)
            else:
                writer.ledger.accept(len(batch.spans))
                writer.written += len(outcome.waiting)
            if orphan is not None:
                orphan.left = max(0, orphan.left - len(batch.spans))
            writer.ledger.delivered(len(outcome.delivered))
            writer.ledger.dropped(len(outcome.refused), REJECTED)
            if not writer.own.waiting:  # all there is has been delivered; the rest is gone
                writer.drop_missing(writer.waiting)
            writer.changed.notify_all()

    def count_damage(self, batch: Batch, orphan: Orphan | None) -> None:
        """Log that records could not be read, and count those that other processes wrote.

        Of the spans of this process it is known in the end how many are missing.
        """
        log_once("spool:damaged", "tracing: %s has damaged records", self._writer.disk.folder)
        if orphan is not None and not orphan.own:
            self._writer.ledger.accept(batch.damaged)
            self._writer.ledger.dropped(batch.damaged, DAMAGED)

    def _tell_disk(self, batch: Batch, orphan: Orphan | None) -> None:
        """Write down that a batch is settled, without holding up whoever appends meanwhile."""
        if orphan is not None:
            orphan.settle(batch)
            return
        with self._writer.lock:
            settled = self._writer.own.settle(batch)
        if settled is not None:
            settled.write()

    def put_back(self, batch: Batch) -> None:
        """Take note that a batch of this process was not delivered."""
        with self._writer.lock:
            swept = self._writer.own.put_back(batch)
            if swept is None:
                self._writer.append(batch.spans)
            else:
                self._writer.count_lost(swept, SPOOL_FULL)

    def set_aside(self) -> None:
        """After an outage, go on in a new journal: live spans are not to wait for all others."""
        writer = self._writer
        with writer.lock:
            left = writer.waiting - writer.own.memory.alone
            if writer.own.journal is None or left < _MANY_SPANS:
                return
            try:
                self._orphans.found.append(Orphan(self._go_on_elsewhere(), left))
                writer.keep_to_limit(self._adopted())
            except OSError as error:
                writer.disk.tell(error)

    def _go_on_elsewhere(self) -> Journal:
        fresh = self._writer.disk.create_journal()
        try:
            return self._writer.own.set_aside(fresh)
        except OSError:
            fresh.release(remove=True)
            raise
