"""Experimental: writes traces to Databricks through MLflow's own client, which can log in there.

Each trace is written as MLflow's own exporter writes it: its information, and an artifact with all
its spans. Tested against an MLflow server only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trace_core import Rejected, SinkError, Span, after_fork, no_fork
from trace_mlflow_sink import _database as database
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._mapping import convert, trace_info


class DatabricksWriter:
    """Writes spans through MLflow's client. For one thread at a time.

    MLflow is imported at the first write, and finds the credentials.

    Args:
        uri: Such as ``databricks`` or ``databricks://profile``.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        after_fork(self.close)

    def close(self) -> None:
        """Drop the client; the next write makes a new one."""
        self._client = None

    def experiment_id(self, name: str) -> str | None:
        """Return the id of an experiment that was written to before; ``None`` if none was.

        Args:
            name: Its name.
        """
        return self._experiments.get(name)

    def write(self, where: destination.Destination, spans: Sequence[Span]) -> None:
        """Write spans to one experiment.

        Args:
            where: The destination.
            spans: Finished spans.

        Raises:
            Rejected: MLflow refused a trace.
            SinkError: Nothing is known to be written; try again later.
        """
        with no_fork():
            import mlflow  # noqa: F401  # the whole first: its parts import each other in circles
            from mlflow.exceptions import MlflowException

        client = self._open()
        try:
            experiment = self._experiment(client, where)
        except MlflowException as error:
            raise SinkError(f"MLflow's client cannot reach {self._uri}: {error}") from error

        try:
            for trace_id in dict.fromkeys(span.trace_id for span in spans):
                part = [span for span in spans if span.trace_id == trace_id]
                _write_trace(client, where, experiment, part)
        except MlflowException as error:
            message = f"MLflow's client at {self._uri}: {error}"
            if error.error_code in database.BAD_INPUT:
                raise Rejected(message) from error
            raise SinkError(message) from error

    def _open(self) -> Any:
        if self._client is None:
            from mlflow.tracing.client import TracingClient

            self._client = TracingClient(self._uri)
        return self._client

    def _experiment(self, client: Any, where: destination.Destination) -> str:
        if where.experiment_id is not None:
            return where.experiment_id
        name = where.experiment or ""
        if name not in self._experiments:
            self._experiments[name] = database.find_or_create(client.store, name)
        return self._experiments[name]


def _write_trace(
    client: Any, where: destination.Destination, experiment: str, spans: Sequence[Span]
) -> None:
    """Write a trace with the spans stored before and these."""
    from mlflow.entities.trace_data import TraceData
    from mlflow.tracing.utils import TraceJSONEncoder

    before = _read_info(client, spans[0].trace_id)
    written = {span.span_id: span for span in _stored_spans(client, before)}
    written.update(
        (span.span_id, database.mlflow_span(span, convert.to_proto(span))) for span in spans
    )
    totals = trace_info.totals(span.to_dict() for span in written.values())
    root = next((span for span in spans if span.parent_id is None), None)
    if root is not None:
        info = trace_info.of_root(root, experiment, where.run_id, totals)
    else:
        info = trace_info.running(spans, experiment, totals)
    if root is not None or before is None:
        before = client.start_trace(database.mlflow_trace_info(info))
    data = TraceData(spans=list(written.values())).to_dict()
    _artifacts(client, before).upload_trace_data(json.dumps(data, cls=TraceJSONEncoder))


def _artifacts(client: Any, info: Any) -> Any:
    """Return where the artifacts of a trace are, at the tracking URI of the client."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace

    place = get_artifact_uri_for_trace(info)
    return get_artifact_repository(place, tracking_uri=client.tracking_uri)


def _read_info(client: Any, trace_id: str) -> Any:
    """Return what MLflow knows about a trace; ``None`` if it knows no such trace."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_trace_info(trace_info.mlflow_id(trace_id))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _stored_spans(client: Any, info: Any) -> list[Any]:
    """Return the spans of a trace that are stored."""
    from mlflow.entities.trace_data import TraceData
    from mlflow.exceptions import MlflowTraceDataException

    if info is None:
        return []
    try:
        return list(TraceData.from_dict(_artifacts(client, info).download_trace_data()).spans)
    except MlflowTraceDataException:
        return []  # the information was written, the spans were not yet
