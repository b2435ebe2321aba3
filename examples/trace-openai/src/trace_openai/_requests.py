"""Opens the span of a call: what was asked, and of whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from trace_core import SpanKind, Tracer, Value, semconv, snapshot
from trace_core.adapters import TracedCall
from trace_core.streams import Deltas
from trace_openai._answers import copy, fill_in
from trace_openai._streams import ChatDeltas, ResponsesDeltas

_NOT_RECORDED: Final = frozenset({"extra_headers", "extra_query", "timeout"})
"""How a request is sent rather than what it asks; headers hold credentials."""
_ATTRIBUTES: Final = {
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "max_completion_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_output_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "model": semconv.REQUEST_MODEL,
    "n": semconv.REQUEST_CHOICE_COUNT,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
    "seed": semconv.REQUEST_SEED,
    "service_tier": semconv.OPENAI_REQUEST_SERVICE_TIER,
    "stop": semconv.REQUEST_STOP_SEQUENCES,
    "stream": semconv.REQUEST_STREAM,
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
}


class Api(NamedTuple):
    """One of OpenAI's interfaces.

    Args:
        name: What its spans begin with.
        deltas: Makes what combines the chunks of its streams.
    """

    name: str
    deltas: Callable[[], Deltas]


CHAT: Final = Api("chat", ChatDeltas)
RESPONSES: Final = Api("responses", ResponsesDeltas)


def open_call(
    api: Api, tracer: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> TracedCall | None:
    """Open the span of a call, unless a span of another adapter records it already.

    Args:
        api: Which interface is called.
        tracer: Opens the span.
        args: The SDK's object whose method is called, and nothing else: all others have names.
        kwargs: The parameters.
    """
    if tracer.serves(SpanKind.LLM):
        return None
    asked = {
        name: snapshot(value)
        for name, value in kwargs.items()
        if name not in _NOT_RECORDED and type(value).__name__ not in {"NotGiven", "Omit"}
    }
    span = tracer.start(
        f"{api.name} {asked.get('model', '')}".rstrip(),
        kind=SpanKind.LLM,
        inputs=asked,
        attributes={semconv.OPERATION_NAME: "chat", **_attributes(asked), **server_of(args[0])},
    )
    return TracedCall(tracer, span, copy=copy, deltas=api.deltas, complete=fill_in)


def _attributes(asked: Mapping[str, Value]) -> dict[str, Value]:
    found = {
        attribute: asked[name]
        for name, attribute in _ATTRIBUTES.items()
        if asked.get(name) is not None
    }
    stop = found.get(semconv.REQUEST_STOP_SEQUENCES)
    if isinstance(stop, str):
        found[semconv.REQUEST_STOP_SEQUENCES] = (stop,)
    if found.get(semconv.REQUEST_CHOICE_COUNT) == 1:  # the conventions leave out the default
        del found[semconv.REQUEST_CHOICE_COUNT]
    if not found.get(semconv.REQUEST_STREAM, True):
        del found[semconv.REQUEST_STREAM]
    return found


def server_of(resource: Any) -> dict[str, Value]:
    """Return where requests go, as attributes.

    Args:
        resource: The object whose method is called; it has the client.
    """
    client = getattr(resource, "_client", None)
    url = getattr(client, "base_url", None)
    azure = "Azure" in type(client).__name__
    found: dict[str, Value] = {semconv.PROVIDER_NAME: "azure.ai.openai" if azure else "openai"}
    if url is not None:
        found[semconv.SERVER_ADDRESS] = url.host
        found[semconv.SERVER_PORT] = url.port or (80 if url.scheme == "http" else 443)
    return found
