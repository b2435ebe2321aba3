"""To a server: batches of finished spans as OTLP protobuf, without MLflow in the process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from trace_core import SinkError, Span
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._bisect import Refused, by_trace, deliver
from trace_mlflow_sink._mapping import convert as _convert
from trace_mlflow_sink._mapping import names as _keys
from trace_mlflow_sink._mapping import trace_info as _info
from trace_mlflow_sink._server import dialects as _dialects
from trace_mlflow_sink._server.client import (
    Client,
    Gone,
    NotFound,
    NotMlflow,
    NotSupported,
    Unavailable,
)
from trace_mlflow_sink._traces import TraceApi

_VERSION_SECONDS: Final = 600.0
_BROKEN_TRIES: Final = 10
_GONE_SECONDS: Final = 30.0
_SHOWN: Final = 100
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
        self._dialect: _dialects.Dialect | None = None
        self._probed = 0.0
        self._broken = 0

    def close(self) -> None:
        """Close the connections; writing again opens them anew."""
        self._client.close()

    def write(self, where: _where.Destination, spans: Sequence[Span]) -> list[tuple[Span, Refused]]:
        """Write spans that go to one experiment.

        Args:
            where: The destination.
            spans: Finished spans.

        Returns:
            Those the server will never take, each with the reason.

        Raises:
            SinkError: Not written; try again later.
        """
        try:
            dialect = self.dialect()
            experiment = self._experiment(where)
            refused = self._write(where, experiment, spans, dialect)
        except NotFound as error:
            self._forget()
            raise Gone(
                f"{error}; the experiment was deleted, or the address is not that of an MLflow "
                f"server of version 3.2 or newer",
                _GONE_SECONDS,
            ) from error
        except SinkError:
            self._dialect = None  # it may come back as another version
            raise
        self._broken = 0
        return refused

    def known_experiment(self, name: str) -> str | None:
        """Return the id of an experiment that was written to before.

        Args:
            name: Its name.
        """
        found = (number for (_, known), number in self._experiments.items() if known == name)
        return next(found, None)

    def _forget(self) -> None:
        self._dialect = None
        self._experiments.clear()

    def dialect(self) -> _dialects.Dialect:
        """Return how to talk to this server; asks for its version now and then."""
        now = time.monotonic()
        if self._dialect is None or now - self._probed > _VERSION_SECONDS:
            version = self._client.request("GET", "/version").text
            self._dialect = _dialects.dialect_of(version, self._client.name)
            self._probed = now
        return self._dialect

    def _write(
        self,
        where: _where.Destination,
        experiment: str,
        spans: Sequence[Span],
        dialect: _dialects.Dialect,
    ) -> list[tuple[Span, Refused]]:
        """Write in the way the server's version needs."""
        traces = TraceApi(self._client, where, experiment, _headers(where))
        if not dialect.otlp:
            return by_trace(spans, traces.write_artifacts)
        try:
            refused = self._deliver(where, experiment, spans, dialect)
        except NotSupported:  # a server on a file store
            self._dialect = _dialects.ARTIFACTS
            return by_trace(spans, traces.write_artifacts)
        bad = {span.context for span, _ in refused}
        taken = [span for span in spans if span.context not in bad]
        traces.link_prompts(taken)
        if dialect.recount:
            return refused + by_trace(taken, traces.recount)
        live = [span for span in taken if _keys.LIVE in span.attributes]
        more = [span for span in taken if _info.says_more(span, where.run_id)]
        return refused + by_trace(live, traces.add_late) + deliver(more, traces.tell_more)

    def _deliver(
        self,
        where: _where.Destination,
        experiment: str,
        spans: Sequence[Span],
        dialect: _dialects.Dialect,
    ) -> list[tuple[Span, Refused]]:
        headers = _headers(where)
        headers["x-mlflow-experiment-id"] = experiment
        headers["Content-Type"] = "application/x-protobuf"
        taken = 0

        def send(batch: Sequence[Span]) -> None:
            nonlocal taken
            body = _convert.to_request(batch, nested=dialect.nested).SerializeToString()
            try:
                self._client.request("POST", "/v1/traces", content=body, headers=headers)
            except Unavailable as failure:
                self._judge(failure, alone=len(batch) == 1, others_taken=taken > 0)
                raise Refused(str(failure)) from failure
            taken += len(batch)

        return deliver(spans, send)

    def _judge(self, failure: Unavailable, *, alone: bool, others_taken: bool) -> None:
        """Return if these spans are what breaks the server; raise if it is broken anyway.

        A server error on the same batch again and again may come from one span that its database
        refuses. It is believed to, once the server takes other spans or has failed many times
        while it still answers reads.
        """
        if not failure.broken:
            raise failure
        self._broken += 1
        if self._broken == 1 or not self._answers():
            raise failure
        if alone and not others_taken and self._broken < _BROKEN_TRIES:
            raise failure

    def _answers(self) -> bool:
        try:
            self._client.request("GET", f"{_EXPERIMENTS}/get", params={"experiment_id": "0"})
        except NotFound:
            return True
        except (SinkError, Refused):
            return False
        return True

    def _experiment(self, where: _where.Destination) -> str:
        """Return the id of the experiment, which is made if there is none of that name."""
        if where.experiment_id is not None:
            return where.experiment_id
        key = (where.workspace, where.experiment)
        if key not in self._experiments:
            self._experiments[key] = self._find_or_make(where, where.experiment or "")
        return self._experiments[key]

    def _find_or_make(self, where: _where.Destination, name: str) -> str:
        try:
            return self._find(where, name)
        except NotFound:
            pass  # the usual way of a first run: make it
        try:
            made = self._call("POST", "create", where, json={"name": name})
        except Refused:  # another process made it in the meantime
            return self._find(where, name)
        return str(made["experiment_id"])

    def _find(self, where: _where.Destination, name: str) -> str:
        found = self._call("GET", "get-by-name", where, params={"experiment_name": name})
        experiment = found["experiment"]
        if experiment.get("lifecycle_stage") == "deleted":
            raise Gone(
                f"experiment {name!r} at {self._client.name} is deleted: restore it or choose "
                "another",
                _GONE_SECONDS,
            )
        return str(experiment["experiment_id"])

    def _call(self, method: str, path: str, where: _where.Destination, **body: Any) -> Any:
        answer = self._client.request(
            method, f"{_EXPERIMENTS}/{path}", headers=_headers(where), **body
        )
        try:
            return answer.json()
        except ValueError as error:  # a login page, say
            raise NotMlflow(
                f"{self._client.name} answered with {answer.text[:_SHOWN]!r}: "
                "is it an MLflow server?"
            ) from error


def _headers(where: _where.Destination) -> dict[str, str]:
    headers: dict[str, str] = {}
    if where.run_id is not None:
        headers["x-mlflow-run-id"] = where.run_id
    if where.workspace is not None:
        headers["X-MLFLOW-WORKSPACE"] = where.workspace
    return headers
