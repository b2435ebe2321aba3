"""The delivering half of a spool: a thread that takes spans from journals to the sink."""

from __future__ import annotations

from typing import Final

import attrs

from trace_core import _arguments as arguments
from trace_core._clock import monotonic
from trace_core._delivery.retry import BatchWriter, Outcome, Retry, is_outage
from trace_core._failures import failure
from trace_core._log import log_once, owner_key, report, text_of
from trace_core._sinks.base import SinkBase
from trace_core._sinks.wrapper import close_guarded
from trace_core._spool.backlog import Backlog
from trace_core._spool.batch import Batch
from trace_core._spool.deadletters import DeadLetters
from trace_core._spool.orphan import Orphan, Orphans
from trace_core._spool.waits import Waits
from trace_core._spool.writer import SpoolWriter
from trace_core._tracing.context import suppress

_TRIES_BEFORE_OTHERS: Final = 2
_TRIES_AT_EXIT: Final = 3


@attrs.frozen
class DelivererOptions:
    """Options of a spool's delivering half; see `Spool` for what they mean."""

    batch_size: int
    batch_bytes: int
    linger: float
    retry: Retry

    def __attrs_post_init__(self) -> None:
        arguments.count(self.batch_size, "batch_size")
        arguments.count(self.batch_bytes, "batch_bytes")
        arguments.number(self.linger, "linger")
        arguments.instance(self.retry, Retry, "retry")


class Deliverer:
    """Delivers what a writer has written, and orphans, to a sink.

    Args:
        sink: The sink.
        writer: The writing half.
        orphans: The journals of others.
        options: The options.
    """

    def __init__(
        self, sink: SinkBase, writer: SpoolWriter, orphans: Orphans, options: DelivererOptions
    ) -> None:
        self.waits = Waits(writer.changed, options.linger)
        self.batches = BatchWriter(sink.write)
        self.closed = False
        self._sink = sink
        self._writer = writer
        self._orphans = orphans
        self._options = options
        self._log_key = owner_key("deliverer")
        self._backlog = Backlog(writer, orphans, options.batch_size, options.batch_bytes)

    def run(self) -> None:
        """Deliver until the spool is closed: what the thread does."""
        with suppress():
            while not self._is_over():
                try:
                    self._backlog.tidy_if_due(closing=self.waits.closing)
                    self._deliver_one()
                except failure() as error:  # the disk: what cannot be read now is tried again
                    report("delivering from the spool", error)
                    self._rest(self._options.retry.wait(0, error), others=False)
            self._end()

    def hurry(self) -> None:
        """Have all that was written so far delivered now."""
        with self._writer.lock:
            self.waits.hurry()

    def close(self, deadline: float) -> None:
        """Have the thread end: when all is delivered, the time is over or the sink is silent."""
        with self._writer.lock:
            self._backlog.tries.clear()
            self.waits.close(deadline)

    def _is_over(self) -> bool:
        with self._writer.lock:
            if self.waits.deadline is None:
                return False
            own = self._writer.own
            nothing = not own.waiting and not self._orphans.found
            hopeless = self._backlog.tries.failed >= _TRIES_AT_EXIT and not own.memory.alone
            return nothing or hopeless or monotonic() >= self.waits.deadline

    def _deliver_one(self) -> None:
        if self._writer.own.waiting and self._next_orphan() is None:
            self.waits.gather()
        batch, orphan = self._backlog.next(hurry=self.waits.closing)
        if batch is None:
            self._wait_for_work()
            return
        if batch.damaged:
            self._backlog.count_damage(batch, orphan)
        outcome = self.batches.write(batch.spans, urgent=self.waits.closing)
        error = outcome.error
        if error is None or outcome.delivered or self._is_in_the_way(batch, orphan, error):
            self._settle(batch, orphan, outcome)
        else:
            self._put_back(batch, orphan, error)

    def _next_orphan(self) -> Orphan | None:
        return self._orphans.next(hurry=self.waits.closing)

    def _is_in_the_way(self, batch: Batch, orphan: Orphan | None, error: BaseException) -> bool:
        """Say whether a batch holds up others, though it is not the sink that is away."""
        tries = self._backlog.tries if orphan is None else orphan.tries
        if tries.failed < _TRIES_BEFORE_OTHERS or is_outage(error):
            return False
        return orphan is not None or batch.end < self._writer.own.tail

    def _settle(self, batch: Batch, orphan: Orphan | None, outcome: Outcome) -> None:
        if outcome.refused:
            DeadLetters(self._writer.disk.folder).add(outcome.refused)
            reason = outcome.refused[0][1]
            log_once(f"{self._log_key}:refused", "tracing: refused for good: %s", reason)
        self._backlog.settle(batch, orphan, outcome)
        if not batch.spans:
            return  # start records alone: the sink was not asked, and may still be away
        was_away = self._backlog.tries.failed > 0
        self._backlog.tries.clear()
        if was_away and outcome.delivered:
            self._backlog.set_aside()
        self._gather_after(len(batch.spans))

    def _gather_after(self, count: int) -> None:
        if count >= self._options.batch_size or self._next_orphan() is not None:
            return
        if not self.waits.urgent:
            self.waits.gather_after(count)
            return
        with self._writer.lock:
            if self._writer.resolved >= self._writer.written:
                self.waits.calm_down()

    def _put_back(self, batch: Batch, orphan: Orphan | None, error: BaseException) -> None:
        name, kind = self._sink.name, type(error).__name__
        log_once(
            f"spool:{name}:{kind}",
            "tracing: %s cannot write; spans are kept in %s and will be retried: %s: %s",
            *(name, self._writer.disk.folder, kind, text_of(error)),
        )
        if orphan is not None:
            self._orphans.put_back(orphan, self._options.retry.wait(orphan.tries.failed, error))
            orphan.tries.note(error)
            if not self.waits.closing:
                return  # it may be for another place than our own spans, which need not wait
        else:
            self._backlog.put_back(batch)
        wait = self._options.retry.wait(self._backlog.tries.failed, error)
        self._backlog.tries.note(error)
        self._rest(wait, others=self.batches.failed_alone(batch.spans))

    def _rest(self, seconds: float, *, others: bool) -> None:
        """Leave the sink alone for a while.

        Args:
            seconds: How long.
            others: Whether to go on as soon as other spans are written.
        """

        def tick() -> bool:
            writer.append()  # what the disk has not taken; and look whether the folder is there
            return others and writer.written != self._backlog.written_at_choice

        writer = self._writer
        writer.awaited = others
        self.waits.rest(seconds, tick)
        writer.awaited = False

    def _wait_for_work(self) -> None:
        writer = self._writer
        with writer.lock:
            if writer.own.waiting or self.waits.closing:
                return
            writer.awaited = True
            self.waits.for_work(self._orphans.due_in())
            writer.awaited = False

    def _end(self) -> None:
        """Let go of the folder, close the sink."""
        self._orphans.let_go()
        self._writer.release()
        close_guarded(self._sink, self.waits.deadline or 0.0)
        with self._writer.lock:
            self.closed = True
            self._writer.changed.notify_all()
