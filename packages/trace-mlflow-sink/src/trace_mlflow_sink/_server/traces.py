"""A server's REST interface to whole traces: what a trace has that no span of it can carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from trace_core import Rejected, Span, log_once
from trace_core.otlp import NotFound, NotSupported
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._mapping import names, tags, trace_info
from trace_mlflow_sink._server.client import Client

_INFO: Final = ("trace", "trace_info")
_TRACES: Final = "/api/3.0/mlflow/traces"
_LINK_PROMPTS: Final = "/api/2.0/mlflow/traces/link-prompts"
_SPANS: Final = "/ajax-api/2.0/mlflow/get-trace-artifact"


@attrs.frozen
class Traces:
    """Reads and writes the traces of one experiment.

    Args:
        client: The connection.
        where: The destination.
        experiment_id: The experiment's id.
        headers: Headers that every request needs.
    """

    client: Client
    where: destination.Destination
    experiment_id: str
    headers: Mapping[str, str]

    def write_infos(self, roots: Iterable[Span], sizes: trace_info.Sizes) -> None:
        """Write what only the information about a trace can say.

        Args:
            roots: Root spans that are stored.
            sizes: The sizes of the spans that are stored.
        """
        for root in roots:
            self.write(self.info_of(root, sizes.pop(root.trace_id)))

    def link_prompts(self, spans: Sequence[Span]) -> None:
        """Link traces to the prompts that were loaded in them, as MLflow's UI shows them.

        Args:
            spans: Spans that are stored.
        """
        for root in spans:
            prompts = tags.linked_prompts(root)
            if not prompts:
                continue
            body = {"trace_id": trace_info.mlflow_id(root.trace_id), "prompt_versions": prompts}
            try:
                self.client.request("POST", _LINK_PROMPTS, json=body, headers=self.headers)
            except (NotFound, NotSupported, Rejected) as error:  # before 3.10 only a tag says it
                log_once(
                    f"mlflow:prompts:{self.client.name}",
                    "tracing: MLflow did not link prompts to traces, a tag names them: %s",
                    error,
                )

    def add_late(self, late: Iterable[Span]) -> None:
        """Add up tokens and cost of spans that were stored after MLflow had closed their trace.

        Args:
            late: The spans.
        """
        for trace_id in dict.fromkeys(span.trace_id for span in late):
            found = self.read(trace_id)
            if found is None or names.METADATA_FINAL not in found.get("trace_metadata", {}):
                continue
            totals = trace_info.totals(self.stored_spans(trace_id))
            missing = trace_info.late_totals(found["trace_metadata"], totals)
            if missing:
                found["trace_metadata"].update(missing)
                self.post(found)

    def info_of(self, root: Span, totals: Mapping[str, str]) -> trace_info.TraceInfo:
        """Return what MLflow keeps about the trace of a root span.

        Args:
            root: The root span.
            totals: What `trace_info.totals` returned.
        """
        return trace_info.of_root(root, self.experiment_id, self.where.run_id, totals)

    def write(self, info: trace_info.TraceInfo) -> dict[str, Any]:
        """Write the information about a trace; return what the server stored."""
        return self.post(info.to_json())

    def post(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Write the information about a trace, given as JSON; return what the server stored."""
        body = {"trace": {"trace_info": info}}
        return self.client.json("POST", _TRACES, *_INFO, json=body, headers=self.headers)

    def read(self, trace_id: str) -> dict[str, Any] | None:
        """Return what the server knows about a trace; ``None`` if it knows no such trace."""
        path = f"{_TRACES}/{trace_info.mlflow_id(trace_id)}"
        try:
            return self.client.json("GET", path, *_INFO, headers=self.headers)
        except NotFound:
            return None

    def stored_spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace that the server has stored."""
        params = {"request_id": trace_info.mlflow_id(trace_id)}
        try:
            answer = self.client.json("GET", _SPANS, params=params, headers=self.headers)
        except NotFound:
            return []
        return [span for span in answer.get("spans", ()) if isinstance(span, dict)]
