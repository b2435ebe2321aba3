"""The sink: sorts spans by destination and gives them to the writer for it."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlencode

import attrs

from trace_core import (
    Bridge,
    ConfigurationError,
    Rejected,
    SinkError,
    Span,
    Value,
    after_fork,
    setting,
)
from trace_core.otlp import without_credentials
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._bridge import span_processors
from trace_mlflow_sink._bridge.bridge import MlflowBridge
from trace_mlflow_sink._bridge.source import source
from trace_mlflow_sink._database import DatabaseWriter
from trace_mlflow_sink._databricks import DatabricksWriter
from trace_mlflow_sink._mapping import autolog_names, chat_view
from trace_mlflow_sink._mapping import names as _names
from trace_mlflow_sink._place import PlacedSink
from trace_mlflow_sink._server.writer import ServerWriter

_NAMES: Final = ("otel", "autolog")
_SERVER_EXIT_SECONDS: Final = 3.5
_DATABASE_EXIT_SECONDS: Final = 30.0


class _Writer(Protocol):
    def write(self, where: destination.Destination, spans: Sequence[Span]) -> None: ...

    def experiment_id(self, name: str) -> str | None: ...

    def close(self) -> None: ...


def _is_wanted(span: Span) -> bool:
    """Return whether a span is finished and MLflow was not told to leave it out.

    MLflow would store an open span as one that ended in 1970.
    """
    attributes = span.attributes
    automatic = span.scope.name.startswith(_names.AUTOMATIC)
    off = attributes.get(_names.DISABLED) or (automatic and attributes.get(_names.AUTOLOG_DISABLED))
    return (
        bool(span.end_ns) and not off and (bool(attributes.get(_names.LIVE)) or _is_sampled(span))
    )


def _is_sampled(span: Span, environ: Mapping[str, str] = os.environ) -> bool:
    """Apply MLFLOW_TRACE_SAMPLING_RATIO to whole traces, by their id, as MLflow does."""
    try:
        ratio = float(environ.get("MLFLOW_TRACE_SAMPLING_RATIO") or 1.0)
    except ValueError:
        return True
    return int(span.trace_id[16:], 16) < ratio * 2**64


def _with_additions(root: Span, added: Mapping[str, Value]) -> Span:
    """Add to a root span what ``mlflow.update_current_trace`` said while it was open."""
    if not added:
        return root
    attributes = dict(root.attributes)
    for key, values in added.items():
        before = chat_view.as_object(attributes.get(key))
        attributes[key] = {**before, **chat_view.as_object(values)}
    return attrs.evolve(root, attributes=attributes)


def _with_source(root: Span) -> Span:
    """Add what is known of the program by now, if that was not known when the call was made."""
    found = {} if _names.SOURCE in root.attributes else source.of(root)
    if not found:
        return root
    return attrs.evolve(root, attributes={**root.attributes, _names.SOURCE: found})


def _by_destination(
    chooser: destination.Chooser, spans: Sequence[Span]
) -> Mapping[destination.Destination, list[Span]]:
    """Group spans by destination; a trace goes to that of its root, if the root is here."""
    of_trace: dict[str, destination.Destination] = {}
    for span in sorted(spans, key=lambda span: span.parent_id is not None):
        if span.trace_id not in of_trace:
            of_trace[span.trace_id] = chooser.choose(span)
    groups: dict[destination.Destination, list[Span]] = {}
    for span in spans:
        groups.setdefault(of_trace[span.trace_id], []).append(span)
    return groups


class Unwritable(SinkError):
    """A tracking URI is of a kind that no spans can be written to."""


def _create_writer(uri: str, timeout: float, folder: Path) -> _Writer:
    try:
        destination.check_uri(uri)
    except ConfigurationError as error:
        raise Unwritable(str(error)) from error
    if destination.is_server(uri):
        return ServerWriter(uri, timeout)
    if destination.is_databricks(uri):
        return DatabricksWriter(uri)
    return DatabaseWriter(uri, folder)


class MlflowSink(PlacedSink):
    """Writes finished spans into MLflow Tracing. Thread-safe; meant to run behind a queue.

    Creating one does no I/O and does not import MLflow. What no argument says is decided for
    each call by what ``mlflow.set_tracking_uri`` and ``mlflow.set_experiment`` said when it was
    made, then by ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME`` and
    ``MLFLOW_EXPERIMENT_ID`` at that moment, then by MLflow's default, ``sqlite:///mlflow.db`` in
    the folder the program was started in.

    Args:
        tracking_uri: A server (``http://127.0.0.1:5000``), a database (``sqlite:///mlflow.db``)
            or ``databricks`` (experimental).
        experiment: The experiment's name; created at the first write if there is none.
        experiment_id: The experiment's id, instead of its name.
        timeout: Seconds a server's answer may take.
        names: ``otel`` names spans as OpenTelemetry does; ``autolog`` gives them the names, types
            and attributes of ``mlflow.litellm.autolog()``. ``TRACE_MLFLOW_NAMES`` by default.
        default_uri: The tracking URI for calls made while MLflow has none, instead of
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
        names: str | None = None,
        default_uri: str | None = None,
    ) -> None:
        destination.check_experiment(experiment, experiment_id)
        for uri in (tracking_uri, default_uri):
            if uri is not None:
                destination.check_uri(uri)
        if not (math.isfinite(timeout) and timeout > 0):
            raise ConfigurationError(f"timeout={timeout!r}; wanted seconds, more than 0")
        self._names = setting("TRACE_MLFLOW_NAMES", names)
        if self._names not in _NAMES:
            raise ConfigurationError(f"names={names!r}; wanted one of {', '.join(_NAMES)}")
        super().__init__(timeout)
        self._chooser = destination.Chooser(
            tracking_uri,
            experiment,
            None if experiment_id is None else str(experiment_id),
            destination.current_folder(),
            default_uri,
        )
        self._writers: dict[str, _Writer] = {}
        self._accepting: set[str] = set()
        self._renew_lock()
        after_fork(self._renew_lock)
        self._bridge = MlflowBridge(
            self._chooser,
            self._experiment_id,
            flush=self._flush_all,
            notes_source=bool(setting("TRACE_MLFLOW_SOURCE")),
        )
        self.bridges: tuple[Bridge, ...] = (self._bridge,)

    @classmethod
    def from_spec(cls, target: str = "") -> MlflowSink:
        """Create the sink of ``mlflow:TARGET``.

        Args:
            target: A tracking URI, options after a question mark, both or neither, such as
                ``http://127.0.0.1:5000?experiment=LiteLLM&timeout=5``.

        Raises:
            ConfigurationError: The target cannot be parsed, or `MlflowSink` refuses it.
        """
        options = destination.parse_spec(target)
        seconds = options.pop("timeout", "10")
        try:
            timeout = float(seconds)
        except ValueError:
            raise ConfigurationError(f"sink mlflow: timeout={seconds!r} is not a number") from None
        return cls(timeout=timeout, **options)

    def _now(self) -> destination.Destination:
        return self._chooser.choose_for(self._bridge.attributes())

    @property
    def exit_timeout(self) -> float:
        """Seconds that closing may take at exit: more for a database, which may have to be made."""
        uri = self._chooser.choose_uri()
        return _SERVER_EXIT_SECONDS if destination.is_server(uri) else _DATABASE_EXIT_SECONDS

    @property
    def spool_key(self) -> str:
        """The specification from which `load_sink` makes this sink, without a password."""
        chooser = self._chooser
        uri = without_credentials(chooser.choose_uri())
        options = {
            "default_uri": uri if chooser.uri is None else None,
            "experiment": chooser.experiment,
            "experiment_id": chooser.experiment_id,
            "names": None if self._names == _NAMES[0] else self._names,
        }
        given = {name: value for name, value in options.items() if value is not None}
        query = urlencode(given, safe=":/")
        target = uri.replace(",", "\\,") if chooser.uri is not None else ""
        return f"mlflow:{target}?{query}" if query else f"mlflow:{target}"

    def __repr__(self) -> str:
        uri = self._chooser.uri
        shown = None if uri is None else without_credentials(uri)
        return f"MlflowSink(tracking_uri={shown!r}, experiment={self._chooser.experiment!r})"

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch; return when MLflow has confirmed that it stored all spans.

        Raises:
            Rejected: MLflow refused the batch, because of at least one span.
            SinkError: Nothing is known to be stored; try again later.
        """
        spans = self._bridge.localized(spans)
        with self._lock:
            self._write(spans)
        self._bridge.delivery.stored(spans)
        self._bridge.remove_ended()

    def _flush_all(self) -> bool:
        """Deliver what is waiting in front of this sink, for a program that asks for its trace."""
        return self.outermost.flush(self.exit_timeout)

    def _write(self, spans: Sequence[Span]) -> None:
        wanted = [self._prepared(span) for span in spans if _is_wanted(span)]
        failures: list[Exception] = []
        for where, group in _by_destination(self._chooser, wanted).items():
            try:
                self._write_to(where, group)
            except Exception as error:  # the other destinations need not wait for this one
                failures.append(error)
        if failures:
            # an outage of one place first: spans for it must not be taken for refused ones
            raise min(failures, key=lambda failure: isinstance(failure, Rejected))
        for root in (span for span in wanted if span.parent_id is None):
            self._bridge.traces.drop_additions(root.trace_id)

    def _prepared(self, span: Span) -> Span:
        if span.parent_id is None:
            span = _with_additions(span, self._bridge.traces.additions(span.trace_id))
            span = _with_source(span) if self._bridge.notes_source else span
        span = span_processors.apply(span)
        return autolog_names.renamed(span) if self._names == "autolog" else span

    def _write_to(self, where: destination.Destination, spans: Sequence[Span]) -> None:
        """Write spans to one destination.

        The refusal of a single span is passed on as such only if the destination has accepted
        another one since its last refusal. A destination that refuses everything has an outage,
        whatever others accept meanwhile.
        """
        writer = self._writer(where)
        try:
            writer.write(where, spans)
        except Rejected as refusal:
            if len(spans) == 1 and where.uri not in self._accepting:
                raise SinkError(str(refusal)) from refusal
            self._accepting.discard(where.uri)
            raise
        self._accepting.add(where.uri)
        number = where.experiment_id or writer.experiment_id(where.experiment or "")
        if number is not None and destination.is_server(where.uri):
            self._stored.add(where.uri, number, spans)

    def _experiment_id(self) -> str | None:
        """Return the id of the experiment given as an argument, if it is known by now."""
        chooser = self._chooser
        if chooser.experiment is None:
            return chooser.experiment_id
        writer = self._writers.get(chooser.choose_uri())
        return writer.experiment_id(chooser.experiment) if writer is not None else None

    def _writer(self, where: destination.Destination) -> _Writer:
        writer = self._writers.get(where.uri)
        if writer is None:
            writer = self._writers[where.uri] = _create_writer(
                where.uri, self._timeout, self._chooser.folder
            )
        return writer

    def close(self, timeout: float = 5.0, /) -> None:
        """Close connections and databases and leave MLflow's logger as it was.

        A second call does nothing.
        """
        self._bridge.close()
        with self._lock:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
