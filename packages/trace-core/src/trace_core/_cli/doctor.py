"""``trace-core doctor``: what is installed, configured, waiting and lost."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Final

from trace_core._cli.draw import Problems, say, say_json
from trace_core._configuration import GROUP, sink_names
from trace_core._errors import ConfigurationError
from trace_core._log import without_secrets
from trace_core._settings import VARIABLES, setting
from trace_core._sinks.console import printable
from trace_core._spool.folders import default_spool_dir
from trace_core._spool.reader import folders_in

DOCTOR_GROUP: Final = "trace_core.doctor"
"""Entry points of other packages: functions that return a line about the package's state."""
_PACKAGES: Final = (
    "trace-core",
    "trace-litellm",
    "trace-mlflow-sink",
    "trace-nats",
    "trace-otlp-sink",
    "litellm",
    "mlflow",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""


def run(options: argparse.Namespace) -> int:
    """Print what is installed, configured, waiting and lost."""
    findings = _findings(Problems())
    if options.json:
        say_json(findings)
        return 0
    for name, value in findings.items():
        if not isinstance(value, dict):
            say(f"{name}: {printable(str(value))}")
            continue
        say(f"{name}:")
        for key, item in value.items():
            say(printable(f"  {key}: {item if item is not None else 'no'}"))
    return 0


def _findings(problems: Problems) -> dict[str, Any]:
    root = Path(_checked("TRACE_SPOOL_DIR") or default_spool_dir())
    folders = folders_in(root, problems)
    return {
        "python": platform.python_version(),
        "installed": {name: _version(name) for name in _PACKAGES},
        "sinks": {name: _loads(name) for name in sink_names()},
        "checks": {p.name: _check(p) for p in entry_points(group=DOCTOR_GROUP)},
        "environment": {name: _checked(name) for name in VARIABLES if name in os.environ},
        "spool": str(root),
        "waiting": {folder.key: folder.waiting for folder in folders},
        "refused": {folder.key: folder.dead for folder in folders if folder.dead},
        "damaged": {folder.key: folder.damaged for folder in folders if folder.damaged},
    }


def _check(point: EntryPoint) -> str:
    """Ask a package about itself; a failure of that is an answer too."""
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
