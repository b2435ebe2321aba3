"""``doctor``: whether spans can be made and stored, what is set wrongly, what waits and is lost."""

from __future__ import annotations

import argparse
import os
import platform
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Final

import attrs

from trace_core._cli import draw
from trace_core._cli.draw import Problems, say, say_json
from trace_core._cli.parser import seconds
from trace_core._cli.probe import probe
from trace_core._cli.tables import paints, width
from trace_core._configuration import GROUP, default_spec, load_sink, sink_names, split_specs
from trace_core._errors import ConfigurationError, TraceError
from trace_core._log import counted, without_secrets
from trace_core._printable import printable
from trace_core._settings import VARIABLES, setting, unknown_settings
from trace_core._sinks.files import first_existing
from trace_core._spool.folders import default_spool_dir
from trace_core._spool.reader import Folder, folders_in

DOCTOR_GROUP: Final = "trace_core.doctor"
"""Entry points of other packages: functions that return a line about the package's state."""
_PACKAGES: Final = (
    *("trace-core", "trace-litellm", "trace-mlflow-sink", "trace-nats", "trace-otlp-sink"),
    *("litellm", "mlflow", "rich"),
)
_MARKS: Final = {"ok": ("✓", "32"), "note": ("•", "33"), "problem": ("✗", "31")}
_NARROWEST: Final = 20


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Args:
        state: ``ok``, ``note`` or ``problem``.
        about: What it is about.
        text: What was found, and what to do.
    """

    state: str
    about: str
    text: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser: The command's.
    """
    parser.add_argument("--write", action="store_true", help="write a trace and read it back")
    parser.add_argument("--offline", action="store_true", help="connect to nothing")
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", default=5.0,
        help="how long a sink may take (default: 5)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print what was found; the exit status is 1 if anything is wrong."""
    findings: list[Finding] = []
    paint = paints()
    if not options.json:
        _say("•", " · ".join(f"{name} {found}" for name, found in _installed().items() if found))
    for finding in _findings(options):
        findings.append(finding)
        if not options.json:  # at once: a sink that is away takes its time
            mark, colour = _MARKS[finding.state]
            shown = f"\x1b[{colour}m{mark}\x1b[0m" if paint else mark
            _say(shown, printable(f"{finding.about}: {finding.text}"))
    if options.json:
        rows = [attrs.asdict(finding) for finding in findings]
        say_json({"installed": _installed(), "findings": rows, **_state()})
    return int(any(finding.state == "problem" for finding in findings))


def _say(mark: str, text: str) -> None:
    room = width()
    lines = [text] if room is None else textwrap.wrap(text, max(_NARROWEST, room - 2))
    say("\n".join([f"{mark} {lines[0]}", *(f"  {line}" for line in lines[1:])]))


