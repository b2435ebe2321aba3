"""The argument of all commands that read: where the spans are."""

from __future__ import annotations

import argparse
import sys
from functools import cache

from trace_core._cli.draw import Problems, note
from trace_core._errors import ConfigurationError
from trace_core._sources.base import SourceBase
from trace_core._sources.configuration import default_source, load_source


def add_source(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the argument.

    Args:
        parser: The command's.
        several: Whether more than one may be given.
    """
    parser.add_argument(
        "source",
        nargs="*" if several else "?",
        metavar="SOURCE",
        help="a file of JSON lines or dead letters, a spool's folder, or a store as in "
        "TRACE_SINKS: mlflow, mlflow:http://HOST:5000?experiment=NAME (default: where traces go)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--experiment", metavar="NAME", help="of MLflow (default: the one that traces go to)"
    )
    chosen.add_argument("--all-experiments", action="store_true", help="all of MLflow's")


def source_of(
    options: argparse.Namespace, problems: Problems, *, may_be_empty: bool = False
) -> SourceBase:
    """Return the source that was named, or the default one.

    Args:
        options: The command's.
        problems: Told of what cannot be read.
        may_be_empty: Whether the source need not be there yet.

    Raises:
        ConfigurationError: There is no such source.
    """
    if options.source is None:
        source = default_source()
    else:
        source = _named(options.source, may_be_empty=may_be_empty)
    if options.experiment is not None or options.all_experiments:
        source.choose_experiment(options.experiment)
    if sys.stderr.isatty():
        if source.place != options.source:
            note(f"reading {source.place}")
        source.remark = cache(note)  # once, however often it is read
    source.problem = problems
    return source


def _named(spec: str, *, may_be_empty: bool) -> SourceBase:
    try:
        return load_source(spec)
    except ConfigurationError:
        if may_be_empty and ":" not in spec:
            if sys.stderr.isatty():
                note(f"{spec} is not there yet: waiting for it")
            return load_source(f"jsonl:{spec}")
        raise
