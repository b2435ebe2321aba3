"""What people are told of the MLflow that a sink writes to: where it is, how to look at it."""

from __future__ import annotations

import sqlite3
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import closing
from typing import Final
from urllib.parse import urlencode

from trace_core import SinkBase, SinkError, Span
from trace_core.otlp import without_credentials
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._mapping.trace_info import mlflow_id
from trace_mlflow_sink._reading.databases import SqliteStore
from trace_mlflow_sink._reading.server import ServerStore

_MOST_TRACES: Final = 10_000


class Stored:
    """Remembers in which experiment of which server the last traces were stored."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, uri: str, experiment_id: str, spans: Iterable[Span]) -> None:
        """Remember the traces of spans that a server has stored.

        Args:
            uri: The server's address.
            experiment_id: The experiment.
            spans: The spans.
        """
        with self._lock:
            for span in spans:
                self._traces[span.trace_id] = without_credentials(uri), experiment_id
                self._traces.move_to_end(span.trace_id)
            while len(self._traces) > _MOST_TRACES:
                self._traces.popitem(last=False)

    def url(self, trace_id: str | None) -> str | None:
        """Return the page of a trace in MLflow's UI, if it was stored; of the last by default.

        Args:
            trace_id: The trace.
        """
        with self._lock:
            if trace_id is None and self._traces:
                trace_id = next(reversed(self._traces))
            found = self._traces.get(trace_id or "")
        if found is None or trace_id is None:
            return None
        return page(*found, trace_id)


def page(uri: str, experiment_id: str, trace_id: str) -> str:
    """Return the address of a trace in MLflow's UI.

    Args:
        uri: The server's, without credentials.
        experiment_id: The experiment.
        trace_id: The trace.
    """
    query = urlencode({"selectedEvaluationId": mlflow_id(trace_id)})
    return f"{uri.rstrip('/')}/#/experiments/{experiment_id}/traces?{query}"


class PlacedSink(SinkBase):
    """The part of a sink that can say where it writes to."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._stored = Stored()

    @abstractmethod
    def _now(self) -> destination.Destination:
        """Return where a call made now goes."""

    @property
    def place(self) -> str:
        """The server or database, and the experiment of a call made now."""
        where = self._now()
        named = where.experiment or _stored_name(where) or f"with id {where.experiment_id}"
        return f"MLflow at {destination.shown(where.uri)}, experiment {named}"

    @property
    def viewing(self) -> str | None:
        """The server's address, or the command that starts one on the database."""
        uri = self._now().uri
        if destination.is_server(uri):
            return without_credentials(uri)
        if destination.is_databricks(uri):
            return None
        return f"mlflow server --backend-store-uri {without_credentials(uri)}"

    def trace_url(self, trace_id: str | None = None, /) -> str | None:
        """Return the page of a trace in the UI of the server that has stored it."""
        return self._stored.url(trace_id)

    def check(self, timeout: float = 5.0, /) -> str | None:
        """Ask the server for its version, or look into the database.

        Raises:
            SinkError: It cannot be reached.
        """
        where = self._now()
        if destination.is_server(where.uri):
            return _check_server(where, min(timeout, self._timeout))
        path = destination.sqlite_path(where.uri)
        if path is None:
            return None
        if not path.exists():
            return "the database will be made by the first span"
        try:
            store = SqliteStore(path)
            try:
                return _experiment_in(where, store.experiments())
            finally:
                store.close()
        except sqlite3.Error as error:
            raise SinkError(f"{destination.shown(where.uri)}: {error}") from error


def _stored_name(where: destination.Destination) -> str | None:
    """Return the name of an experiment of which the id is known, if a SQLite file has it.

    A server is not asked: people are told of a place at once, however far away it is.
    """
    path = destination.sqlite_path(where.uri)
    if path is None or where.experiment_id is None or not path.exists():
        return None
    try:
        with closing(SqliteStore(path)) as store:
            return store.experiments().get(where.experiment_id)
    except sqlite3.Error:  # no database of MLflow's, or locked: then the id must do
        return None


def _check_server(where: destination.Destination, timeout: float) -> str:
    server = ServerStore(where.uri, timeout, where.workspace)
    try:
        version = server.version()
        return f"MLflow {version:.40} answers; {_experiment_in(where, server.experiments())}"
    finally:
        server.close()


def _experiment_in(where: destination.Destination, known: dict[str, str]) -> str:
    if where.experiment_id is not None:
        if where.experiment_id not in known:
            raise SinkError(f"there is no experiment with id {where.experiment_id}")
        return f"the experiment is {known[where.experiment_id]!r}"
    if where.experiment in known.values():
        return "the experiment is there"
    return "the experiment will be made by the first span"
