"""Reads traces from a server's REST interface. MLflow is not imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trace_core import Rejected
from trace_core.otlp import NotFound, NotSupported, ServerFailed
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._reading.pages import PAGE, Query
from trace_mlflow_sink._reading.stored import StoredTrace
from trace_mlflow_sink._server.client import Client
from trace_mlflow_sink._server.traces import Traces

_EXPERIMENTS: Final = "/api/2.0/mlflow/experiments/search"
_SEARCH: Final = "/api/3.0/mlflow/traces/search"
_BATCH: Final = "/api/3.0/mlflow/traces/batchGet"


class ServerStore:
    """Reads traces from one server.

    Args:
        uri: Its address.
        timeout: Seconds an answer may take.
        workspace: The server's workspace, if any.
    """

    def __init__(self, uri: str, timeout: float, workspace: str | None) -> None:
        self._client = Client(uri, timeout)
        self._headers = {} if workspace is None else {"X-MLFLOW-WORKSPACE": workspace}
        self._traces = Traces(self._client, destination.Destination(uri), "", self._headers)
        self._in_batches = True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def version(self) -> str:
        """Return the server's version."""
        return self._client.version().strip()

    def experiments(self) -> dict[str, str]:
        """Return the names of all experiments by their ids."""
        found: dict[str, str] = {}
        for answer in self._answers(_EXPERIMENTS, {"max_results": 1000}):
            found |= {e["experiment_id"]: e["name"] for e in answer.get("experiments", ())}
        return found

    def traces(self, experiment_ids: list[str], query: Query) -> Iterator[StoredTrace]:
        """Read traces, a page at a time."""
        body = {
            "locations": [
                {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": one}}
                for one in experiment_ids
            ],
            "filter": _filter(query),
            "order_by": [f"timestamp_ms {'DESC' if query.newest_first else 'ASC'}"],
            "max_results": PAGE,
        }
        for answer in self._answers(_SEARCH, body) if experiment_ids else ():
            infos = [i for i in answer.get("traces", ()) if _id(i).startswith(query.prefix)]
            yield from self._with_spans(infos)

    def _answers(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            more = {"page_token": token} if token else {}
            answer = self._client.json("POST", path, json={**body, **more}, headers=self._headers)
            yield answer
            token = answer.get("next_page_token") or ""
            if not token:
                return

    def _with_spans(self, infos: Sequence[Mapping[str, Any]]) -> Iterator[StoredTrace]:
        spans = self._spans_of([_id(info) for info in infos]) if infos else {}
        for info in infos:
            found = spans.get(_id(info))
            if not found:  # a server before 3.8, or spans in an artifact
                found = self._traces.stored_spans(_id(info).removeprefix("tr-"))
            yield StoredTrace(found, info.get("trace_metadata") or {}, info.get("tags") or {})

    def _spans_of(self, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the spans of several traces at once, where the server can."""
        if not self._in_batches:
            return {}
        params: Any = [("trace_ids", one) for one in ids]
        try:
            answer = self._client.json("GET", _BATCH, params=params, headers=self._headers)
        except (NotFound, NotSupported, Rejected, ServerFailed):
            self._in_batches = False
            return {}
        return {_id(t["trace_info"]): t.get("spans", []) for t in answer.get("traces", ())}


def _id(info: Mapping[str, Any]) -> str:
    return str(info.get("trace_id") or info.get("request_id") or "")


def _filter(query: Query) -> str:
    parts = []
    if query.since_ms is not None:
        parts.append(f"trace.timestamp_ms >= {query.since_ms}")
    if query.until_ms is not None:
        parts.append(f"trace.timestamp_ms < {query.until_ms}")
    return " AND ".join(parts)
