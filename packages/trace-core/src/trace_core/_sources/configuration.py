"""Makes sources from their specifications, which are those of sinks, or paths.

A package offers sources through the entry-point group ``trace_core.sources``: a name, and a
function that takes what follows the name's colon and returns a `SourceBase`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, cast

from trace_core import _arguments as arguments
from trace_core._configuration import known_sinks, split_specs, suggestion, unescaped
from trace_core._errors import ConfigurationError
from trace_core._settings import setting
from trace_core._sources.base import SourceBase
from trace_core._sources.files import FileSource

GROUP: Final = "trace_core.sources"
DEFAULT_FILE: Final = "traces.jsonl"


def jsonl_source(target: str) -> SourceBase:
    """Make the source of ``jsonl:PATH``; ``traces.jsonl`` without a path."""
    return FileSource(arguments.at_home(target or DEFAULT_FILE, "path"))


def source_names() -> tuple[str, ...]:
    """Return the names of the sources that are installed, sorted."""
    return tuple(sorted(entry_points(group=GROUP).names))


def load_source(spec: str) -> SourceBase:
    """Make a source from its specification.

    Args:
        spec: The path of a file of JSON lines or of a spool, or what names a sink that can be
            read again: ``jsonl:PATH``, ``mlflow``, ``mlflow:http://127.0.0.1:5000?experiment=X``.

    Raises:
        ConfigurationError: There is no such file, and no such source.
    """
    arguments.instance(spec, str, "the specification of a source")
    name, colon, target = spec.partition(":")
    found = entry_points(group=GROUP, name=name)
    if found and (colon or not Path(spec).exists()):
        return _load(next(iter(found)), unescaped(target))
    if Path(spec).exists():
        return FileSource(Path(spec))
    if not colon and ("/" in spec or "." in spec):
        raise ConfigurationError(
            f"{spec} is neither a file of JSON lines nor a spool's folder: there is no such file"
        )
    known = source_names()
    raise ConfigurationError(
        f"cannot read {spec!r}{suggestion(spec, known)}; "
        f"wanted a file, a spool's folder or one of {', '.join(known)}"
    )


def _load(point: EntryPoint, target: str) -> SourceBase:
    try:
        factory = cast("Callable[[str], SourceBase]", point.load())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"source {point.name!r} cannot be imported: {error}") from error
    return factory(target)


def default_source() -> SourceBase:
    """Return what reads the place where spans go by default.

    That is the first sink of ``TRACE_SINKS`` that can be read again; without that variable the
    first source that holds anything, ``traces.jsonl`` last.

    Raises:
        ConfigurationError: There is nothing that can be read.
    """
    named = str(setting("TRACE_SINKS"))
    names = source_names()
    if named:
        for spec in split_specs(named):
            if spec.partition(":")[0] in names:
                return load_source(spec)
        raise ConfigurationError(_unreadable(named))
    found = [load_source(name) for name in sorted(names, key=lambda name: name == "jsonl")]
    for source in found:
        if not source.is_empty:
            return source
    places = " nor ".join(source.place for source in found)
    raise ConfigurationError(
        f"nothing is recorded here yet: there is neither {places}. Run a program that is traced, "
        "or say where its traces are: a file, a spool's folder, or a store such as mlflow:http://…"
    )


def _unreadable(named: str) -> str:
    """Say why what ``TRACE_SINKS`` names cannot be read: wrong, or not a store."""
    known = known_sinks()
    for spec in split_specs(named):
        if spec.partition(":")[0] not in known:
            return f"TRACE_SINKS={named!r}: unknown sink {spec!r}{suggestion(spec, known)}"
    return (
        f"what TRACE_SINKS={named!r} wrote cannot be read again; name a file, "
        f"or one of {', '.join(source_names())}"
    )
