"""``report``: write one page of HTML about calls, which needs no network to be read."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Final

from trace_core._cli.draw import Problems, say, say_json
from trace_core._cli.filters import filter_of
from trace_core._cli.sources import source_of
from trace_core._errors import ConfigurationError
from trace_core._platform import BINARY
from trace_core._view import units

_MEGABYTE: Final = 1_000_000
_DEFAULT_MEGABYTES: Final = 25.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command but the source.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("report.html"),
        help="the file to write (default: report.html)",
    )  # fmt: skip
    parser.add_argument(
        "--max-size",
        type=float,
        default=_DEFAULT_MEGABYTES,
        metavar="MB",
        help="leave out messages of further traces beyond this (default: 25)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    from trace_core._report.page import report

    if not 0 <= options.max_size < math.inf:
        raise ConfigurationError(f"--max-size must be megabytes, got {options.max_size}")
    problems, wanted = Problems(), filter_of(options)
    source = source_of(options, problems)
    spans = list(source.spans(wanted.selection))
    page = report(
        spans,
        wanted=wanted.accepts,
        source=source.place,  # now that it is read, it knows which experiments
        filters=_filters(options),
        most_bytes=int(options.max_size * _MEGABYTE),
    )
    data = page.encode()
    _write(options.output, data)
    if options.json:
        say_json({"path": str(options.output), "bytes": len(data)})
    else:
        say(f"{options.output}: {len(data) / _MEGABYTE:.1f} MB; open it in a browser")
    return int(problems.found)


def _filters(options: argparse.Namespace) -> list[str]:
    """Say which calls the page is about; when they were, it says anyway."""
    said = {
        "models": ", ".join(options.model),
        "session": options.session,
        "user": options.user,
        "slower than": options.slower_than and units.seconds(options.slower_than),
        "dearer than": options.dearer_than and units.money(options.dearer_than),
        "with": options.grep and options.grep.pattern,
    }
    errors = ["errors"] if options.errors else []
    return errors + [f"{name} {value}" for name, value in said.items() if value]


def _write(path: Path, data: bytes) -> None:
    """Replace a file, readable for its owner alone: prompts and answers are in it."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _GUARDS, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, no path
        file.write(data)
    part.replace(path)


_GUARDS: Final = getattr(os, "O_NOFOLLOW", 0) | BINARY
