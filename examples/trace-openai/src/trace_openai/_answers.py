"""Fills in the span of a call from the copied answer, on the writer's thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trace_core import OpenSpan, Status, StatusCode, TokenUsage, Value, semconv, snapshot


def copy(result: Any) -> Value:
    """Copy an answer; of a raw response the body, if it is there. Runs on the caller's thread.

    Args:
        result: A completion, a response, or the SDK's object for a raw response.
    """
    raw = getattr(result, "http_response", None)
    if raw is None:
        return snapshot(result)
    return raw.text if raw.is_closed else None  # reading it would take it from the program


def fill_in(span: OpenSpan) -> None:
    """Set usage, status and attributes of an ended span.

    Args:
        span: The span; its outputs are the copied answer, or the text of its body.
    """
    if isinstance(span.outputs, str):
        span.outputs = snapshot(json.loads(span.outputs))
    answer = span.outputs
    if not isinstance(answer, Mapping):
        if span.status is None:  # it did not fail: the program reads the body itself
            span.attributes[semconv.DEGRADED] = True
        return
    span.usage = _usage(answer.get("usage"))
    for name, attribute in (
        ("id", semconv.RESPONSE_ID),
        ("model", semconv.RESPONSE_MODEL),
        ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
        ("system_fingerprint", semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
    ):
        if answer.get(name):
            span.attributes[attribute] = answer[name]
    if reasons := _finish_reasons(answer):
        span.attributes[semconv.RESPONSE_FINISH_REASONS] = reasons
    error = answer.get("error")  # of a response; the SDK does not raise it
    if isinstance(error, Mapping) and span.status is None:
        span.attributes[semconv.ERROR_TYPE] = error.get("code") or semconv.ERROR_TYPE_OTHER
        span.status = Status(StatusCode.ERROR, str(error.get("message")))


def _finish_reasons(answer: Mapping[str, Value]) -> tuple[Value, ...]:
    choices = answer.get("choices")
    if isinstance(choices, tuple):
        reasons = [one.get("finish_reason") for one in choices if isinstance(one, Mapping)]
        return tuple(reason for reason in reasons if reason)
    details = answer.get("incomplete_details")
    return (details.get("reason"),) if isinstance(details, Mapping) else ()


def _usage(usage: Value) -> TokenUsage | None:
    """Read the tokens that the provider reported, as either interface names them."""
    if not isinstance(usage, Mapping):
        return None
    asked, answered = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    read, made = (_counts(usage.get(f"{side}_tokens_details")) for side in (asked, answered))
    counts = _counts(usage)
    return TokenUsage(
        input=counts.get(f"{asked}_tokens"),
        output=counts.get(f"{answered}_tokens"),
        total=counts.get("total_tokens"),
        cache_read=read.get("cached_tokens"),
        reasoning=made.get("reasoning_tokens"),
        audio_input=read.get("audio_tokens"),
        audio_output=made.get("audio_tokens"),
    )


def _counts(usage: Value) -> dict[str, int]:
    found = usage.items() if isinstance(usage, Mapping) else ()
    return {name: count for name, count in found if type(count) is int}
