"""To a database: MLflow's own tracking store, on the background thread that calls us."""

from __future__ import annotations

# MLflow imports it, and a short program's first write may come when it is too late to: this module
# registers itself with the interpreter's shutdown and refuses to once that has begun.
import concurrent.futures.thread  # noqa: F401
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trace_core import SinkError, Span, after_fork, no_fork, semconv
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._bisect import Refused, deliver
from trace_mlflow_sink._mapping import convert as _convert
from trace_mlflow_sink._mapping import names as _keys
from trace_mlflow_sink._mapping import trace_info as _info
from trace_mlflow_sink._server import dialects as _dialects

if TYPE_CHECKING:
    from mlflow.entities import Span as MlflowSpan
    from mlflow.entities.trace_info import TraceInfo as MlflowTraceInfo

_Store: TypeAlias = Any  # mlflow's SqlAlchemyStore, whose methods are only partly annotated
BAD_INPUT: Final = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})


_AWAY: Final = "TEMPORARILY_UNAVAILABLE"


class Away(SinkError):
    """The database cannot be reached, is locked, or its disk is full."""


def _first_line(error: Exception) -> str:
    """Return what went wrong, without the statement and its values, which follow."""
    return str(error).partition("\n")[0]


def _advice(message: str) -> str:
    if "locked" in message:
        return "; many programs at once want PostgreSQL or an MLflow server"
    return "; make room on that disk" if "full" in message else ""


class StoreWriter:
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
        after_fork(self._forget)

    def _forget(self) -> None:
        self._store = None  # its connections belong to the parent

    def close(self) -> None:
        """Free the database; writing again opens it anew."""
        if self._store is not None:
            self._store.engine.dispose()
            self._store = None

    def write(self, where: _where.Destination, spans: Sequence[Span]) -> list[tuple[Span, Refused]]:
        """Write spans that go to one experiment.

        Args:
            where: The destination.
            spans: Finished spans.

        Returns:
            Those the store will never take, each with the reason.

        Raises:
            SinkError: Not written; try again later.
        """
        # The whole first: its parts import each other in circles, and one that is entered from
        # here while the program imports the whole would break the program's own import.
        with no_fork():
            import mlflow  # noqa: F401
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import OperationalError

        try:
            return self._write(self._open(), where, spans)
        except (MlflowException, OperationalError) as error:
            if getattr(error, "error_code", _AWAY) != _AWAY:
                raise
            name = _where.without_secret(self._uri)
            raise Away(f"{name}: {_first_line(error)}{_advice(str(error))}") from error

    def _write(
        self, store: _Store, where: _where.Destination, spans: Sequence[Span]
    ) -> list[tuple[Span, Refused]]:
        experiment = self._experiment(store, where)
        dialect = self._dialect()
        refused = deliver(spans, lambda batch: _log(store, experiment, batch))
        bad = {span.context for span, _ in refused}
        taken = [span for span in spans if span.context not in bad]
        roots = [span for span in taken if span.parent_id is None]
        if where.run_id is not None and roots:
            store.link_traces_to_run([_info.mlflow_id(r.trace_id) for r in roots], where.run_id)
        _link_prompts(store, roots)
        if dialect.recount:
            _recount(store, experiment, where.run_id, taken)
        else:
            for root in (root for root in roots if _info.says_more(root, where.run_id)):
                store.start_trace(trace_info(_info.of_root(root, experiment, where.run_id, {})))
            _add_late(store, [span for span in taken if _keys.LIVE in span.attributes])
        return refused

    def _dialect(self) -> _dialects.Dialect:
        from mlflow.version import VERSION

        dialect = _dialects.dialect_of(VERSION, "this program")
        if dialect.nested or not dialect.otlp:
            raise SinkError(f"MLflow {VERSION} cannot read traces back as a whole: upgrade to 3.8")
        return dialect

    def known_experiment(self, name: str) -> str | None:
        """Return the id of an experiment that was written to before.

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

    def _experiment(self, store: _Store, where: _where.Destination) -> str:
        if where.experiment_id is not None:
            return where.experiment_id
        name = where.experiment or ""
        if name not in self._experiments:
            self._experiments[name] = find_or_make(store, name)
        return self._experiments[name]


def find_or_make(store: _Store, name: str) -> str:
    """Return the id of the experiment of a name, which is made if there is none.

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
        except MlflowException:  # another process made it in the meantime
            found = store.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        raise SinkError(f"experiment {name!r} is deleted: restore it or choose another")
    return str(found.experiment_id)


def _log(store: _Store, experiment: str, batch: Sequence[Span]) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.log_spans(experiment, [mlflow_span(span) for span in batch])
    except MlflowException as error:
        if error.error_code in BAD_INPUT:
            raise Refused(str(error)) from error
        raise


def _link_prompts(store: _Store, roots: Sequence[Span]) -> None:
    """Have MLflow find traces by the prompts that were loaded in them, from 3.10 on."""
    if not hasattr(store, "link_prompts_to_trace"):
        return
    for root in roots:
        found = [
            SimpleNamespace(name=prompt["name"], version=prompt["version"])
            for prompt in _convert.linked_prompts(root)
        ]
        if found:
            store.link_prompts_to_trace(_info.mlflow_id(root.trace_id), found)


def mlflow_span(span: Span) -> MlflowSpan:
    """Make MLflow's own object of a finished span."""
    from mlflow.entities import Span as MlflowSpan

    made: Any = MlflowSpan
    proto = _convert.to_proto(span)
    service = span.resource.get(semconv.SERVICE_NAME)
    more = {}
    if service is not None and "resource" in signature(made.from_otel_proto).parameters:
        more["resource"] = _convert.resource(service)
    result: MlflowSpan = made.from_otel_proto(proto, **more)
    return result


def _recount(store: _Store, experiment: str, run_id: str | None, spans: Sequence[Span]) -> None:
    """Set the totals of traces to what their stored spans add up to, from their root on."""
    roots = {span.trace_id: span for span in spans if span.parent_id is None}
    for trace_id in dict.fromkeys(span.trace_id for span in spans):
        trace = store.get_trace(_info.mlflow_id(trace_id), allow_partial=True)
        counted = _info.totals(span.to_dict() for span in trace.data.spans)
        if trace_id in roots:
            info = _info.of_root(roots[trace_id], experiment, run_id, counted)
            store.start_trace(trace_info(info))
        elif trace.info.state.value != _info.IN_PROGRESS:
            trace.info.trace_metadata.update(counted)
            store.start_trace(trace.info)


def _add_late(store: _Store, spans: Sequence[Span]) -> None:
    """Count spans that came after MLflow had closed their trace."""
    for trace_id in dict.fromkeys(_info.mlflow_id(span.trace_id) for span in spans):
        info = store.get_trace_info(trace_id)
        if _keys.METADATA_FINAL not in info.trace_metadata:
            continue
        trace = store.get_trace(trace_id, allow_partial=True)
        counted = _info.totals(span.to_dict() for span in trace.data.spans)
        missing = _info.late(info.trace_metadata, counted)
        if missing:
            info.trace_metadata.update(missing)
            store.start_trace(info)


def trace_info(info: _info.TraceInfo) -> MlflowTraceInfo:
    """Make MLflow's own object of a trace's info."""
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
