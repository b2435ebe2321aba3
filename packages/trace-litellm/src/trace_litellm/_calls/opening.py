"""Opens the span of a call: its name, kind, first attributes and parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trace_core import (
    OpenSpan,
    SpanContext,
    SpanKind,
    Tracer,
    Value,
    semconv,
    use_parent,
)
from trace_litellm._calls.nesting import get_enclosing
from trace_litellm._patching.targets import Target
from trace_litellm._reading import requests as _requests
from trace_litellm._reading.privacy import without_content
from trace_litellm._reading.record import CallRecord
from trace_litellm._reading.requests import ATTRIBUTE_PARAMETERS, PROXY_REQUEST
from trace_litellm._reading.responses import CALL_ID

_OPERATION_NAME: Final = semconv.OPERATION_NAME


def open_span(
    tracer: Tracer,
    target: Target,
    record: CallRecord,
    kwargs: Mapping[str, Any],
    above: OpenSpan | None,
    attempt: int,
) -> OpenSpan:
    """Open the span of a call.

    Args:
        tracer: Makes it.
        target: The function that is called.
        record: What is known of the call.
        kwargs: Its keyword arguments.
        above: The span of the call it is made in, if there is one.
        attempt: Its number among the attempts of that call; 0 if it is none.
    """
    attributes: dict[str, Value] = {_OPERATION_NAME: target.operation}
    if not target.parent:
        attributes[CALL_ID] = record.call_id
    if not ATTRIBUTE_PARAMETERS.isdisjoint(kwargs):
        attributes.update(_requests.call_attributes(kwargs))
    if attempt:
        attributes[semconv.ATTEMPT] = attempt
    name, kind = target.name, target.kind
    model = record.parameters.get("model")
    if model:
        name = f"{name} {model}"
    if record.parent and kind is SpanKind.LLM:
        kind = SpanKind.CHAIN
    inputs = without_content(record.parameters) if record.hides_inputs else record.parameters
    if above is None and PROXY_REQUEST not in kwargs:
        return tracer.open(name, kind, inputs, attributes)
    parent = _parent(tracer, above, kwargs)
    if parent is None:
        return tracer.open(name, kind, inputs, attributes)
    with use_parent(parent):
        return tracer.open(name, kind, inputs, attributes)


def _parent(
    tracer: Tracer, above: OpenSpan | None, kwargs: Mapping[str, Any]
) -> SpanContext | None:
    """Return the parent where it is not the current span."""
    if above is not None:  # without an enclosing call this is a thread of LiteLLM's own
        return above.context if get_enclosing() is None else None
    remote = _requests.remote_parent(kwargs)  # asked for first: most requests name none
    return remote if remote is not None and tracer.parent_here() is None else None


def falls_back(target: Target, kwargs: Mapping[str, Any]) -> bool:
    """Return whether a completion is going to try one model after another.

    Args:
        target: What is called.
        kwargs: The keyword arguments.
    """
    return target.family == "chat" and bool(kwargs.get("fallbacks"))
