"""To Databricks: by MLflow's own client, which knows how to log in there.

A trace goes the way MLflow's own exporter sends it: an info, and an artifact with all its spans.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trace_core import SinkError, Span, after_fork, no_fork
from trace_mlflow_sink import _database as _store
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._bisect import Refused, by_trace
from trace_mlflow_sink._mapping import trace_info as _info


class ManagedWriter:
    """Writes spans through MLflow's client. For one thread at a time.

    MLflow is imported at the first write; credentials are MLflow's affair.

    Args:
        uri: Such as ``databricks`` or ``databricks://profile``.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        after_fork(self.close)

    def close(self) -> None:
        """Let the client go; writing again makes a new one."""
        self._client = None

    def known_experiment(self, name: str) -> str | None:
        """Return the id of an experiment that was written to before.

        Args:
            name: Its name.
        """
        return self._experiments.get(name)

    def write(self, where: _where.Destination, spans: Sequence[Span]) -> list[tuple[Span, Refused]]:
        """Write spans that go to one experiment.

        Args:
            where: The destination.
            spans: Finished spans.

        Returns:
            Those MLflow will never take, each with the reason.

        Raises:
            SinkError: Not written; try again later.
        """
        with no_fork():
            import mlflow  # noqa: F401  # the whole first: its parts import each other in circles
            from mlflow.exceptions import MlflowException

        client = self._open()
        try:
            experiment = self._experiment(client, where)
        except MlflowException as error:
            raise SinkError(f"MLflow's client cannot reach {self._uri}: {error}") from error

        def write(traces: Mapping[str, Sequence[Span]]) -> None:
            for trace_id, found in traces.items():
                try:
                    _write_trace(client, where, experiment, trace_id, found)
                except MlflowException as error:
                    if error.error_code in _store.BAD_INPUT:
                        raise Refused(str(error)) from error
                    raise SinkError(f"MLflow's client at {self._uri}: {error}") from error

        return by_trace(spans, write)

    def _open(self) -> Any:
        if self._client is None:
            from mlflow.tracing.client import TracingClient

            self._client = TracingClient(self._uri)
        return self._client

    def _experiment(self, client: Any, where: _where.Destination) -> str:
        if where.experiment_id is not None:
            return where.experiment_id
        name = where.experiment or ""
        if name not in self._experiments:
            self._experiments[name] = _store.find_or_make(client.store, name)
        return self._experiments[name]


def _write_trace(
    client: Any, where: _where.Destination, experiment: str, trace_id: str, spans: Sequence[Span]
) -> None:
    """Write a trace with the spans stored before and these."""
    from mlflow.entities.trace_data import TraceData
    from mlflow.tracing.utils import TraceJSONEncoder

    written = {span.span_id: span for span in _stored(client, trace_id)}
    written.update((span.span_id, _store.mlflow_span(span)) for span in spans)
    counted = _info.totals(span.to_dict() for span in written.values())
    root = next((span for span in spans if span.parent_id is None), None)
    if root is not None:
        info = _info.of_root(root, experiment, where.run_id, counted)
    else:
        info = _info.running(spans, experiment, counted)
    told = None if root is not None else _told(client, trace_id)
    if told is None:
        told = client.start_trace(_store.trace_info(info))
    data = TraceData(spans=list(written.values())).to_dict()
    _files(client, told).upload_trace_data(json.dumps(data, cls=TraceJSONEncoder))


def _files(client: Any, told: Any) -> Any:
    """Return where the artifacts of a trace are, at the tracking URI of the client."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace

    place = get_artifact_uri_for_trace(told)
    return get_artifact_repository(place, tracking_uri=client.tracking_uri)


def _told(client: Any, trace_id: str) -> Any:
    """Return what MLflow knows of a trace as a whole; ``None`` if nothing."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_trace_info(_info.mlflow_id(trace_id))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _stored(client: Any, trace_id: str) -> list[Any]:
    """Return the spans of a trace that are stored."""
    from mlflow.entities.trace_data import TraceData
    from mlflow.exceptions import MlflowTraceDataException

    told = _told(client, trace_id)
    if told is None:
        return []
    try:
        return list(TraceData.from_dict(_files(client, told).download_trace_data()).spans)
    except MlflowTraceDataException:
        return []  # the info was written, its spans were not yet
