"""Writes finished spans to a database through MLflow's own tracking store."""

from __future__ import annotations

# MLflow imports this module, which cannot be imported once the interpreter is shutting down. That
# is when the first write of a short program may happen.
import concurrent.futures.thread  # noqa: F401
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trace_core import Rejected, SinkError, Span, after_fork, no_fork, semconv
from trace_core.otlp import without_credentials
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._mapping import convert, names, tags, trace_info
from trace_mlflow_sink._server import old

if TYPE_CHECKING:
    from mlflow.entities import Span as MlflowSpan
    from mlflow.entities.trace_info import TraceInfo as MlflowTraceInfo
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

_Store: TypeAlias = Any  # mlflow's SqlAlchemyStore, whose methods are only partly annotated
BAD_INPUT: Final = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})
_UNAVAILABLE: Final = "TEMPORARILY_UNAVAILABLE"


class DatabaseUnavailable(SinkError):
    """The database cannot be reached, is locked, or its disk is full."""


def _first_line(error: Exception) -> str:
    """Return what went wrong, without the statement and its values, which follow."""
    return str(error).partition("\n")[0]


def _advice(message: str) -> str:
    if "locked" in message:
        return "; many programs at once want PostgreSQL or an MLflow server"
    return "; make room on that disk" if "full" in message else ""


class DatabaseWriter:
    """Writes spans to one database. For one thread at a time.

    MLflow is imported and the database opened, or created, at the first write.

    Args:
        uri: The database.
        folder: Where MLflow keeps artifacts of experiments that are made here.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri = uri
        self._folder = folder
        self._store: _Store | None = None
        self._experiments: dict[str, str] = {}
        self._closed = trace_info.ClosedTraces()
        self._sizes = trace_info.Sizes()
        after_fork(self._drop_store)

    def _drop_store(self) -> None:
        self._store = None  # its connections belong to the parent process

    def close(self) -> None:
        """Close the database; the next write opens it again."""
        if self._store is not None:
            self._store.engine.dispose()
            self._store = None

    def write(self, where: destination.Destination, spans: Sequence[Span]) -> None:
        """Write spans to one experiment.

        Args:
            where: The destination.
            spans: Finished spans.

        Raises:
            Rejected: The store refused the batch, because of at least one span.
            SinkError: Nothing is known to be written; try again later.
        """
        # Import the whole package first: its parts import each other in circles, and entering at
        # a part while the program imports the whole would break the program's own import.
        with no_fork():
            import mlflow  # noqa: F401
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import OperationalError

        try:
            self._write(self._open(), where, spans)
        except (MlflowException, OperationalError) as error:
            name = without_credentials(self._uri)
            message = f"{name}: {_first_line(error)}{_advice(str(error))}"
            if getattr(error, "error_code", None) in BAD_INPUT:
                raise Rejected(message) from error
            raise DatabaseUnavailable(message) from error

    def _write(self, store: _Store, where: destination.Destination, spans: Sequence[Span]) -> None:
        experiment = self._experiment(store, where)
        is_old = self._is_old()
        protos = [convert.to_proto(span) for span in spans]
        store.log_spans(experiment, list(map(mlflow_span, spans, protos)))
        self._sizes.add(protos)
        roots = [span for span in spans if span.parent_id is None]
        if where.run_id is not None and roots:
            ids = [trace_info.mlflow_id(root.trace_id) for root in roots]
            store.link_traces_to_run(ids, where.run_id)
        _link_prompts(store, roots)

        def start(info: trace_info.TraceInfo) -> None:
            store.start_trace(mlflow_trace_info(info))

        if is_old:
            old.recount_in_database(store, start, experiment, where.run_id, spans)
            return
        _add_late(store, self._closed.late(spans))
        closing = trace_info.to_describe(roots, where.run_id)
        for root in closing:
            sizes = self._sizes.pop(root.trace_id)
            start(trace_info.of_root(root, experiment, where.run_id, sizes))
        self._closed.add(closing)

    def _is_old(self) -> bool:
        from mlflow.version import VERSION

        found = old.format_of(VERSION, "this program")
        if found is not None and (found.nested or not found.otlp):
            raise SinkError(f"MLflow {VERSION} cannot read whole traces back: upgrade to 3.8")
        return found is not None

    def experiment_id(self, name: str) -> str | None:
        """Return the id of an experiment that was written to before; ``None`` if none was.

        Args:
            name: Its name.
        """
        return self._experiments.get(name)

    def _open(self) -> _Store:
        if self._store is None:
            with no_fork():
                from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            make: Any = SqlAlchemyStore
            self._store = make(self._uri, str(self._folder / "mlruns"))
        return self._store

    def _experiment(self, store: _Store, where: destination.Destination) -> str:
        if where.experiment_id is not None:
            return where.experiment_id
        name = where.experiment or ""
        if name not in self._experiments:
            self._experiments[name] = find_or_create(store, name)
        return self._experiments[name]


def find_or_create(store: _Store, name: str) -> str:
    """Return the id of the experiment of a name; create it if there is none.

    Args:
        store: A tracking store of MLflow's.
        name: The experiment's name.

    Raises:
        SinkError: It is deleted.
    """
    from mlflow.exceptions import MlflowException

    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            return str(store.create_experiment(name))
        except MlflowException:  # another process created it in the meantime
            found = store.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        raise SinkError(f"experiment {name!r} is deleted: restore it or choose another")
    return str(found.experiment_id)


def _link_prompts(store: _Store, roots: Sequence[Span]) -> None:
    """Link traces to the prompts that were loaded in them; MLflow 3.10 and newer."""
    if not hasattr(store, "link_prompts_to_trace"):
        return
    for root in roots:
        found = [
            SimpleNamespace(name=prompt["name"], version=prompt["version"])
            for prompt in tags.linked_prompts(root)
        ]
        if found:
            store.link_prompts_to_trace(trace_info.mlflow_id(root.trace_id), found)


def mlflow_span(span: Span, proto: OtlpSpan) -> MlflowSpan:
    """Return MLflow's object for a finished span, and for what `convert.to_proto` made of it."""
    from mlflow.entities import Span as MlflowSpan

    made: Any = MlflowSpan
    named = span.resource.get(semconv.SERVICE_NAME) is not None
    more = {}
    if named and "resource" in signature(made.from_otel_proto).parameters:
        more["resource"] = convert.resource(span)
    result: MlflowSpan = made.from_otel_proto(proto, **more)
    return result


