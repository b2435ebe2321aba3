"""The sink: sorts spans by destination and hands them to the writer for it."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlencode

import attrs

from trace_core import Bridge, ConfigurationError, Rejected, SinkBase, Span, after_fork
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._bisect import Refused
from trace_mlflow_sink._bridge.bridge import MlflowBridge
from trace_mlflow_sink._database import StoreWriter
from trace_mlflow_sink._databricks import ManagedWriter
from trace_mlflow_sink._mapping import chat_view as _messages
from trace_mlflow_sink._mapping import names as _keys
from trace_mlflow_sink._server.writer import ServerWriter

_SERVER_EXIT_SECONDS: Final = 3.5
_DATABASE_EXIT_SECONDS: Final = 30.0


class _Writer(Protocol):
    def write(
        self, where: _where.Destination, spans: Sequence[Span]
    ) -> list[tuple[Span, Refused]]: ...

    def known_experiment(self, name: str) -> str | None: ...

    def close(self) -> None: ...


def _is_wanted(span: Span) -> bool:
    """Leave out spans still open, and what MLflow was told not to trace.

    An open span would be stored as a finished one that ended in 1970.
    """
    said = span.attributes
    automatic = span.scope.name.startswith(_keys.AUTOMATIC)
    off = said.get(_keys.DISABLED) or (automatic and said.get(_keys.AUTOLOG_DISABLED))
    return bool(span.end_ns) and not off and (bool(said.get(_keys.LIVE)) or _is_sampled(span))


def _is_sampled(span: Span, environ: Mapping[str, str] = os.environ) -> bool:
    """Apply MLFLOW_TRACE_SAMPLING_RATIO to whole traces, by their id, as MLflow does."""
    try:
        ratio = float(environ.get("MLFLOW_TRACE_SAMPLING_RATIO") or 1.0)
    except ValueError:
        return True
    return int(span.trace_id[16:], 16) < ratio * 2**64


class MlflowSink(SinkBase):
    """Writes finished spans into MLflow Tracing. Thread-safe; meant to run behind a queue.

    Making one does no I/O and does not import MLflow. What is not given is decided for each call
    anew: by what ``mlflow.set_tracking_uri`` and ``mlflow.set_experiment`` said when it was made,
    then by ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME`` and ``MLFLOW_EXPERIMENT_ID``, then
    by MLflow's default, ``sqlite:///mlflow.db`` in the folder the program was started in.

    Args:
        tracking_uri: A server (``http://127.0.0.1:5000``), a database (``sqlite:///mlflow.db``)
            or ``databricks``.
        experiment: The experiment's name; made at the first write if there is none.
        experiment_id: Its id instead of its name.
        timeout: Seconds a server's answer may take.
        default_uri: Where calls go of which MLflow said nothing, instead of
            ``MLFLOW_TRACKING_URI``.

    Raises:
        ConfigurationError: An argument makes no sense, or needs MLflow and it is not installed.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        *,
        experiment_id: str | int | None = None,
        timeout: float = 10.0,
        default_uri: str | None = None,
    ) -> None:
        if experiment is not None and experiment_id is not None:
            raise ConfigurationError("give experiment or experiment_id, not both")
        for uri in (tracking_uri, default_uri):
            if uri is not None:
                _where.check_uri(uri)
        if not (math.isfinite(timeout) and timeout > 0):
            raise ConfigurationError(f"timeout={timeout!r}; wanted seconds, more than 0")
        self._timeout = timeout
        self._chooser = _where.Chooser(
            tracking_uri,
            experiment,
            None if experiment_id is None else str(experiment_id),
            _where.current_folder(),
            default_uri,
        )
        self._writers: dict[str, _Writer] = {}
        self._lock = threading.Lock()
        after_fork(self._renew_lock)
        self._bridge = MlflowBridge(self._chooser, self._known_experiment)
        self.bridges: tuple[Bridge, ...] = (self._bridge,)
        """Nesting with MLflow's own tracing; a `trace_core.Tracer` picks them up."""

    @classmethod
    def from_spec(cls, target: str = "") -> MlflowSink:
        """Make the sink of ``mlflow:TARGET``.

        Args:
            target: A tracking URI, options after a question mark, both or neither, such as
                ``http://127.0.0.1:5000?experiment=LiteLLM&timeout=5``.

        Raises:
            ConfigurationError: It cannot be read, or `MlflowSink` refuses it.
        """
        options = _where.parse_spec(target)
        seconds = options.pop("timeout", "10")
        try:
            timeout = float(seconds)
        except ValueError:
            raise ConfigurationError(f"sink mlflow: timeout={seconds!r} is no number") from None
        return cls(timeout=timeout, **options)

    @property
    def exit_timeout(self) -> float:
        """Seconds the drain at exit may take: longer for a database, which may need making."""
        uri = self._chooser.choose_uri()
        return _SERVER_EXIT_SECONDS if _where.is_server(uri) else _DATABASE_EXIT_SECONDS

    @property
    def spool_key(self) -> str:
        """What a spool knows this sink by: the specification that makes it again, no password."""
        chooser = self._chooser
        uri = _where.without_secret(chooser.choose_uri())
        named = {
            "default_uri": uri if chooser.uri is None else None,
            "experiment": chooser.experiment,
            "experiment_id": chooser.experiment_id,
        }
        given = {name: value for name, value in named.items() if value is not None}
        options = urlencode(given, safe=":/")
        target = uri if chooser.uri is not None else ""
        return f"mlflow:{target}?{options}" if options else f"mlflow:{target}"

    def __repr__(self) -> str:
        uri = self._chooser.uri
        shown = None if uri is None else _where.without_secret(uri)
        return f"MlflowSink(tracking_uri={shown!r}, experiment={self._chooser.experiment!r})"

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch; returns when MLflow has it.

        Raises:
            Rejected: MLflow will never take some of the spans; the others are written.
            SinkError: Nothing is known to be written; try again later.
        """
        with self._lock:
            refused = self._write(spans)
        self._bridge.sweep()
        if refused:
            raise Rejected(str(refused[0][1]), [span for span, _ in refused])

    def _write(self, spans: Sequence[Span]) -> list[tuple[Span, Refused]]:
        wanted = [self._completed(span) for span in spans if _is_wanted(span)]
        refused: list[tuple[Span, Refused]] = []
        failure: Exception | None = None
        for where, group in self._sorted(wanted).items():
            try:
                refused += self._writer(where).write(where, group)
            except Rejected as error:
                refused += [(span, Refused(str(error))) for span in group]
            except Exception as error:  # the other destinations need not wait for this one
                failure = failure or error
        if failure is not None:
            raise failure
        for root in (span for span in wanted if span.parent_id is None):
            self._bridge.forget(root.trace_id)
        return refused

    def _completed(self, span: Span) -> Span:
        """Add to a root what ``mlflow.update_current_trace`` said while it was open."""
        added = self._bridge.additions(span.trace_id) if span.parent_id is None else {}
        if not added:
            return span
        said = dict(span.attributes)
        for key, values in added.items():
            said[key] = {**_messages.as_object(said.get(key)), **_messages.as_object(values)}
        return attrs.evolve(span, attributes=said)

    def _known_experiment(self) -> str | None:
        """Return the id of the experiment named by an argument, if it has been looked up."""
        chooser = self._chooser
        if chooser.experiment is None:
            return chooser.experiment_id
        writer = self._writers.get(chooser.choose_uri())
        return writer.known_experiment(chooser.experiment) if writer is not None else None

    def _sorted(self, spans: Sequence[Span]) -> Mapping[_where.Destination, list[Span]]:
        """Group spans by destination; one trace goes to one, that of its root if it is here."""
        of_trace: dict[str, _where.Destination] = {}
        for span in sorted(spans, key=lambda span: span.parent_id is not None):
            if span.trace_id not in of_trace:
                of_trace[span.trace_id] = self._chooser.choose(span)
        groups: dict[_where.Destination, list[Span]] = {}
        for span in spans:
            groups.setdefault(of_trace[span.trace_id], []).append(span)
        return groups

    def _writer(self, where: _where.Destination) -> _Writer:
        writer = self._writers.get(where.uri)
        if writer is None:
            writer = self._make_writer(where.uri)
            self._writers[where.uri] = writer
        return writer

    def _make_writer(self, uri: str) -> _Writer:
        try:
            _where.check_uri(uri)
        except ConfigurationError as error:
            raise Rejected(str(error)) from error
        if _where.is_server(uri):
            return ServerWriter(uri, self._timeout)
        if _where.is_managed(uri):
            return ManagedWriter(uri)
        return StoreWriter(uri, self._chooser.folder)

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Do nothing: what was written is in MLflow."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Close connections and databases; a second call does nothing."""
        with self._lock:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
