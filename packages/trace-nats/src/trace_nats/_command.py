"""The ``trace-nats`` command. Its one subcommand, ``forward``, moves spans from NATS to a sink."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType

from trace_core import ConfigurationError, TraceError, cli, load_sink, without_secrets
from trace_nats._forwarder import Forwarder
from trace_nats._source import DEFAULT_CONSUMER, NatsSource

_CLOSE_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``trace-nats`` command.

    Args:
        arguments: The command line without the program's name; that of this process by default.

    Returns:
        The exit status: 0 all went well, 1 some spans were refused for good, 2 wrong usage,
        130 interrupted.
    """
    options = _parser().parse(arguments)
    try:
        return _forward(options)
    except TraceError as error:
        sys.stderr.write(f"trace-nats: {without_secrets(error)}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> cli.Parser:
    parser = cli.Parser(prog="trace-nats", description="Work with spans in NATS JetStream.")
    parser.add_argument(
        "--version", action="version", version=f"trace-nats {version('trace-nats')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "move spans from a stream of NATS JetStream to any sink"
    forward = commands.add_parser("forward", help=about, description=f"M{about[1:]}.")
    forward.add_argument("--json", action="store_true", help="print the result as JSON")
    forward.add_argument(
        "source", metavar="SOURCE", help="the stream, such as nats:nats://127.0.0.1:4222"
    )
    forward.add_argument(
        "--to", required=True, metavar="SINK", help="the sink, as in TRACE_SINKS; only one"
    )
    forward.add_argument(
        "--consumer",
        metavar="NAME",
        default=DEFAULT_CONSUMER,
        help="forwarders of one name share the spans (default: %(default)s)",
    )
    forward.add_argument(
        "--batch", type=int, metavar="N", default=200, help="spans per write (default: 200)"
    )
    forward.add_argument(
        "--patience",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="seconds until another forwarder gets what this one has not delivered (default: 60)",
    )
    forward.add_argument("--once", action="store_true", help="end when no span is ready")
    return parser


def _forward(options: argparse.Namespace) -> int:
    scheme, _, target = options.source.partition(":")
    if scheme != "nats":
        raise ConfigurationError(
            f"wanted a stream, nats:nats://HOST:PORT, got {without_secrets(options.source)}"
        )
    if "," in options.to:
        raise ConfigurationError("--to takes one sink: run a forwarder and a stream for each")
    if options.batch < 1 or options.patience <= 0:
        raise ConfigurationError("--batch and --patience must be positive")
    sink = load_sink(options.to)
    source = NatsSource(target, consumer=options.consumer, patience=options.patience)
    forwarder = Forwarder(source, sink, batch=options.batch)
    try:
        with _stopped_by_signals(forwarder.stop):
            forwarder.run(once=options.once)
    finally:
        source.close()
        sink.close(_CLOSE_SECONDS)
    counts = {"forwarded": forwarder.delivered, "refused": forwarder.refused}
    shown = json.dumps(counts) if options.json else f"forwarded: {forwarder.delivered}"
    sys.stdout.write(f"{shown}\n")
    return 1 if forwarder.refused else 0


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Generator[None]:
    """Call a function on SIGTERM and SIGINT, so that the current batch is finished."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
