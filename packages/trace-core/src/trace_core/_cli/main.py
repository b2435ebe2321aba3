"""The ``trace-core`` command: look at spans, count them, deliver them again, find what is wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from trace_core._cli import diff, doctor, draw, replay, report, show, spool, stats
from trace_core._cli.draw import complain
from trace_core._cli.filters import add_filters, period
from trace_core._cli.parser import Parser, seconds
from trace_core._cli.sources import add_source
from trace_core._errors import TraceError
from trace_core._sources.base import Unreadable

_BROKEN: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``trace-core``.

    Args:
        arguments: What follows the command's name; of this process by default.

    Returns:
        The exit status: 0 if all went well, 1 if spans could not be read or delivered, 2 for a
        mistake in the arguments or settings.
    """
    return run(parser_of_all().parse(arguments), "trace-core")


def parser_of_all() -> Parser:
    """Return the parser of the command ``trace-core``."""
    parser = Parser(
        prog="trace-core",
        description="Look at recorded spans, count them, deliver them again, find what is wrong.",
    )
    parser.add_argument(
        "--version", action="version", version=f"trace-core {version('trace-core')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_commands(commands)
    again = _command(commands, "replay", replay.run, "write recorded spans into a sink")
    add_source(again)
    again.add_argument("--to", required=True, metavar="SINK", help="a sink, as in TRACE_SINKS")
    _add_timeout(again, "seconds to try again while the sink takes no span")
    return parser


def run(options: argparse.Namespace, program: str) -> int:
    """Run a command that `add_commands` added.

    Args:
        options: What its parser made of the arguments.
        program: What the program is called, for complaints.

    Returns:
        The exit status.
    """
    draw.program = program
    try:
        status = int(options.run(options))
        sys.stdout.flush()
    except TraceError as error:
        complain(str(error))
        return 1 if isinstance(error, Unreadable) else 2
    except (KeyboardInterrupt, BrokenPipeError):
        return _ended(_BROKEN)
    except OSError as error:  # of the source, or of what it is printed to
        complain(str(error))
        return _ended(1)
    return status


def _ended(status: int) -> int:
    """Have the interpreter not try once more, at its end, to print what cannot be printed."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def add_commands(commands: Any) -> None:
    """Add the commands that look at spans, and those that look after them.

    Args:
        commands: What ``ArgumentParser.add_subparsers`` returned.
    """
    drawn = _reader(commands, "show", show.show, "draw the newest traces as trees")
    drawn.add_argument("--trace", metavar="ID", help="only traces whose id begins with this")
    _add_last(drawn, "traces")
    drawn.add_argument(
        "-v", "--verbose", action="count", default=0,
        help="with messages, parameters, time to the first chunk, session; -vv for long messages",
    )  # fmt: skip
    tail = _reader(commands, "tail", show.tail, "print the newest spans, one a line")
    tail.add_argument("-f", "--follow", action="store_true", help="wait for more spans")
    _add_last(tail, "spans, 0 for all,")
    figures = _reader(commands, "stats", stats.run, "add up calls, latency, tokens and cost")
    figures.add_argument(
        "--by", metavar="GROUPS", type=stats.groups, default=("model",),
        help=f"{', '.join(stats.GROUPS)}; several with commas: day,model (default: model)",
    )  # fmt: skip
    _add_diff(commands)
    page = _command(commands, "report", report.run, "write a page of HTML about the calls")
    add_source(page)
    report.add_options(page)
    add_filters(page)
    examined = _command(
        commands, "doctor", doctor.run, "check what is installed, set, reachable, waiting, lost"
    )
    doctor.add_options(examined)
    about = "list, show, deliver and remove what waits on disk"
    group = commands.add_parser(
        "spool", help=about, description="List, show, deliver and remove what waits on disk."
    )
    _add_spool_commands(group.add_subparsers(required=True, metavar="COMMAND"))


def _reader(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    """Add a command that reads spans and can be told which."""
    parser = _command(commands, name, run, about)
    add_source(parser, several=name == "diff")
    parser.add_argument("--csv", action="store_true", help="print CSV")
    add_filters(parser)
    return parser


def _add_diff(commands: Any) -> None:
    about = "compare two runs, or two periods of one source, by model"
    parser = _reader(commands, "diff", diff.run, about)
    for side in ("before", "after"):
        parser.add_argument(
            f"--{side}", metavar="DAYS", type=period,
            help="a day, or two with .. between: 2026-11-01..2026-11-07",
        )  # fmt: skip


def _add_last(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "-n", "--last", metavar="N", type=_natural, default=20, help=f"{what} to show (default: 20)"
    )


def _natural(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return number


def _add_spool_commands(commands: Any) -> None:
    _add_folder(_command(commands, "ls", spool.ls, "list how much waits for each sink"))
    drawn = _add_folder(_command(commands, "show", spool.show, "draw the traces that wait"))
    drawn.add_argument("--dead", action="store_true", help="list the dead letters instead")
    drain = _add_folder(
        _command(commands, "drain", spool.drain_all, "deliver what was left behind")
    )
    drain.add_argument("--to", metavar="SINK", help="another sink than the spans were meant for")
    _add_timeout(drain, "seconds for each sink")
    gc = _add_folder(_command(commands, "gc", spool.gc, "remove empty folders"))
    gc.add_argument("--dead", action="store_true", help="remove the dead letters too")
    gc.add_argument("--damaged", action="store_true", help="remove what could not be read too")


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--dir", type=Path, metavar="FOLDER", help="the spool's folder (default: TRACE_SPOOL_DIR)"
    )
    return parser


def _add_timeout(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", default=60.0, help=f"{about} (default: 60)"
    )
