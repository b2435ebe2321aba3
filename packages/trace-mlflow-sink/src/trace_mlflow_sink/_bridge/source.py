"""Finds out what MLflow notes of the program that makes a trace: its file, user and git commit.

Git is asked by a program of its own, which takes some 10 ms, so it is done once and on a thread.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from trace_core import Span, after_fork
from trace_mlflow_sink._bridge.mlflow_api import guarded
from trace_mlflow_sink._mapping import names

_GIT_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 10.0
_GIT: Final = {
    "mlflow.source.git.commit": ("rev-parse", "HEAD"),
    "mlflow.source.git.branch": ("symbolic-ref", "--short", "HEAD"),
    "mlflow.source.git.repoURL": ("remote", "get-url", "origin"),
}


class Source:
    """What is known of this program; looked for once."""

    def __init__(self) -> None:
        self.known: Mapping[str, str] | None = None
        """Names and texts of the trace's metadata; ``None`` until they are known."""
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Start looking, unless somebody has. Returns at once."""
        if self._thread is not None or not self._starting.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._look, name="trace-source", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had now; perhaps for the next call
            self._starting.release()
            return
        self._thread = thread

    def _look(self) -> None:
        self.known = _of_mlflow() or _of_program()

    def of(self, span: Span) -> Mapping[str, str]:
        """Return what is known of the program that made a span; nothing if that is another one.

        Args:
            span: A span that did not bring it along. Not for the caller's thread: it may wait.
        """
        if span.resource.get("process.pid") != os.getpid():
            return {}
        if self.known is None and self._thread is not None:
            self._thread.join(_WAIT_SECONDS)
        return self.known or {}


source: Final = Source()


@guarded(None)
def _of_mlflow() -> Mapping[str, str] | None:
    """Ask MLflow, which knows notebooks and plug-ins, where the program has imported it."""
    module = sys.modules.get("mlflow")
    if module is None or getattr(module.__spec__, "_initializing", False):
        return None
    from mlflow.tracing.utils.environment import resolve_env_metadata

    found: Mapping[str, str] = resolve_env_metadata()
    return {name: str(value) for name, value in found.items() if value}


def _of_program() -> Mapping[str, str]:
    found = {
        names.METADATA_PROGRAM: sys.argv[0] if sys.argv and sys.argv[0] else "<console>",
        names.METADATA_PROGRAM_TYPE: "LOCAL",
        names.METADATA_PROGRAM_USER: _user(),
        **{name: _git(*command) for name, command in _GIT.items()},
    }
    return {name: value for name, value in found.items() if value}


def _user() -> str:
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's user without a name
        return "unknown"


def _git(*command: str) -> str:
    """Return what git prints, without credentials; nothing if it cannot be asked."""
    try:
        done = subprocess.run(  # noqa: S603  # our own arguments
            ("git", *command),  # noqa: S607  # whichever git the user has
            capture_output=True,
            check=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        return ""
    return _without_credentials(done.stdout.decode(errors="replace").strip())


def _without_credentials(text: str) -> str:
    parsed = urlsplit(text)
    if not parsed.scheme or "@" not in parsed.netloc:
        return text
    return urlunsplit(parsed._replace(netloc=parsed.netloc.rpartition("@")[2]))
