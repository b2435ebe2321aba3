"""Writes batches of finished spans to a server as OTLP protobuf. MLflow is not imported."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from trace_core import Rejected, RetryLater, SinkError, Span
from trace_core.otlp import NotFound, NotSupported, spans_of
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._mapping import convert, trace_info
from trace_mlflow_sink._server import old
from trace_mlflow_sink._server.client import Client, ExperimentGone
from trace_mlflow_sink._server.traces import Traces

_VERSION_SECONDS: Final = 600.0
_RETRY_SECONDS: Final = 30.0
_EXPERIMENTS: Final = "/api/2.0/mlflow/experiments"


class ServerWriter:
    """Writes spans to one server. For one thread at a time.

    Args:
        uri: The server's address.
        timeout: Seconds an answer may take.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self._client = Client(uri, timeout)
        self._experiments: dict[tuple[str | None, str | None], str] = {}
        self._closed = trace_info.ClosedTraces()
        self._sizes = trace_info.Sizes()
        self._old: old.OldFormat | None = None
        self._asked_at: float | None = None

    def close(self) -> None:
        """Close the connections; the next write opens new ones."""
        self._client.close()

    def write(self, where: destination.Destination, spans: Sequence[Span]) -> None:
        """Write spans to one experiment.

        Args:
            where: The destination.
            spans: Finished spans.

        Raises:
            Rejected: The server refused the request, because of at least one span.
            SinkError: Nothing is known to be written; try again later.
        """
        try:
            self._ask_for_version()
            self._write(where, self._experiment(where), spans)
        except NotFound as error:
            self._asked_at = None
            self._experiments.clear()
            raise ExperimentGone(
                f"{error}; the experiment was deleted, or the address is not that of an MLflow "
                f"server of version 3.2 or newer",
                _RETRY_SECONDS,
            ) from error
        except SinkError:
            self._asked_at = None  # the server may come back as another version
            raise

    def experiment_id(self, name: str) -> str | None:
        """Return the id of an experiment that was written to before; ``None`` if none was.

        Args:
            name: Its name.
        """
        found = (number for (_, known), number in self._experiments.items() if known == name)
        return next(found, None)

    def _ask_for_version(self) -> None:
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at > _VERSION_SECONDS:
            self._old = old.format_of(self._client.version(), self._client.name)
            self._asked_at = now

    def _write(
        self, where: destination.Destination, experiment: str, spans: Sequence[Span]
    ) -> None:
        headers = _headers(where)
        traces = Traces(self._client, where, experiment, headers)
        write_value = convert.write_flat if self._old is None else self._old.write_value

        def send(batch: Sequence[Span]) -> None:
            request = convert.to_request(batch, write_value)
            to = {**headers, "x-mlflow-experiment-id": experiment}
            self._client.store_spans(request.SerializeToString(), to)
            self._sizes.add(spans_of(request))

        if self._old is not None:
            self._old.write(traces, spans, send)
            return
        try:
            send(spans)
        except NotSupported:
            self._old = old.FILE_STORE
            self._old.write(traces, spans, send)
            return
        traces.link_prompts(spans)
        traces.add_late(self._closed.late(spans))
        roots = trace_info.to_describe(spans, where.run_id)
        traces.write_infos(roots, self._sizes)
        self._closed.add(roots)

    def _experiment(self, where: destination.Destination) -> str:
        """Return the id of the experiment, creating it if there is none of that name."""
        if where.experiment_id is not None:
            return where.experiment_id
        key = (where.workspace, where.experiment)
        if key not in self._experiments:
            try:
                self._experiments[key] = self._find_or_create(where, where.experiment or "")
            except Rejected as error:  # the experiment is refused, which is no span's fault
                raise RetryLater(str(error), _RETRY_SECONDS) from error
        return self._experiments[key]

    def _find_or_create(self, where: destination.Destination, name: str) -> str:
        try:
            return self._find(where, name)
        except NotFound:
            pass  # a first run
        try:
            made = self._call("POST", "create", where, json={"name": name})
        except Rejected:  # another process created it in the meantime
            return self._find(where, name)
        return str(made["experiment_id"])

    def _find(self, where: destination.Destination, name: str) -> str:
        found = self._call("GET", "get-by-name", where, params={"experiment_name": name})
        experiment = found["experiment"]
        if experiment.get("lifecycle_stage") == "deleted":
            raise ExperimentGone(
                f"experiment {name!r} at {self._client.name} is deleted: restore it or choose "
                "another",
                _RETRY_SECONDS,
            )
        return str(experiment["experiment_id"])

    def _call(
        self, method: str, path: str, where: destination.Destination, **body: Any
    ) -> dict[str, Any]:
        return self._client.json(method, f"{_EXPERIMENTS}/{path}", headers=_headers(where), **body)


def _headers(where: destination.Destination) -> dict[str, str]:
    headers: dict[str, str] = {}
    if where.run_id is not None:
        headers["x-mlflow-run-id"] = where.run_id
    if where.workspace is not None:
        headers["X-MLFLOW-WORKSPACE"] = where.workspace
    return headers
