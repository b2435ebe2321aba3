"""Spans as trace-litellm makes them, for tests of what becomes of them in MLflow."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Mapping
from typing import Any

import attrs

from trace_core import (
    Cost,
    Event,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    semconv,
)

START_NS = time.time_ns() - 60_000_000_000
"""A minute ago: MLflow's list shows the last days alone."""
_numbers = itertools.count(1)


def context(trace_id: str | None = None) -> SpanContext:
    """Return ids never returned before, also by other runs of the tests."""
    return SpanContext(trace_id or secrets.token_hex(16), secrets.token_hex(8))


def chat_span(
    prompt: str = "What is the capital of France?",
    answer: str | None = "Paris.",
    *,
    parent: Span | None = None,
    attributes: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Span:
    """Make the span of a chat call.

    Args:
        prompt: What the user said.
        answer: What the model said; ``None`` for a call that failed.
        parent: The span it is a child of.
        attributes: More attributes.
        **changes: Other fields of the span.
    """
    request = {
        "model": "openai/gpt-4o-mini",
        "messages": ({"role": "user", "content": prompt},),
        "temperature": 0.2,
    }
    message = {"role": "assistant", "content": answer}
    response = {
        "id": "chatcmpl-1",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": ({"index": 0, "message": message, "finish_reason": "stop"},),
    }
    made = Span(
        context=context(parent.trace_id if parent else None),
        parent_id=parent.span_id if parent else None,
        name="chat gpt-4o-mini",
        kind=SpanKind.LLM,
        start_ns=START_NS + next(_numbers) * 1_000_000,
        end_ns=START_NS + next(_numbers) * 1_000_000 + 640_000_000,
        status=Status(StatusCode.OK),
        inputs=request,
        outputs=response if answer is not None else None,
        usage=TokenUsage(input=20, output=10, total=30, cache_read=7),
        cost=Cost(input=1e-06, output=2e-06, total=3e-06),
        attributes={
            semconv.OPERATION_NAME: "chat",
            semconv.PROVIDER_NAME: "openai",
            semconv.REQUEST_MODEL: "openai/gpt-4o-mini",
            semconv.URL_FULL: "http://127.0.0.1:9/v1/chat/completions",
            **(attributes or {}),
        },
    )
    return attrs.evolve(made, **changes)


def failed_span(message: str = "boom") -> Span:
    """Make the span of a chat call that failed.

    Args:
        message: The exception's text.
    """
    event = Event(
        semconv.EXCEPTION_EVENT,
        START_NS,
        {
            semconv.EXCEPTION_TYPE: "litellm.exceptions.InternalServerError",
            semconv.EXCEPTION_MESSAGE: message,
            semconv.EXCEPTION_STACKTRACE: "Traceback (most recent call last):\n  ...",
        },
    )
    return chat_span(
        answer=None,
        usage=None,
        cost=None,
        status=Status(StatusCode.ERROR, message),
        events=(event,),
        attributes={semconv.ERROR_TYPE: "litellm.exceptions.InternalServerError"},
    )


def agent_span(**changes: Any) -> Span:
    """Make the root span of an agent.

    Args:
        **changes: Fields of the span.
    """
    made = Span(
        context=context(),
        parent_id=None,
        name="agent",
        kind=SpanKind.AGENT,
        start_ns=START_NS,
        end_ns=START_NS + 3_000_000_000,
        status=Status(StatusCode.OK),
        inputs={"question": "What is the capital of France?"},
        outputs={"answer": "Paris."},
    )
    return attrs.evolve(made, **changes)
