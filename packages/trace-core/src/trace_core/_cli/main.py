"""The ``trace-core`` command: look at spans, count them, deliver them again, ask what is wrong."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Final

import attrs

from trace_core._cli.progress import progress
from trace_core._cli.statistics import GROUPS, statistics, table
from trace_core._configuration import GROUP, load_sink, sink_names
from trace_core._errors import ConfigurationError, TraceError
from trace_core._log import without_secrets
from trace_core._model.json import encode, to_dict
from trace_core._model.span import Span
from trace_core._settings import VARIABLES, setting
from trace_core._sinks.console import by_trace, coloured, print_to, summary, tree_lines
from trace_core._spool.deadletters import DeadLetters
from trace_core._spool.reader import (
    Folder,
    collect_garbage,
    count_spans,
    drain,
    folders_in,
    follow,
    read_spans,
)
from trace_core._spool.spool import default_spool_dir

_BATCH: Final = 100
_DEFAULT_FILE: Final = Path("traces.jsonl")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; of this process by default.

    Returns:
        The exit status: 0 good, 1 not all was delivered, 2 a mistake in the call.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except TraceError as error:
        print_to(sys.stderr, f"trace-core: {without_secrets(error)}\n")
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trace-core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = _command(commands, "show", _show, "draw traces as trees")
    _add_source(show)
    show.add_argument("--trace", help="only the trace whose id begins with this")
    show.add_argument("--last", type=int, default=20, help="traces to draw (default: 20)")
    tail = _command(commands, "tail", _tail, "print spans as they come")
    _add_source(tail)
    tail.add_argument("-f", "--follow", action="store_true", help="wait for more")
    stats = _command(commands, "stats", _stats, "latency, tokens and cost of calls")
    _add_source(stats)
    stats.add_argument("--by", choices=GROUPS, default="model", help="what to group by")
    replay = _command(commands, "replay", _replay, "write spans into any sink")
    _add_source(replay)
    replay.add_argument("--to", required=True, metavar="SINK", help="as `TRACE_SINKS` names it")
    _command(commands, "doctor", _doctor, "what is installed, configured, waiting and lost")
    _add_spool_commands(_group(commands, "spool", "what waits on disk"))
    return parser


def _add_spool_commands(commands: Any) -> None:
    _with_folder(_command(commands, "ls", _spool_ls, "list what waits, per sink"))
    show = _with_folder(_command(commands, "show", _spool_show, "draw the traces that wait"))
    show.add_argument("--dead", action="store_true", help="the refused spans instead")
    out = _with_folder(_command(commands, "drain", _spool_drain, "deliver what is left behind"))
    out.add_argument("--to", metavar="SINK", help="where to, if not where it was meant to go")
    out.add_argument("--timeout", type=float, default=60.0, help="seconds (default: 60)")
    gc = _with_folder(_command(commands, "gc", _spool_gc, "remove what nobody needs"))
    gc.add_argument("--dead", action="store_true", help="the refused spans too")
    gc.add_argument("--damaged", action="store_true", help="what could not be read too")


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)
    return parser


def _group(commands: Any, name: str, about: str) -> Any:
    parser = commands.add_parser(name, help=about, description=about)
    return parser.add_subparsers(required=True, metavar="COMMAND")


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        default=_DEFAULT_FILE,
        help="a file of JSON lines, or a spool's folder (default: traces.jsonl)",
    )


def _with_folder(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--dir", type=Path, help="the spool's folder (default: TRACE_SPOOL_DIR)")
    return parser


def _root(options: argparse.Namespace) -> Path:
    return Path(setting("TRACE_SPOOL_DIR", options.dir) or default_spool_dir())


def _say(text: str) -> None:
    print_to(sys.stdout, text + "\n")


def _say_json(value: object) -> None:
    _say(json.dumps(value, default=str))


def _show(options: argparse.Namespace) -> int:
    return _draw(read_spans(options.source), options, options.trace, options.last)


def _draw(
    spans: Iterable[Span], options: argparse.Namespace, trace: str | None = None, last: int = 20
) -> int:
    traces = {key: found for key, found in by_trace(spans).items() if key.startswith(trace or "")}
    chosen = dict(list(traces.items())[-last:])
    if options.json:
        _say_json({key: [to_dict(span) for span in found] for key, found in chosen.items()})
        return 0
    paint = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for key, found in chosen.items():
        _say(f"trace {key}")
        for line, span in tree_lines(found):
            _say("  " + (coloured(line, span) if paint else line))
    if not chosen:
        _say("no traces found")
    return 0


def _tail(options: argparse.Namespace) -> int:
    found = follow(options.source) if options.follow else read_spans(options.source)
    for span in found:
        _say(encode(span).decode() if options.json else summary(span))
    return 0


def _stats(options: argparse.Namespace) -> int:
    rows = statistics(read_spans(options.source), options.by)
    _say_json(rows) if options.json else _say(table(rows))
    return 0


def _replay(options: argparse.Namespace) -> int:
    sink = load_sink(options.to)
    count, batch = 0, []
    total = count_spans(options.source)
    with progress("replaying", total, shown=not options.json) as tell:
        for span in read_spans(options.source):
            batch.append(span)
            if len(batch) == _BATCH:
                sink.write(batch)
                count, batch = count + len(batch), []
                tell(count)
        sink.write(batch)
        tell(count + len(batch))
    done = sink.flush(60.0)
    sink.close(60.0)
    result = {"replayed": count + len(batch), "delivered": done}
    _say_json(result) if options.json else _say(f"replayed {result['replayed']} spans")
    return 0 if done else 1


def _spool_ls(options: argparse.Namespace) -> int:
    rows = [_row(folder) for folder in folders_in(_root(options))]
    if options.json:
        _say_json(rows)
    else:
        _say(table(rows) if rows else f"nothing in {_root(options)}")
    return 0


def _row(folder: Folder) -> dict[str, Any]:
    row = attrs.asdict(folder)
    return {"key": row.pop("key"), **row, "path": str(row["path"])}


def _spool_show(options: argparse.Namespace) -> int:
    root = _root(options)
    if not options.dead:
        return _draw(read_spans(root) if root.is_dir() else (), options)
    letters = [(f.key, letter) for f in folders_in(root) for letter in DeadLetters(f.path)]
    if options.json:
        rows = [{"key": k, "reason": one.reason, "span": to_dict(one.span)} for k, one in letters]
        _say_json(rows)
    for _, letter in () if options.json else letters:
        _say(f"{summary(letter.span)}  refused: {letter.reason}")
    return 0


def _spool_drain(options: argparse.Namespace) -> int:
    results: dict[str, Any] = {}
    for folder in folders_in(_root(options)):
        if folder.waiting:
            results[folder.key] = _drain_one(folder, options)
    if options.json:
        _say_json(results)
    for key, result in () if options.json else results.items():
        _say(f"{key}: {', '.join(f'{count} {what}' for what, count in result.items())}")
    if not results and not options.json:
        _say("nothing waits")
    return 1 if any(result["waiting"] for result in results.values()) else 0


def _drain_one(folder: Folder, options: argparse.Namespace) -> dict[str, Any]:
    try:
        sink = load_sink(options.to or folder.key)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"say with --to where the spans of {folder.key!r} go: {error}"
        ) from error
    with progress(f"draining {folder.key}", folder.waiting, shown=not options.json) as tell:
        return drain(folder, sink, timeout=options.timeout, progress=tell)


def _spool_gc(options: argparse.Namespace) -> int:
    removed = collect_garbage(_root(options), dead=options.dead, damaged=options.damaged)
    if options.json:
        _say_json([str(path) for path in removed])
    else:
        _say("\n".join(f"removed {path}" for path in removed) or "nothing to remove")
    return 0


DOCTOR_GROUP: Final = "trace_core.doctor"
"""Entry points of other packages: functions that return a line about their own state."""
_PACKAGES: Final = ("trace-core", "trace-litellm", "trace-mlflow-sink", "litellm", "mlflow")


def _doctor(options: argparse.Namespace) -> int:
    root = Path(_checked("TRACE_SPOOL_DIR") or default_spool_dir())
    findings: dict[str, Any] = {
        "python": platform.python_version(),
        "installed": {name: _version(name) for name in _PACKAGES},
        "sinks": {name: _loads(name) for name in sink_names()},
        "checks": {p.name: _check(p) for p in entry_points(group=DOCTOR_GROUP)},
        "environment": {name: _checked(name) for name in VARIABLES if name in os.environ},
        "spool": str(root),
        "waiting": {folder.key: folder.waiting for folder in folders_in(root)},
        "refused": {folder.key: folder.dead for folder in folders_in(root) if folder.dead},
        "damaged": {folder.key: folder.damaged for folder in folders_in(root) if folder.damaged},
    }
    if options.json:
        _say_json(findings)
        return 0
    for name, value in findings.items():
        _say(f"{name}: {value}" if not isinstance(value, dict) else f"{name}:")
        for key, item in value.items() if isinstance(value, dict) else ():
            _say(f"  {key}: {item if item is not None else 'no'}")
    return 0


def _check(point: EntryPoint) -> str:
    """Ask a package what it finds; that its answer fails is an answer too."""
    try:
        return without_secrets(point.load()())
    except Exception as error:
        return without_secrets(f"failed: {type(error).__name__}: {error}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _loads(name: str) -> str:
    (point, *_) = entry_points(group=GROUP, name=name)
    try:
        point.load()
    except (ImportError, AttributeError) as error:
        return without_secrets(f"cannot be imported: {error}")
    return "ok"


def _checked(name: str) -> Any:
    try:
        found = setting(name)
    except ConfigurationError as error:
        return without_secrets(f"wrong: {error}")
    # such as a password in the address of a sink
    return without_secrets(found) if isinstance(found, str) else found
