"""A call that LiteLLM's proxy makes for a request goes on with the trace of who sent it."""

from __future__ import annotations

from typing import Any

import pytest

import trace_litellm
from trace_core import MemorySink, Span, Tracer

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def call(litellm: Any, request: Any) -> None:
    litellm.completion(
        "openai/gpt-4o-mini",
        [{"role": "user", "content": "hi"}],
        mock_response="mocked",
        proxy_server_request=request,
    )


def traced(litellm: Any, request: Any) -> Span:
    sink = MemorySink()
    tracer = Tracer(sink)
    with trace_litellm.instrument(tracer):
        call(litellm, request)
    [span] = sink.spans
    return span


def test_the_senders_span_is_the_parent(litellm: Any) -> None:
    """The ``traceparent`` of the request that the proxy serves is taken over."""
    span = traced(litellm, {"headers": {"traceparent": CALLER}})
    assert (span.trace_id, span.parent_id) == (CALLER[3:35], CALLER[36:52])


@pytest.mark.parametrize(
    "request_",
    [
        None,
        "GET /",
        {"headers": None},
        {"headers": {}},
        {"headers": {"traceparent": None}},
        {"headers": {"traceparent": "nonsense"}},
        {"headers": {"traceparent": f"00-{'0' * 32}-{'0' * 16}-00"}},
    ],
)
def test_what_is_no_header_is_ignored(litellm: Any, request_: Any) -> None:
    """A request that names no span, or nonsense, begins a trace."""
    assert traced(litellm, request_).parent_id is None


def test_a_span_of_this_process_goes_first(litellm: Any) -> None:
    """Where there is a current span, that is the parent, whatever a header says."""
    sink = MemorySink()
    tracer = Tracer(sink)
    with trace_litellm.instrument(tracer), tracer.span("mine") as mine:
        call(litellm, {"headers": {"traceparent": CALLER}})
    span = next(span for span in sink.spans if span.name != "mine")
    assert (span.trace_id, span.parent_id) == (mine.context.trace_id, mine.context.span_id)
