"""``trace-nats forward``: from a stream of NATS JetStream to a sink, one batch after the other.

A batch is acknowledged once the sink has it. Whoever is killed in between, broker, forwarder or
the sink's server: the broker hands it out again, and sinks take a span twice without harm.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from trace_core._configuration import load_sink
from trace_core._delivery.attempt import Outcome, attempt, is_the_spans_fault, isolate
from trace_core._delivery.retry import Retry
from trace_core._errors import ConfigurationError, SinkError, TraceError
from trace_core._log import text_of, without_secrets
from trace_core._model.json import decode
from trace_core._model.span import Span, SpanContext
from trace_core._sinks.base import Sink
from trace_core._sinks.compose import Tee
from trace_core._sinks.console import print_to
from trace_nats._jetstream import DEFAULT_CONSUMER, NatsSource, unpacked

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_TRIES_BEFORE_ISOLATION: Final = 3
_FLUSH_SECONDS: Final = 30.0
_FETCH_SECONDS: Final = 1.0
_logger: Final = logging.getLogger("trace_core")


class Forwarder:
    """Moves spans from a stream to a sink.

    Args:
        source: The stream.
        sink: Where to.
        batch: Spans per write at the most.
        retry: How long to wait after a failed write.
    """

    def __init__(
        self, source: NatsSource, sink: Sink, *, batch: int = 200, retry: Retry | None = None
    ) -> None:
        self._source, self._sink = source, sink
        self._batch = batch
        self._retry = retry or Retry()
        self._failures = 0
        self._failed: dict[SpanContext, int] = {}  # how many were delivered before it first failed
        self._stop = threading.Event()
        self.delivered = 0
        """Spans that the sink took."""
        self.refused = 0
        """Messages that it will never take."""

    def stop(self) -> None:
        """End `run` after the batch at hand. For any thread, and for signal handlers."""
        self._stop.set()

    def run(self, *, once: bool = False) -> None:
        """Forward until stopped.

        Args:
            once: Return when the stream is empty.
        """
        while not self._stop.is_set():
            try:
                messages = self._source.fetch(self._batch, _FETCH_SECONDS)
                if messages:
                    self._forward(messages)
                elif once:
                    return
            except SinkError as error:  # the broker: what is not acknowledged, it hands out again
                self._wait(error)

    def _forward(self, messages: Sequence[Msg]) -> None:
        readable, refused = _read(messages)
        spans = [span for _, span in readable]
        outcome = self._attempt(spans)
        if outcome.error is not None:
            if refused:
                self._source.settle((), refused)
            self._source.put_back([m for m, _ in readable], self._seconds(outcome.error))
            self._wait(outcome.error)
            return
        if self._failures:
            _logger.warning("trace-nats forward: goes on after %d failure(s)", self._failures)
        self._failures = 0
        for span in spans:
            self._failed.pop(span.context, None)
        bad = {span.context: why for span, why in outcome.refused}
        refused += [(message, bad[s.context]) for message, s in readable if s.context in bad]
        self._source.settle([m for m, s in readable if s.context not in bad], refused)
        self.delivered += len(spans) - len(outcome.refused)
        self.refused += len(refused)
        if refused:
            _logger.warning(
                "trace-nats forward: %d span(s) refused for good, kept as %s: %s",
                *(len(refused), self._source.address.dead, without_secrets(refused[0][1])),
            )

    def _attempt(self, spans: Sequence[Span]) -> Outcome:
        outcome = attempt(self._sink, spans)
        if outcome.error is None:
            late = not self._sink.flush(_FLUSH_SECONDS)
            return (
                Outcome(error=SinkError("the sink could not deliver in time")) if late else outcome
            )
        if not is_the_spans_fault(outcome.error):
            return outcome
        for span in spans:
            self._failed.setdefault(span.context, self.delivered)
        if self._failures < _TRIES_BEFORE_ISOLATION:
            return outcome
        return self._refuse_what_failed_alone(spans, isolate(self._sink, spans, outcome))

    def _refuse_what_failed_alone(self, spans: Sequence[Span], outcome: Outcome) -> Outcome:
        """Blame the spans where the sink has taken others since each of them failed first."""
        if outcome.error is None or any(self._failed[s.context] >= self.delivered for s in spans):
            return outcome
        why = f"{type(outcome.error).__name__}: {text_of(outcome.error)}"
        return Outcome(tuple((span, why) for span in spans))

    def _seconds(self, error: BaseException) -> float:
        return self._retry.wait(self._failures, error)

    def _wait(self, error: BaseException) -> None:
        if not self._failures:
            _logger.warning(
                "trace-nats forward: %s: %s; spans stay in the stream and are tried again",
                *(type(error).__name__, without_secrets(text_of(error))),
            )
        seconds = self._seconds(error)
        self._failures += 1
        self._stop.wait(seconds)


def _read(messages: Sequence[Msg]) -> tuple[list[tuple[Msg, Span]], list[tuple[Msg, str]]]:
    """Read the spans in messages; return those that hold none apart, with the reason."""
    readable: list[tuple[Msg, Span]] = []
    refused: list[tuple[Msg, str]] = []
    for message in messages:
        try:
            readable.append((message, decode(unpacked(message))))
        except (ConfigurationError, OSError, EOFError) as error:
            refused.append((message, text_of(error)))
    return readable, refused


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``trace-nats`` command.

    Args:
        arguments: What follows the command's name; of this process by default.

    Returns:
        The exit status: 0 good, 1 spans were refused for good, 2 a mistake in the call.
    """
    options = _parser().parse_args(arguments)
    try:
        return run(options)
    except TraceError as error:
        print_to(sys.stderr, f"trace-nats: {without_secrets(error)}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trace-nats", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "move spans from a stream of NATS JetStream into any sink"
    forward = commands.add_parser("forward", help=about, description=about)
    forward.add_argument("--json", action="store_true", help="for machines")
    forward.add_argument("source", help="the stream, such as nats:nats://127.0.0.1:4222")
    forward.add_argument("--to", required=True, metavar="SINK", help="as `TRACE_SINKS` names it")
    forward.add_argument("--consumer", default=DEFAULT_CONSUMER, help="(default: %(default)s)")
    forward.add_argument("--batch", type=int, default=200, help="spans a write (default: 200)")
    forward.add_argument(
        "--patience",
        type=float,
        default=60.0,
        help="seconds until another forwarder gets what this one took (default: 60)",
    )
    forward.add_argument("--once", action="store_true", help="end when the stream is empty")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: Those of ``trace-nats forward``.

    Returns:
        The exit status: 1 if spans were refused for good.

    Raises:
        ConfigurationError: The source is no stream, or the sink is several.
    """
    scheme, _, target = options.source.partition(":")
    if scheme != "nats":
        raise ConfigurationError(f"wanted nats:…, got {without_secrets(options.source)}")
    sink = load_sink(options.to)
    if isinstance(sink, Tee):
        raise ConfigurationError("--to takes one sink: run a forwarder and a stream for each")
    source = NatsSource(target, consumer=options.consumer, patience=options.patience)
    forwarder = Forwarder(source, sink, batch=options.batch)
    try:
        with _asked_to_stop_by_signals(forwarder.stop):
            forwarder.run(once=options.once)
    finally:
        source.close()
        sink.close(5.0)
    counts = {"forwarded": forwarder.delivered, "refused": forwarder.refused}
    shown = json.dumps(counts) if options.json else f"forwarded {forwarder.delivered} spans"
    print_to(sys.stdout, f"{shown}\n")
    return 1 if forwarder.refused else 0


@contextmanager
def _asked_to_stop_by_signals(stop: Callable[[], None]) -> Generator[None]:
    """End after the batch at hand when asked to."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
