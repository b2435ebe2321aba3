"""``trace-core spool``: list, show, deliver and remove what waits on disk."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from trace_core._cli.draw import Problems, complain, draw_traces, say, say_json
from trace_core._cli.progress import progress
from trace_core._cli.tables import say_table
from trace_core._configuration import load_sink
from trace_core._errors import ConfigurationError
from trace_core._log import without_secrets
from trace_core._model.json import to_dict
from trace_core._printable import printable
from trace_core._settings import setting
from trace_core._sinks.console import by_trace, summary
from trace_core._spool.deadletters import DeadLetter, DeadLetters
from trace_core._spool.folders import default_spool_dir, folder_name
from trace_core._spool.reader import Folder, collect_garbage, drain, folders_in, read_spans

_SHOWN: Final = 20
"""Traces that are drawn."""


def _root(options: argparse.Namespace) -> Path:
    if options.dir is not None and not options.dir.is_dir():
        raise ConfigurationError(f"there is no folder {printable(str(options.dir))}")
    return Path(setting("TRACE_SPOOL_DIR", options.dir) or default_spool_dir())


def ls(options: argparse.Namespace) -> int:
    """List the folders, one for each sink."""
    root, problems = _root(options), Problems()
    rows = [_row(folder) for folder in folders_in(root, problems)]
    if options.json:
        say_json(rows)
    elif rows:
        cells = [{key: str(value) for key, value in row.items() if key != "path"} for row in rows]
        say_table(cells)
        say(f"in {printable(str(root))}")
    else:
        say(f"nothing in {printable(str(root))}")
    return int(problems.found)


def _row(folder: Folder) -> dict[str, Any]:
    row = attrs.asdict(folder)
    return {"key": row.pop("key"), **row, "path": str(row["path"])}


def show(options: argparse.Namespace) -> int:
    """Draw the traces that wait, or list the dead letters."""
    root, problems = _root(options), Problems()
    if options.dead:
        _show_dead(list(_dead_letters(root, problems)), as_json=options.json)
    else:
        traces = by_trace(read_spans(root, problems) if root.is_dir() else ())
        if options.json:
            say_json({key: [to_dict(span) for span in found] for key, found in traces.items()})
        else:
            draw_traces([*traces.values()][-_SHOWN:])
    return int(problems.found)


def _dead_letters(root: Path, problems: Problems) -> Iterator[tuple[str, DeadLetter]]:
    for folder in folders_in(root, problems):
        try:
            yield from ((folder.key, letter) for letter in DeadLetters(folder.path))
        except (OSError, ValueError) as error:
            problems(folder.path, error)


def _show_dead(letters: list[tuple[str, DeadLetter]], *, as_json: bool) -> None:
    if as_json:
        rows = [{"key": k, "reason": one.reason, "span": to_dict(one.span)} for k, one in letters]
        say_json(rows)
        return
    for _, letter in letters:
        say(f"{summary(letter.span)}  refused: {printable(letter.reason)}")


def drain_all(options: argparse.Namespace) -> int:
    """Deliver what programs that have ended left behind.

    The exit status is 1 if spans still wait or a folder could not be read, 2 if it is not known
    where the spans of a folder go. Other folders are delivered all the same.
    """
    if options.to is not None:
        load_sink(options.to).close()  # a mistake in it is told once, not for each folder
    problems, unknown = Problems(), False
    results: dict[str, dict[str, Any]] = {}
    for folder in folders_in(_root(options), problems):
        if not folder.waiting:
            continue
        if folder_name(folder.key) != folder.path.name:  # a sink by that key has another folder
            copy = f"trace-core replay {shlex.quote(str(folder.path))} --to SINK"
            problems(folder.path, ConfigurationError(f"its file key is missing; `{copy}` works"))
            continue
        try:
            results[folder.key] = _drain(folder, options)
        except ConfigurationError as error:
            unknown = True
            complain(f"say with --to where the spans of {folder.key!r} go: {error}")
        except (OSError, ValueError) as error:
            problems(folder.path, error)
    _say_results(results, as_json=options.json, nothing=not (unknown or problems.found))
    waiting = any(result["waiting"] for result in results.values())
    return 2 if unknown else int(waiting or problems.found)


def _drain(folder: Folder, options: argparse.Namespace) -> dict[str, Any]:
    sink = load_sink(options.to or folder.key)
    what = f"draining {without_secrets(folder.key)}"
    with progress(what, folder.waiting, shown=not options.json) as tell:
        return drain(folder, sink, timeout=options.timeout, progress=tell)


def _say_results(results: dict[str, dict[str, Any]], *, as_json: bool, nothing: bool) -> None:
    if as_json:
        say_json(results)
        return
    for key, result in results.items():
        counts = ", ".join(f"{count} {what}" for what, count in result.items())
        say(f"{printable(key)}: {counts}")
    if not results and nothing:
        say("nothing waits")


def gc(options: argparse.Namespace) -> int:
    """Remove empty folders and, if asked to, dead letters and what could not be read."""
    root, problems = _root(options), Problems()
    removed = collect_garbage(root, problems, dead=options.dead, damaged=options.damaged)
    if options.json:
        say_json([str(path) for path in removed])
    else:
        lines = [f"removed {printable(str(path))}" for path in removed]
        say("\n".join(lines) or "nothing to remove")
    return int(problems.found)
