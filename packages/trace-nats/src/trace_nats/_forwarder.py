"""Moves spans from a stream of NATS JetStream to a sink, a batch at a time.

A message is acknowledged once the sink has delivered its span. If the broker, the forwarder or
the sink's server is killed before that, the broker hands the message out again; sinks accept a
span twice without harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from trace_core import (
    BatchWriter,
    Outcome,
    Retry,
    SinkError,
    SinkLike,
    Span,
    as_sink,
    without_secrets,
)
from trace_nats._message import unpack
from trace_nats._source import NatsSource

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_FLUSH_SECONDS: Final = 30.0
_FETCH_SECONDS: Final = 1.0
_logger: Final = logging.getLogger("trace_core")


class Forwarder:
    """Moves spans from a stream to a sink.

    Args:
        source: The stream.
        sink: The sink.
        batch: Spans per write, at most.
        retry: How long to wait after a failed write.
        clock: The time in seconds, for tests.
    """

    def __init__(
        self,
        source: NatsSource,
        sink: SinkLike,
        *,
        batch: int = 200,
        retry: Retry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._sink = as_sink(sink)
        self._writer = BatchWriter(self._write, clock=clock)
        self._batch = batch
        self._retry = retry or Retry()
        self._failures = 0
        self._stop = threading.Event()
        self.delivered = 0
        """Number of spans that the sink has delivered."""
        self.refused = 0
        """Number of messages that became dead letters."""

    def stop(self) -> None:
        """Make `run` return after the current batch. For any thread, and for signal handlers."""
        self._stop.set()

    def run(self, *, once: bool = False) -> None:
        """Forward until stopped.

        Args:
            once: Return when the broker has no message ready.
        """
        while not self._stop.is_set():
            try:
                messages = self._source.fetch(self._batch, _FETCH_SECONDS)
                if messages:
                    self._forward(messages)
                elif once:
                    return
            except SinkError as error:  # the broker's; it hands out again what is not acknowledged
                self._pause(error)

    def _write(self, spans: Sequence[Span]) -> None:
        """Write a batch and wait until it is delivered, so that it may be acknowledged."""
        self._sink.write(spans)
        if not self._sink.flush(_FLUSH_SECONDS):
            raise SinkError(f"the sink did not deliver within {_FLUSH_SECONDS:.0f} seconds")

    def _forward(self, messages: Sequence[Msg]) -> None:
        readable, refused = _read(messages)
        outcome = self._writer.write([span for _, span in readable])
        reasons = {span.context: why for span, why in outcome.refused}
        waiting = {span.context for span in outcome.waiting}
        refused += [(m, reasons[s.context]) for m, s in readable if s.context in reasons]
        done = [m for m, s in readable if s.context not in waiting and s.context not in reasons]
        if done or refused:
            self._source.settle(done, refused)
        self._count(outcome, refused)
        if outcome.error is None:
            self._end_of_failures()
            return
        seconds = self._retry.wait(self._failures, outcome.error)
        self._source.put_back([m for m, s in readable if s.context in waiting], seconds)
        if outcome.delivered:
            self._end_of_failures()  # only some spans fail: they must not hold up the others
        else:
            self._pause(outcome.error)

    def _count(self, outcome: Outcome, refused: Sequence[tuple[Msg, str]]) -> None:
        self.delivered += len(outcome.delivered)
        self.refused += len(refused)
        if refused:
            _logger.warning(
                "trace-nats forward: %d message(s) refused for good, kept as %s: %s",
                *(len(refused), self._source.address.dead, without_secrets(refused[0][1])),
            )

    def _end_of_failures(self) -> None:
        if self._failures:
            _logger.warning("trace-nats forward: works again after %d failure(s)", self._failures)
        self._failures = 0

    def _pause(self, error: BaseException) -> None:
        """Wait after a failure, longer after each in a row; only the first is logged."""
        if not self._failures:
            _logger.warning(
                "trace-nats forward: %s: %s; the spans stay in the stream and are tried again",
                *(type(error).__name__, without_secrets(error)),
            )
        seconds = self._retry.wait(self._failures, error)
        self._failures += 1
        self._stop.wait(seconds)


def _read(messages: Sequence[Msg]) -> tuple[list[tuple[Msg, Span]], list[tuple[Msg, str]]]:
    """Read the spans in messages; return apart those without one, each with the reason."""
    readable: list[tuple[Msg, Span]] = []
    refused: list[tuple[Msg, str]] = []
    for message in messages:
        try:
            readable.append((message, unpack(message)))
        except Exception as error:  # anybody may publish anything to the subject
            refused.append((message, f"no span: {type(error).__name__}: {error}"))
    return readable, refused
