"""The source ``mlflow``: reads spans back from the MLflow that the sink of that name writes to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from trace_core import (
    ConfigurationError,
    Selection,
    SinkError,
    SourceBase,
    Span,
    Trace,
    Unreadable,
    Wanted,
    did_you_mean,
    newest,
)
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._reading.databases import MlflowStore, SqliteStore
from trace_mlflow_sink._reading.pages import Query, Store
from trace_mlflow_sink._reading.server import ServerStore
from trace_mlflow_sink._reading.stored import StoredTrace, spans_of

_EVERYTHING: Final = Selection()
_LONG_TRACE_MS: Final = 3_600_000
"""A span may have started so much later than its trace."""
_MOST_NAMES: Final = 20
_DEFAULT: Final = destination.DEFAULT_EXPERIMENT
_ALL: Final = "all experiments"
_ANY: Final = Query(None, None, "", newest_first=True)


def source_of(target: str) -> MlflowSource:
    """Make the source of ``mlflow:TARGET``, the specification of the sink.

    Args:
        target: A tracking URI, options after a question mark, both or neither.

    Raises:
        ConfigurationError: The target cannot be parsed.
    """
    options = destination.parse_spec(target)
    try:
        timeout = float(options.get("timeout", "10"))
    except ValueError:
        raise ConfigurationError(f"timeout={options['timeout']!r} is not a number") from None
    return MlflowSource(
        options.get("tracking_uri") or options.get("default_uri"),
        options.get("experiment"),
        options.get("experiment_id"),
        timeout,
    )


class MlflowSource(SourceBase):
    """Reads spans from MLflow.

    Args:
        tracking_uri: A server or a database; by default ``MLFLOW_TRACKING_URI``, else
            ``sqlite:///mlflow.db`` in the current folder.
        experiment: The experiment's name; by default ``MLFLOW_EXPERIMENT_NAME`` or
            ``MLFLOW_EXPERIMENT_ID``, else all experiments.
        experiment_id: Its id, instead of its name.
        timeout: Seconds a server's answer may take.

    Raises:
        ConfigurationError: Traces cannot be read from there.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        experiment_id: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        folder = destination.current_folder()
        chooser = destination.Chooser(tracking_uri, experiment, experiment_id, folder)
        self._uri = chooser.choose_uri()
        self._timeout = timeout
        self._experiment, self._experiment_id = experiment, experiment_id
        self._all = False
        if experiment is None and experiment_id is None:
            self._experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or None
            if self._experiment is None:
                self._experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID") or None

    @property
    def place(self) -> str:
        """The server or the database, and the experiment."""
        where = destination.shown(self._uri)
        if self._experiment is not None:
            return f"{where}, experiment {self._experiment}"
        if self._experiment_id is not None:
            return f"{where}, experiment with id {self._experiment_id}"
        if self.is_empty:
            return where
        return f"{where}, {_ALL}" if self._all else f"{where}, experiment {_DEFAULT}"

    def choose_experiment(self, name: str | None, /) -> None:
        """Read one experiment, by its name, or all of them."""
        self._experiment, self._experiment_id, self._all = name, None, name is None

    @property
    def is_empty(self) -> bool:
        """Whether this is a SQLite file that does not exist."""
        path = destination.sqlite_path(self._uri)
        return path is not None and not path.exists()

    def _open(self) -> Store:
        if destination.is_server(self._uri):
            return ServerStore(self._uri, self._timeout, os.environ.get("MLFLOW_WORKSPACE"))
        path = destination.sqlite_path(self._uri)
        if path is not None:
            if not path.exists():
                raise ConfigurationError(f"there is no database {path}: nothing was stored there")
            store = SqliteStore(path)
            if store.is_known():
                return store
            store.close()
        if destination.is_databricks(self._uri):
            raise ConfigurationError("traces in Databricks can be looked at in Databricks only")
        destination.check_uri(self._uri)
        return MlflowStore(self._uri)

    def spans(self, selection: Selection = _EVERYTHING, /) -> Iterator[Span]:
        """Read spans, the oldest trace first."""
        for spans in self._traces(selection, newest_first=False):
            yield from filter(selection.covers, spans)

    def traces(
        self, wanted: Wanted, last: int, selection: Selection = _EVERYTHING, /
    ) -> list[Trace]:
        """Read the newest traces in which at least one span is wanted."""
        found = self._traces(selection, newest_first=True)
        return newest(found, wanted, last, selection)

    def _traces(self, selection: Selection, *, newest_first: bool) -> Iterator[Sequence[Span]]:
        query = Query(
            None if selection.since_ns is None else selection.since_ns // 10**6 - _LONG_TRACE_MS,
            None if selection.until_ns is None else -(-selection.until_ns // 10**6),
            f"tr-{selection.trace}" if selection.trace else "",
            newest_first,
        )
        try:
            store = self._open()
            try:
                for trace in store.traces(self._experiments(store), query):
                    yield self._read(trace)
            finally:
                store.close()
        except (SinkError, sqlite3.Error) as error:
            raise Unreadable(f"{destination.shown(self._uri)}: {error}") from error

    def _experiments(self, store: Store) -> list[str]:
        if self._experiment_id is not None:
            return [self._experiment_id]
        known = store.experiments()
        if self._experiment is None:
            return list(known) if self._all else self._by_default(store, known)
        found = [number for number, name in known.items() if name == self._experiment]
        if not found:
            raise ConfigurationError(
                f"{destination.shown(self._uri)} has no experiment {self._experiment!r}"
                f"{did_you_mean(self._experiment, known.values())}; "
                f"it has {', '.join(map(repr, list(known.values())[:_MOST_NAMES]))}"
            )
        return found

    def _by_default(self, store: Store, known: Mapping[str, str]) -> list[str]:
        """Return where traces go that no program sends elsewhere; all where nothing is there."""
        default = [number for number, name in known.items() if name == _DEFAULT]
        others = [name for name in known.values() if name != _DEFAULT]
        if not others or not default:
            return list(known)
        listed = ", ".join(others[:_MOST_NAMES]) + (", …" if len(others) > _MOST_NAMES else "")
        if next(store.traces(default, _ANY), None) is not None:
            self.remark(f"left out: {listed}; see --experiment NAME and --all-experiments")
            return default
        self._all = True
        self.remark(f"experiment {_DEFAULT} has no traces; reading {_ALL}: {listed}")
        return list(known)

    def _read(self, trace: StoredTrace) -> list[Span]:
        try:
            return spans_of(trace)
        except (LookupError, TypeError, ValueError) as error:  # made by something else
            self.problem(self.place, error)
            return []
