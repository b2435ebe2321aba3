"""Nests our spans in MLflow's and MLflow's in ours, in the program that makes both.

All methods but `MlflowBridge.remove_ended` run on the caller's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trace_core import Bridge, OpenSpan, Span, SpanContext, Value, setting
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._bridge import autolog_guard, call_context, delivery_guard
from trace_mlflow_sink._bridge.live_trace import OurTraces, inject
from trace_mlflow_sink._bridge.mlflow_api import SAMPLED, Importer, MlflowApi, guarded
from trace_mlflow_sink._bridge.source import source
from trace_mlflow_sink._mapping import names
from trace_mlflow_sink._mapping.local_trace import localized, trace_id_of


class MlflowBridge(Bridge):
    """Connects a `trace_core.Tracer` with MLflow's tracing in the same process.

    Args:
        chooser: Chooses the sink's destinations. If the sink writes to another store than MLflow
            does, spans do not nest, because both stores would lack half of each trace.
        experiment_id: Returns the id of the sink's own experiment, if it is known by now.
        flush: Delivers what is waiting, for a few seconds; returns whether nothing is left.
        notes_source: Whether traces say what program made them.
    """

    shows_ours = True  # and where the stores differ, `parent` returns nothing

    def __init__(
        self,
        chooser: destination.Chooser,
        experiment_id: Callable[[], str | None] = lambda: None,
        *,
        flush: Callable[[], bool] = lambda: True,
        notes_source: bool = True,
    ) -> None:
        self._chooser = chooser
        self.notes_source = notes_source
        self._experiment_id = experiment_id
        self._joins_otel = bool(setting("TRACE_MLFLOW_JOIN_OTEL"))
        self._mlflow = Importer()
        self._same_store: tuple[str | None, bool] | None = None
        self.traces = OurTraces()
        """The traces of ours that MLflow knows of."""
        self.delivery = delivery_guard.Delivery(flush)
        """The spans that are on their way to the store."""

    def close(self) -> None:
        """Restore what is wrapped of MLflow's and LiteLLM's; the next call wraps it again."""
        autolog_guard.guard.release(self)
        delivery_guard.guard.release(self.delivery)

    def _trace_id(self, span: OpenSpan) -> str:
        """Return the trace that a span lies in at MLflow."""
        return span.trace_id if self._joins_otel else trace_id_of(span.trace_id, span.attributes)

    def localized(self, spans: Sequence[Span]) -> Sequence[Span]:
        """Return spans with the traces and parents that they have at MLflow.

        Args:
            spans: Finished spans.
        """
        return spans if self._joins_otel else [localized(span) for span in spans]

    def _nests(self, api: MlflowApi) -> bool:
        if self._chooser.uri is None:
            return True
        theirs, known = api.tracking_uri(), self._same_store
        return known[1] if known and known[0] == theirs else self._is_same_store(theirs)

    def _is_same_store(self, theirs: str | None) -> bool:
        if self._chooser.uri is None:
            return True
        if self._same_store is None or self._same_store[0] != theirs:
            absolute = self._chooser.absolute
            same = absolute(theirs or destination.DEFAULT_DATABASE) == absolute(self._chooser.uri)
            self._same_store = (theirs, same)
        return self._same_store[1]

    @guarded(None)
    def parent(self) -> SpanContext | None:
        """Return MLflow's current span, local or remote; ``None`` if that is one of ours."""
        api = self._mlflow.found or self._mlflow()
        if api is None:
            return None
        span = api.current()
        if span is api.no_span or type(span) is api.mirror:
            return None
        context = span.get_span_context()
        if not context.is_valid or not self._nests(api):
            return None
        return SpanContext(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    def attributes(self) -> Mapping[str, Value]:
        """Return the destination of a call made now, and what MLflow is set to besides."""
        api = self._mlflow.found or self._mlflow()
        uri = None if api is None else _tracking_uri(api)
        found = self._chooser.at_call(uri)
        if self.notes_source:
            if source.known is not None:
                found[names.SOURCE] = source.known
            else:
                source.look()
        if api is not None:
            self._add_settings(api, uri, found)
        self._chooser.add_experiment(found)
        return found

    @guarded(None)
    def _add_settings(self, api: MlflowApi, uri: str | None, found: dict[str, Value]) -> None:
        current = api.current()
        call_context.add_context(api, current, found)
        if self._is_same_store(uri) and not call_context.add_live_trace(api, current, found):
            call_context.add_experiment(api, found)

    @guarded(Bridge.nothing)
    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span MLflow's current one.

        Args:
            span: Our span.

        Returns:
            A function that undoes it, to be called in the same thread or task.
        """
        api = self._mlflow.found or self._mlflow()
        if api is None or not self._nests(api):
            return Bridge.nothing
        autolog_guard.guard.record(self, span.attributes.get(names.LITELLM_CALL_ID))
        otel = api.otel
        ours = otel.SpanContext(
            int(self._trace_id(span), 16),
            int(span.span_id, 16),
            is_remote=True,
            trace_flags=otel.TraceFlags(SAMPLED),
        )
        context_api = api.provider.get_context_api()
        inside = otel.set_span_in_context(
            api.mirror(ours, self._register), api.provider.get_current_context()
        )
        token = context_api.attach(inside)
        return lambda: _detach(context_api, token)

    @guarded(None)
    def _register(self, otel_trace_id: int) -> None:
        """Register a trace of ours, because MLflow has started a span in it."""
        api = self._mlflow.found or self._mlflow()
        if api is None or api.live_trace(otel_trace_id) is not None:
            return
        found: dict[str, Value] = {}
        call_context.add_experiment(api, found)
        experiment = self._experiment_id() or found.get(names.EXPERIMENT_ID)
        self.traces.register(api, otel_trace_id, None if experiment is None else str(experiment))

    @guarded(default=False)
    def follows(self, span: OpenSpan) -> bool:
        """Return whether MLflow has the trace of a span that has ended, open or registered.

        Args:
            span: Our span.
        """
        api = self._mlflow.found or self._mlflow()
        if api is None or not self._nests(api):
            return False
        trace_id = self._trace_id(span)
        self.delivery.ended(span.span_id, trace_id)
        delivery_guard.guard.add(self.delivery, api.client)
        if span.parent_id is None or trace_id.endswith(span.span_id):  # the trace's root at MLflow
            api.tracing_fluent._set_last_active_trace_id(f"tr-{trace_id}")  # noqa: SLF001
        otel_trace_id = int(trace_id, 16)
        return otel_trace_id in self.traces or api.live_trace(otel_trace_id) is not None

    @guarded(None)
    def ended(self, span: Span) -> None:
        """Put a finished span into MLflow's open trace, or end a registered trace of ours.

        Args:
            span: A finished span of ours.
        """
        api = self._mlflow.found or self._mlflow()
        if api is None:
            return
        (span,) = self.localized((span,))
        if int(span.trace_id, 16) not in self.traces:
            inject(api, span)
        elif span.parent_id is None:
            self.traces.end(api, span)

    @guarded(None)
    def remove_ended(self) -> None:
        """Remove traces of ours that ended a while ago from MLflow's memory."""
        api = self._mlflow.found or self._mlflow()
        if api is not None:
            self.traces.remove_ended(api)


@guarded(None)
def _tracking_uri(api: MlflowApi) -> str | None:
    return api.tracking_uri()


def _detach(context_api: Any, token: Any) -> None:
    try:
        context_api.detach(token)
    except ValueError:
        return  # the span ended in another context than it began in, and that one is gone
