"""``trace-core replay`` writes recorded spans into a sink, through outages of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import attrs

from trace_core._cli.draw import Problems, complain, say, say_json
from trace_core._cli.progress import Tell, progress
from trace_core._cli.sources import source_of
from trace_core._configuration import load_sink
from trace_core._delivery.retry import BatchWriter, Retry
from trace_core._errors import SinkError
from trace_core._log import counted, text_of
from trace_core._model.span import Span
from trace_core._sinks.base import Sink, seconds_left
from trace_core._sources.files import FileSource
from trace_core._spool.reader import count_spans

_BATCH: Final = 100
_RETRY: Final = Retry(first=0.5, longest=5.0)


@attrs.define
class Result:
    """What became of the spans that were read.

    Args:
        replayed: Spans the sink took.
        refused: Spans the sink will never take.
        left: Spans not written, or not known to be delivered, in the time given.
    """

    replayed: int = 0
    refused: int = 0
    left: int = 0


def run(options: argparse.Namespace) -> int:
    """Write spans into a sink; the exit status is 1 unless it took all of them."""
    problems = Problems()
    source = source_of(options, problems)
    sink = load_sink(options.to)
    total = count_spans(source.path) if isinstance(source, FileSource) else None
    with progress("replaying", total, shown=not options.json) as tell:
        result = replay(source.spans(), sink, options.timeout, tell)
    if options.json:
        say_json(attrs.asdict(result))
    else:
        done = counted(result.replayed, "span")
        say(f"replayed {done}, {result.refused:,} refused, {result.left:,} left")
    if result.left:
        complain("run the same command again for what is left: writing a span twice is harmless")
    return int(bool(result.left or result.refused or problems.found))


def replay(
    spans: Iterable[Span], sink: Sink, timeout: float, tell: Tell, retry: Retry = _RETRY
) -> Result:
    """Write spans into a sink and close it.

    Args:
        spans: The spans.
        sink: The sink.
        timeout: Seconds the sink may go without taking a single span before this gives up.
        tell: Told how many spans are done.
        retry: How long to wait before a failed write is repeated.
    """
    writing = _Writing(sink, timeout, retry)
    batches = iter(spans)
    while batch := [*islice(batches, _BATCH)]:
        if not writing.write(batch):
            break
        tell(writing.result.replayed)
    else:
        writing.finish()
    result = writing.result
    result.left = len(writing.waiting) + sum(1 for _ in batches)
    sink.close(timeout)
    return result


class _Writing:
    """Writes batches; repeats what failed until the sink has taken nothing for too long."""

    def __init__(self, sink: Sink, timeout: float, retry: Retry) -> None:
        self._sink = sink
        self._writer = BatchWriter(self._write_through)
        self._timeout = timeout
        self._retry = retry
        self._deadline = time.monotonic() + timeout
        self._taken: list[Span] = []
        self._attempt = 0
        self.waiting: list[Span] = []
        """Spans that the sink has not taken yet."""
        self.result = Result()

    def _write_through(self, spans: Sequence[Span]) -> None:
        """Write spans and wait until they are delivered, so that no queue has to drop any."""
        self._sink.write(spans)
        if not self._sink.flush(seconds_left(self._deadline)):
            raise SinkError("the sink could not deliver in time")

    def write(self, spans: Sequence[Span]) -> bool:
        """Write a batch.

        Args:
            spans: The batch.

        Returns:
            Whether to go on; some of the batch may still wait, if the sink took others.
        """
        self.waiting += spans
        while True:
            error = self._offer(self.waiting)
            if error is None:
                return True
            if not self._wait(error):
                return False

    def _offer(self, spans: Sequence[Span]) -> BaseException | None:
        """Offer spans once. Returns why the sink took none of them, if so."""
        outcome = self._writer.write(spans)
        known = {span.context for span in self._taken}
        new = [span for span in outcome.delivered if span.context not in known]
        self.waiting = [span for span in outcome.waiting if span.context not in known]
        self.result.replayed += len(new)
        self.result.refused += len(outcome.refused)
        for span, why in outcome.refused:
            complain(f"the sink refuses span {span.span_id}: {why}")
        if new or outcome.refused:
            self._taken = new[-1:] or self._taken
            self._deadline = time.monotonic() + self._timeout
            self._attempt = 0
            return None
        return outcome.error

    def _wait(self, error: BaseException) -> bool:
        seconds = self._retry.wait(self._attempt, error)
        if not self._attempt:
            complain(f"the sink cannot write and is tried again: {text_of(error)}")
        self._attempt += 1
        if time.monotonic() + seconds >= self._deadline:
            return False
        time.sleep(seconds)
        return True

    def finish(self) -> None:
        """Offer what still waits, each time with a span that the sink is known to take.

        Only then can a span be told from an outage; writing a span twice is harmless.
        """
        while self.waiting:
            error = self._offer([*self._taken, *self.waiting])
            if error is not None and not self._wait(error):
                return
