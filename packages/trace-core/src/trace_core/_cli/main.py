"""The ``trace-core`` command: look at spans, count them, deliver them again, find what is wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from trace_core._cli import doctor, replay, show, spool, stats
from trace_core._cli.draw import complain
from trace_core._errors import TraceError

_DEFAULT_FILE: Final = Path("traces.jsonl")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; of this process by default.

    Returns:
        The exit status: 0 if all went well, 1 if spans could not be read or delivered, 2 for a
        mistake in the arguments or settings.
    """
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
    except TraceError as error:
        complain(str(error))
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except OSError as error:  # of the source, or of what it is printed to
        complain(str(error))
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trace-core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    drawn = _command(commands, "show", show.show, "draw traces as trees")
    _add_source(drawn)
    drawn.add_argument("--trace", help="only traces whose id begins with this")
    drawn.add_argument("--last", type=int, default=20, help="traces to draw (default: 20)")
    tail = _command(commands, "tail", show.tail, "print spans, one a line")
    _add_source(tail)
    tail.add_argument("-f", "--follow", action="store_true", help="wait for more spans")
    figures = _command(commands, "stats", stats.run, "count calls, latency, tokens and cost")
    _add_source(figures)
    figures.add_argument("--by", choices=stats.GROUPS, default="model", help="what to group by")
    again = _command(commands, "replay", replay.run, "write recorded spans into a sink")
    _add_source(again)
    again.add_argument("--to", required=True, metavar="SINK", help="a sink, as in TRACE_SINKS")
    _add_timeout(again, "seconds to try again while the sink takes no span")
    _command(commands, "doctor", doctor.run, "print what is installed, configured, waiting, lost")
    about = "list, show, deliver and remove what waits on disk"
    group = commands.add_parser("spool", help=about, description=about)
    _add_spool_commands(group.add_subparsers(required=True, metavar="COMMAND"))
    return parser


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
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        default=_DEFAULT_FILE,
        help="a file of JSON lines or dead letters, or a spool's folder (default: traces.jsonl)",
    )


def _add_folder(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--dir", type=Path, help="the spool's folder (default: TRACE_SPOOL_DIR)")
    return parser


def _add_timeout(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("--timeout", type=float, default=60.0, help=f"{about} (default: 60)")
