"""A server's REST interface to whole traces, for versions whose spans alone are not enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from trace_core import SinkError, Span, log_once, to_json
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._bisect import Refused
from trace_mlflow_sink._mapping import convert as _convert
from trace_mlflow_sink._mapping import names as _keys
from trace_mlflow_sink._mapping import trace_info as _info
from trace_mlflow_sink._server.client import Client, NotFound, NotSupported, Unavailable

_TRACES: Final = "/api/3.0/mlflow/traces"

_OLD_TRACES: Final = "/api/2.0/mlflow/traces"
_LINKS: Final = f"{_OLD_TRACES}/link-prompts"
_SPANS: Final = "/ajax-api/2.0/mlflow/get-trace-artifact"
_ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
_PROXIED: Final = "mlflow-artifacts:/"


@attrs.frozen
class TraceApi:
    """Reads and writes traces as a whole.

    Args:
        client: The connection.
        where: The destination.
        experiment_id: The experiment's id.
        headers: Headers that every request needs.
    """

    client: Client
    where: _where.Destination
    experiment_id: str
    headers: Mapping[str, str]

    def tell_more(self, roots: Sequence[Span]) -> None:
        """Write what no span can say.

        Args:
            roots: Root spans just written.
        """
        for root in roots:
            self._start(self._of_root(root, {}))

    def link_prompts(self, spans: Sequence[Span]) -> None:
        """Have MLflow find traces by the prompts that were loaded in them, as its UI does.

        Args:
            spans: Spans just written.
        """
        for root in spans:
            prompts = _convert.linked_prompts(root)
            if not prompts:
                continue
            body = {"trace_id": _info.mlflow_id(root.trace_id), "prompt_versions": prompts}
            try:
                self.client.request("POST", _LINKS, json=body, headers=self.headers)
            except (NotFound, NotSupported, Refused) as error:  # before 3.10 there is the tag alone
                log_once(
                    f"mlflow:prompts:{self.client.name}",
                    "tracing: MLflow links no prompts to traces, but in a tag: %s",
                    error,
                )

    def recount(self, traces: Mapping[str, Sequence[Span]]) -> None:
        """Set the totals of traces to what their stored spans add up to.

        Args:
            traces: Spans just written, by trace id.
        """
        for trace_id, spans in traces.items():
            counted = _info.totals(self._stored(trace_id))
            root = next((span for span in spans if span.parent_id is None), None)
            if root is not None:
                self._start(self._of_root(root, counted))
            else:
                self._recount_without_root(trace_id, counted)

    def _recount_without_root(self, trace_id: str, counted: Mapping[str, str]) -> None:
        told = self._told(trace_id)
        if told is not None and told.get("state") != _info.IN_PROGRESS:
            told["trace_metadata"] = {**told.get("trace_metadata", {}), **counted}
            self._post({"trace": {"trace_info": told}})

    def add_late(self, traces: Mapping[str, Sequence[Span]]) -> None:
        """Count spans that came after MLflow had closed their trace.

        Args:
            traces: Spans just written, by trace id.
        """
        for trace_id in traces:
            told = self._told(trace_id)
            if told is None or _keys.METADATA_FINAL not in told.get("trace_metadata", {}):
                continue
            counted = _info.totals(self._stored(trace_id))
            missing = _info.late(told["trace_metadata"], counted)
            if missing:
                told["trace_metadata"].update(missing)
                self._post({"trace": {"trace_info": told}})

    def write_artifacts(self, traces: Mapping[str, Sequence[Span]]) -> None:
        """Store traces as MLflow 3.2 to 3.5 keep them: an info, and a file with all spans.

        Args:
            traces: Spans to write, by trace id; joined with those stored before.
        """
        for trace_id, spans in traces.items():
            written = {span["span_id"]: span for span in self._stored(trace_id)}
            written.update((span["span_id"], span) for span in map(_info.to_stored, spans))
            counted = _info.totals(written.values())
            root = next((span for span in spans if span.parent_id is None), None)
            if root is not None:
                told = self._start(self._of_root(root, counted))
            else:
                told = self._told(trace_id) or self._start(
                    _info.running(spans, self.experiment_id, counted)
                )
            self._put(told, {"spans": list(written.values())})

    def _of_root(self, root: Span, counted: Mapping[str, str]) -> _info.TraceInfo:
        return _info.of_root(root, self.experiment_id, self.where.run_id, counted)

    def _start(self, info: _info.TraceInfo) -> dict[str, Any]:
        try:
            return self._post(info.to_json())
        except (Refused, Unavailable) as failure:
            told = self._told(info.trace_id.removeprefix("tr-"))
            once = "UNIQUE" in str(failure) or getattr(failure, "broken", False)
            if not once or told is None:
                raise
            self._end(info)
            return told

    def _end(self, info: _info.TraceInfo) -> None:
        """Change a trace that is there already, where a second info is refused.

        That is so on 3.3 and older (400), and on file stores of any version (500).
        """
        body = {
            "request_id": info.trace_id,
            "timestamp_ms": info.start_ms + (info.duration_ms or 0),
            "status": info.state,
            "request_metadata": [{"key": k, "value": v} for k, v in info.metadata.items()],
            "tags": [{"key": k, "value": v} for k, v in info.tags.items()],
        }
        path = f"{_OLD_TRACES}/{info.trace_id}"
        self.client.request("PATCH", path, json=body, headers=self.headers)

    def _post(self, body: object) -> dict[str, Any]:
        answer = self.client.request("POST", _TRACES, json=body, headers=self.headers).json()
        found: dict[str, Any] = answer["trace"]["trace_info"]
        return found

    def _told(self, trace_id: str) -> dict[str, Any] | None:
        """Return what the server knows of a trace as a whole."""
        path = f"{_TRACES}/{_info.mlflow_id(trace_id)}"
        try:
            answer = self.client.request("GET", path, headers=self.headers).json()
        except NotFound:
            return None
        found: dict[str, Any] = answer["trace"]["trace_info"]
        return found

    def _stored(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace that the server has."""
        try:
            answer = self.client.request(
                "GET",
                _SPANS,
                params={"request_id": _info.mlflow_id(trace_id)},
                headers=self.headers,
            ).json()
        except NotFound:
            return []
        return [span for span in answer.get("spans", ()) if isinstance(span, dict)]

    def _put(self, told: Mapping[str, Any], content: object) -> None:
        place = str(told.get("tags", {}).get("mlflow.artifactLocation", ""))
        if not place.startswith(_PROXIED):
            raise SinkError(
                f"MLflow at {self.client.name} keeps traces at {place!r}, outside the server, "
                "where only MLflow's own client can write: upgrade the server to 3.6 or newer"
            )
        path = f"{_ARTIFACTS}/{place.removeprefix(_PROXIED).lstrip('/')}/traces.json"
        self.client.request("PUT", path, content=to_json(content).encode(), headers=self.headers)