def _installed() -> dict[str, str | None]:
    return {"Python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _state() -> dict[str, Any]:
    root = _spool_root()
    folders = folders_in(root, lambda _place, _error: None)
    return {
        "environment": {name: _value(name) for name in VARIABLES if name in os.environ},
        "spool": str(root),
        "waiting": {folder.key: folder.waiting for folder in folders},
        "refused": {folder.key: folder.dead for folder in folders if folder.dead},
        "damaged": {folder.key: folder.damaged for folder in folders if folder.damaged},
    }


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    yield from _settings()
    for point in entry_points(group=DOCTOR_GROUP):
        yield _guarded(point.name, partial(_ask, point))
    yield from (f for name in sink_names() if (f := _import(name)) is not None)
    ours: set[str] = set()
    yield from _sinks(options, ours)
    yield from _spool(ours)


def _ask(point: EntryPoint) -> str:
    return str(point.load()())


def _guarded(about: str, look: Callable[[], str]) -> Finding:
    """Look at something; that it cannot be looked at is an answer too."""
    try:
        return Finding("ok", about, without_secrets(look()))
    except TraceError as error:
        return Finding("problem", about, without_secrets(error))
    except Exception as error:
        return Finding("problem", about, without_secrets(f"{type(error).__name__}: {error}"))


def _settings() -> Iterator[Finding]:
    for name in VARIABLES:
        if name not in os.environ:
            continue
        if not os.environ[name].strip():
            yield Finding("note", name, "is set and empty, which is as if it were not set")
            continue
        try:
            setting(name)
        except ConfigurationError as error:
            yield Finding("problem", name, without_secrets(error))
        else:
            yield Finding("ok", name, str(_value(name)))
    for name, meant in unknown_settings().items():
        if meant is None:
            yield Finding("note", name, "is no setting of ours; if it is meant to be: see Settings")
        else:
            yield Finding("problem", name, f"is no setting; did you mean {meant}?")


def _value(name: str) -> Any:
    try:
        found = setting(name)
    except ConfigurationError as error:
        return without_secrets(error)
    # such as a password in the address of a sink
    return without_secrets(found) if isinstance(found, (str, Path)) else found


def _import(name: str) -> Finding | None:
    (point, *_) = entry_points(group=GROUP, name=name)
    try:
        point.load()
    except Exception as error:
        text = f"cannot be imported: {type(error).__name__}: {error}"
        return Finding("problem", f"sink {name}", without_secrets(text))
    return None


def _sinks(options: argparse.Namespace, keys: set[str]) -> Iterator[Finding]:
    """Look at the sinks that are used here, and collect the keys of their spools."""
    if _value("TRACE_DISABLED") is True:
        yield Finding("note", "tracing", "is turned off by TRACE_DISABLED")
    named = os.environ.get("TRACE_SINKS", "").strip()
    for spec in split_specs(named) or [default_spec()]:
        about = f"sink {without_secrets(spec)}" + ("" if named else ", by default")
        yield _guarded(about, partial(_sink, spec, options, keys))


def _sink(spec: str, options: argparse.Namespace, keys: set[str]) -> str:
    sink = load_sink(spec)
    keys.add(sink.spool_key)
    try:
        parts = [f"spans go to {sink.place}"]
        if not options.offline:
            parts += filter(None, [sink.check(options.timeout)])
        if options.write:
            parts.append(probe(sink, spec, options.timeout))
        if sink.viewing:
            parts.append(f"look at them by: {sink.viewing}")
        return "; ".join(parts)
    finally:
        sink.close(options.timeout)


def _spool_root() -> Path:
    try:
        return Path(setting("TRACE_SPOOL_DIR") or default_spool_dir())
    except ConfigurationError:
        return default_spool_dir()


def _spool(ours: set[str]) -> Iterator[Finding]:
    root = _spool_root()
    yield _guarded("spool", lambda: _writable(root))
    problems = Problems()
    folders = folders_in(root, problems)
    for folder in sorted(folders, key=lambda folder: folder.key not in ours):
        yield from _folder(folder, is_ours=folder.key in ours)
    if problems.found:
        yield Finding("problem", "spool", "a part of it cannot be read, as said above")


def _writable(root: Path) -> str:
    if not os.access(first_existing(root), os.W_OK):
        raise PermissionError(f"{root} cannot be written: spans would be kept in memory only")
    return f"undelivered spans are kept in {root}"


def _folder(folder: Folder, *, is_ours: bool) -> Iterator[Finding]:
    """Say what is left in a folder; what other programs left there is no fault of this one.

    Args:
        folder: One sink's folder.
        is_ours: Whether the sink is one that is used here.
    """
    key = without_secrets(folder.key)
    about = f"spool for {key}" if is_ours else f"spool of other programs, for {key}"
    bad = "problem" if is_ours else "note"
    program = draw.program
    if folder.waiting:
        advice = f"'{program} spool drain' delivers them now"
        if folder.alive:
            advice = "a program that runs delivers them"
        waiting = counted(folder.waiting, "span")
        yield Finding("note", about, f"{waiting} not delivered yet, in {folder.path}; {advice}")
    if folder.dead:
        dead = counted(folder.dead, "refused span")
        yield Finding(bad, about, f"{dead}; '{program} spool show --dead' says why")
    if folder.damaged:
        damaged = counted(folder.damaged, "damaged file")
        yield Finding(bad, about, f"{damaged} in {folder.path}")