def _add_late(store: _Store, spans: Sequence[Span]) -> None:
    """Add up tokens and cost of spans that were stored after MLflow had closed their trace."""
    for trace_id in dict.fromkeys(trace_info.mlflow_id(span.trace_id) for span in spans):
        info = store.get_trace_info(trace_id)
        if names.METADATA_FINAL not in info.trace_metadata:
            continue
        trace = store.get_trace(trace_id, allow_partial=True)
        counted = trace_info.totals(span.to_dict() for span in trace.data.spans)
        missing = trace_info.late_totals(info.trace_metadata, counted)
        if missing:
            info.trace_metadata.update(missing)
            store.start_trace(info)


def mlflow_trace_info(info: trace_info.TraceInfo) -> MlflowTraceInfo:
    """Return MLflow's object for the information about a trace."""
    from mlflow.entities.trace_info import TraceInfo as MlflowTraceInfo
    from mlflow.entities.trace_location import TraceLocation
    from mlflow.entities.trace_state import TraceState

    return MlflowTraceInfo(
        trace_id=info.trace_id,
        trace_location=TraceLocation.from_experiment_id(info.experiment_id),
        request_time=info.start_ms,
        execution_duration=info.duration_ms,
        state=TraceState(info.state),
        request_preview=info.request_preview,
        response_preview=info.response_preview,
        trace_metadata=dict(info.metadata),
        tags=dict(info.tags),
        client_request_id=info.client_request_id,
    )
