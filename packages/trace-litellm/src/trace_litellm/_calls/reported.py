"""One call that LiteLLM's callbacks report, from its first request to its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from trace_core import OpenSpan, Value, failure, semconv, snapshot
from trace_litellm._calls.call import OpenCalls, hide_above
from trace_litellm._calls.opening import open_span
from trace_litellm._patching.targets import Target
from trace_litellm._reading import call_details as _details
from trace_litellm._reading.complete import complete
from trace_litellm._reading.credentials import remember_settings
from trace_litellm._reading.endpoints import FAMILIES
from trace_litellm._reading.errors import error_attributes
from trace_litellm._reading.privacy import hides
from trace_litellm._reading.record import CallRecord
from trace_litellm._reading.requests import inputs


class ReportedCall:
    """A call and its span. What is copied of it is what its callers' own calls copy.

    Args:
        calls: The calls in progress, those of patched functions.
        target: The function that was called.
        details: What LiteLLM reports.
        again: Whether it is made again: then it begins now.
    """

    def __init__(
        self, calls: OpenCalls, target: Target, details: Mapping[str, Any], *, again: bool
    ) -> None:
        self._start = details.get("start_time")  # kept so that its identity stays its own
        self._on_error = calls.on_error
        call_id, request = _details.call_id_in(details), _details.request_of(details, target)
        parameters = inputs((), (), request)
        self.record = record = CallRecord(call_id, target.family, parameters, parent=False)
        record.hides_inputs, record.hides_outputs = hides(request)
        batch = calls.batches.get(call_id)
        above = batch or calls.innermost()
        if above is not None:
            record.hide_with(above.record)
            hide_above(above, record)
        batch_span = batch.span if batch is not None else None
        self.span = open_span(calls.tracer, target, record, request, batch_span, 0)
        self.span.attributes[semconv.DEGRADED] = True
        self.span.complete = partial(_complete, self)
        if not again:
            before = max(_details.age_ns(self._start) - self.span.elapsed_ns, 0)
            self.span.start_ns -= before
            self.span.start_perf_ns -= before

    awaited = False
    """Whether LiteLLM is about to report the end, on a thread of its own."""
    answer: str | None = None
    """The provider's answer, word for word, until LiteLLM reports it."""

    def requested(self, details: Mapping[str, Any]) -> None:
        """Note a request to a provider."""
        self.record.requests += 1
        self._read_request(details)

    def answered(self, details: Mapping[str, Any]) -> None:
        """Note that a provider has answered, or begun to stream."""
        self.awaited = not _details.is_async(details)
        text = details.get("original_response")
        if isinstance(text, str) and not self.record.parameters.get("stream"):
            self.answer = text

    def succeeded(self, details: Mapping[str, Any], response: Any, ended: Any) -> None:
        """End the span with an answer. Never raises."""
        record, span = self.record, self.span
        self.answer = None
        try:
            record.answer = type(response)
            record.hidden = _details.answer_params(details, response, record.family)
            span.outputs = FAMILIES[record.family].copy(response)
            self._read_request(details)
            if details.get("stream"):
                span.attributes[semconv.STREAM_ENDING] = "completed"
                self._read_first_chunk(details)
        except failure() as error:
            self._on_error(f"reading a {type(response).__name__}", error)
        self._end(ended, None)

    def failed(self, details: Mapping[str, Any], ended: Any) -> None:
        """End the span with an exception. Never raises."""
        error = details.get("exception")
        self.answer = None
        try:
            remember_settings()
            self._read_request(details)
            if self._read_first_chunk(details):
                self.span.attributes[semconv.STREAM_ENDING] = "failed"
            if isinstance(error, BaseException):
                self.record.error = error_attributes(error)
        except failure() as trouble:
            self._on_error("ending a call", trouble)
        self._end(ended, error if isinstance(error, BaseException) else None)

    def end_unreported(self, ending: str) -> None:
        """End the span of a call of which nothing more will be reported. Runs in finalisers too.

        Args:
            ending: How it ended.
        """
        streamed = self.record.parameters.get("stream")
        self.span.attributes[semconv.STREAM_ENDING if streamed else semconv.ENDING] = ending
        self.span.end()

    def _read_request(self, details: Mapping[str, Any]) -> None:
        record = self.record
        record.endpoint = record.endpoint or _details.endpoint_of(details)
        record.provider = _details.provider_of(details) or record.provider

    def _read_first_chunk(self, details: Mapping[str, Any]) -> bool:
        first_ns = _details.first_chunk_ns(details)
        if first_ns is not None:
            self.span.attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = first_ns / 1e9
        return first_ns is not None

    def _end(self, ended: Any, error: BaseException | None) -> None:
        """End the span at the moment that LiteLLM reports, which is past."""
        span = self.span
        span.start_perf_ns += min(_details.age_ns(ended), span.elapsed_ns)
        span.end(error)


def _complete(call: ReportedCall, span: OpenSpan) -> None:
    """Complete the span, with the provider's own answer if LiteLLM has reported no other."""
    if call.answer is not None:
        with contextlib.suppress(ValueError):  # it is not JSON
            answer: Value = snapshot(json.loads(call.answer))
            if isinstance(answer, Mapping) and not answer.get("error"):
                span.outputs = answer
                span.attributes.pop(semconv.ENDING, None)
    complete(call.record, span)
