"""Requests and responses to span fields: one family of calls, one reader.

What runs on the caller's thread only copies (`Family.inputs`, `Family.outputs`); making sense of
the copies (`describe`) is for the sink's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import attrs

from trace_core import (
    ConfigurationError,
    Span,
    SpanContext,
    TokenUsage,
    UsageSource,
    Value,
    semconv,
    snapshot,
)
from trace_litellm._deltas import (
    ChatDeltas,
    Deltas,
    EventDeltas,
    ListDeltas,
    NoDeltas,
    SseDeltas,
    TextDeltas,
    merge_anthropic,
    merge_google,
)
from trace_litellm._secrets import is_secret, withheld, without_secrets

CALL_ID: Final = "litellm.call_id"
PROVIDER: Final = "litellm.provider"
"""LiteLLM's own name of the provider; `semconv.PROVIDER_NAME` has OpenTelemetry's."""
MODEL_ID: Final = "litellm.model_id"
OVERHEAD: Final = "litellm.overhead_ms"
REQUEST_ID: Final = "litellm.provider_request_id"
RATE_LIMIT_PREFIX: Final = "litellm.ratelimit."
REGION: Final = "litellm.region"
REQUESTS: Final = "litellm.requests"
"""Requests to a provider that LiteLLM made for this call; retries inside a provider's SDK apart."""

_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}

_CONTENT: Final = frozenset(
    {
        "contents",
        "documents",
        "functions",
        "input",
        "instructions",
        "messages",
        "prompt",
        "query",
        "response_format",
        "system",
        "tools",
    }
)
"""Parameters copied whole: what is said, not how to reach a provider."""

_INTERNAL: Final = frozenset(
    {
        "acompletion",
        "aembedding",
        "aimg_generation",
        "amoderation",
        "arerank",
        "aresponses",
        "aspeech",
        "async_call",
        "atext_completion",
        "atranscription",
        "client",
        "http_client",
        "is_async",
        "litellm_call_id",
        "litellm_logging_obj",
        "litellm_params",
        "litellm_session_id",
        "litellm_trace_id",
        "logger_fn",
        "metadata",
        "litellm_metadata",
        "original_function",
        "proxy_server_request",
        "secret_fields",
        "self",
        "shared_session",
        "standard_callback_dynamic_params",
    }
)
"""Parameters that are LiteLLM's own business, or told elsewhere on the span."""

_REQUEST_ATTRIBUTES: Final = {
    "dimensions": semconv.EMBEDDINGS_DIMENSION_COUNT,
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "max_completion_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "n": semconv.REQUEST_CHOICE_COUNT,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
    "seed": semconv.REQUEST_SEED,
    "stop": semconv.REQUEST_STOP_SEQUENCES,
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_k": semconv.REQUEST_TOP_K,
    "top_p": semconv.REQUEST_TOP_P,
}

_METADATA_NAMES: Final = {
    "conversation_id": semconv.CONVERSATION_ID,
    "session_id": semconv.SESSION_ID,
    "tags": semconv.TAGS,
    "trace_name": semconv.TRACE_NAME,
    "trace_user_id": semconv.USER_ID,
    "user_id": semconv.USER_ID,
}
"""LiteLLM's own words in ``metadata``, and the attribute each one is."""


_ROUTER_NAMES: Final = {
    "attempted_fallbacks": "litellm.router.attempted_fallbacks",
    "attempted_retries": "litellm.router.attempted_retries",
    "deployment": "litellm.router.deployment",
    "model_group": "litellm.router.model_group",
    "original_model_group": "litellm.router.original_model_group",
    "user_api_key_alias": "litellm.proxy.key_alias",
    "user_api_key_end_user_id": "litellm.proxy.end_user_id",
    "user_api_key_org_alias": "litellm.proxy.organization_alias",
    "user_api_key_team_alias": "litellm.proxy.team_alias",
    "user_api_key_team_id": "litellm.proxy.team_id",
    "user_api_key_user_id": "litellm.proxy.user_id",
}
"""What LiteLLM's Router and proxy note in ``metadata``, and the attribute each one is."""
_ROUTER_NOTES: Final = frozenset(
    {
        "api_base",
        "_routing_request_tags",
        "caching_groups",
        "deployment_model_name",
        "hidden_params",
        "max_retries",
        "model_group_alias",
        "model_group_size",
        "model_info",
        "previous_models",
        "request_retry_count",
        "routing_decision",
        "specific_deployment",
    }
)
"""Notes of the Router's that are left out: bookkeeping, and what other attributes say."""
_PROXY_NOTES: Final = ("user_api_key", "headers", "endpoint", "requester_", "global_max_parallel")
"""How the names of the proxy's other notes begin; there are keys and headers among them."""
_PROXY_BOOKKEEPING: Final = frozenset(
    {
        "caller_tags",
        "inherited_tags",
        "litellm_api_version",
        "litellm_received_at",
        "litellm_roi_estimator",
        "llm_api_timing_windows",
        "queue_time_seconds",
        "used_client_oauth_token",
        "user_agent",
    }
)
"""Notes of the proxy's that are left out where it is the proxy that wrote them."""
_PROXY_REQUEST: Final = "proxy_server_request"
"""The parameter in which the proxy tells of the HTTP request that a call is made for."""


@attrs.frozen
class Family:
    """How to read one family of calls.

    Args:
        outputs: Copies a response.
        deltas: Makes, for a stream, what adds it up.
    """

    outputs: Callable[[Any], Value]
    deltas: Callable[[Any], Deltas]


def _response(result: Any) -> Value:
    """Copy a response without LiteLLM's private notes on it."""
    outputs = snapshot(result)
    if isinstance(outputs, dict):
        outputs.pop("_response_ms", None)
        outputs.pop("_hidden_params", None)
    return outputs


def _speech(result: Any) -> Value:
    """Describe audio by its type and length, without reading what may not have arrived."""
    response = getattr(result, "response", None)
    headers = getattr(response, "headers", None) or {}
    loaded = getattr(response, "_content", None)
    return {
        "kind": "audio",
        "content_type": snapshot(headers.get("content-type")),
        "bytes": len(loaded) if isinstance(loaded, bytes) else None,
    }


def _any_deltas(stream: Any) -> Deltas:
    """Choose by the stream's own class where the function does not tell."""
    names = {cls.__name__ for cls in stream.__class__.__mro__}
    if "CustomStreamWrapper" in names:
        return ChatDeltas()
    if "TextCompletionStreamWrapper" in names:
        return TextDeltas()
    if any("Responses" in name for name in names):
        return EventDeltas()
    return NoDeltas()


FAMILIES: Final[Mapping[str, Family]] = {
    "any": Family(_response, lambda _: ListDeltas()),
    "batch": Family(_response, lambda _: NoDeltas()),
    "chat": Family(_response, lambda _: ChatDeltas()),
    "embedding": Family(_response, lambda _: NoDeltas()),
    "google": Family(_response, lambda _: SseDeltas(merge_google)),
    "messages": Family(_response, lambda _: SseDeltas(merge_anthropic)),
    "responses": Family(_response, lambda _: EventDeltas()),
    "router": Family(_response, _any_deltas),
    "speech": Family(_speech, lambda _: NoDeltas()),
    "text": Family(_response, lambda _: TextDeltas()),
}


def inputs(
    parameters: Sequence[str], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Value]:
    """Copy the parameters of a call, without credentials and LiteLLM's internals.

    Args:
        parameters: Names of the positional parameters, in order.
        args: The positional arguments.
        kwargs: The keyword arguments.

    Returns:
        The given parameters that are not ``None``, by name.
    """
    found: dict[str, Value] = {}
    for name, value in zip(parameters, args, strict=False):  # too many: LiteLLM will say so
        _copy_into(found, name, value)
    for name, value in kwargs.items():
        _copy_into(found, name, value)
    return found


def _copy_into(found: dict[str, Value], name: str, value: Any) -> None:
    if value is None or name in _INTERNAL:
        return
    if is_secret(name):
        withheld(value)
        return
    if name in _CONTENT:
        found[name] = snapshot(value)
    elif value.__class__ in (str, bool, int, float):
        found[name] = value
    else:
        found[name] = _clean(name, value)


def call_attributes(kwargs: Mapping[str, Any]) -> dict[str, Value]:
    """Read what people filter by from a call's own parameters: session, user, tags, metadata.

    Args:
        kwargs: The keyword arguments.

    Returns:
        Attributes.
    """
    found: dict[str, Value] = {}
    session = kwargs.get("litellm_session_id")
    if session is not None:
        found[semconv.SESSION_ID] = snapshot(session)
    user = kwargs.get("user")
    if user is not None:
        found[semconv.USER_ID] = snapshot(user)
    for name in ("litellm_metadata", "metadata"):
        metadata = kwargs.get(name)
        if isinstance(metadata, Mapping):
            found.update(_metadata(metadata))
    return found


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Value]:
    """Name what is in ``metadata``: LiteLLM's Router and proxy put notes of their own there."""
    found: dict[str, Value] = {}
    routed, served = "model_group" in metadata, "user_api_key" in metadata
    for name, value in metadata.items():
        if value is None or not isinstance(name, str):
            continue
        known = _METADATA_NAMES.get(name) or _ROUTER_NAMES.get(name)
        noted = (routed and name in _ROUTER_NOTES) or (served and name in _PROXY_BOOKKEEPING)
        if known is not None:
            found[known] = without_secrets(snapshot(value))
        elif not noted and not name.startswith(_PROXY_NOTES):
            found[semconv.METADATA_PREFIX + name] = _clean(name, value)
    info = metadata.get("model_info")
    if routed and isinstance(info, Mapping) and info.get("id") is not None:
        found[MODEL_ID] = snapshot(info["id"])
    return found


def remote_parent(kwargs: Mapping[str, Any]) -> SpanContext | None:
    """Read whose work a call of the proxy is: the ``traceparent`` of the request it is made for.

    Args:
        kwargs: The keyword arguments.

    Returns:
        The span of another service; ``None`` where no valid header was sent.
    """
    request = kwargs.get(_PROXY_REQUEST)
    headers = request.get("headers") if isinstance(request, Mapping) else None
    header = headers.get("traceparent") if isinstance(headers, Mapping) else None
    if not isinstance(header, str):
        return None
    try:
        return SpanContext.from_traceparent(header)
    except ConfigurationError:  # from outside: whatever it is, it is no mistake of the caller's
        return None


def _clean(name: str, value: Any) -> Value:
    copied = without_secrets({name: snapshot(value)})
    return copied[name] if isinstance(copied, Mapping) else None


# From here on: on the sink's thread, over copies alone.


def request_attributes(given: Mapping[str, Value]) -> dict[str, Value]:
    """Name the parameters that OpenTelemetry has names for.

    Args:
        given: What `inputs` returned.
    """
    found = {
        attribute: given[name] for name, attribute in _REQUEST_ATTRIBUTES.items() if name in given
    }
    stop = found.get(semconv.REQUEST_STOP_SEQUENCES)
    if isinstance(stop, str):
        found[semconv.REQUEST_STOP_SEQUENCES] = (stop,)
    if found.get(semconv.REQUEST_CHOICE_COUNT) == 1:
        del found[semconv.REQUEST_CHOICE_COUNT]
    if given.get("stream"):
        found[semconv.REQUEST_STREAM] = True
    encoding = given.get("encoding_format")
    if isinstance(encoding, str):
        found[semconv.REQUEST_ENCODING_FORMATS] = (encoding,)
    return found


def response_attributes(outputs: Value) -> dict[str, Value]:
    """Name the parts of a response that OpenTelemetry has names for.

    Args:
        outputs: The copied response.
    """
    if not isinstance(outputs, Mapping):
        return {}
    found: dict[str, Value] = {}
    if isinstance(outputs.get("id"), str):
        found[semconv.RESPONSE_ID] = outputs["id"]
    if isinstance(outputs.get("model"), str):
        found[semconv.RESPONSE_MODEL] = outputs["model"]
    choices = outputs.get("choices")
    if isinstance(choices, tuple):
        reasons = tuple(c.get("finish_reason") for c in choices if isinstance(c, Mapping))
        found[semconv.RESPONSE_FINISH_REASONS] = tuple(r for r in reasons if r is not None)
    return found


def provider_attributes(provider: str | None, model: Value) -> dict[str, Value]:
    """Name the provider, in LiteLLM's words and in OpenTelemetry's, and the model without it.

    Args:
        provider: LiteLLM's name of the provider.
        model: The model as it was asked for, perhaps with the provider in front.
    """
    found: dict[str, Value] = {}
    if isinstance(model, str):
        prefix = f"{provider}/"
        found[semconv.REQUEST_MODEL] = model.removeprefix(prefix) if provider else model
    if provider:
        found[PROVIDER] = provider
        found[semconv.PROVIDER_NAME] = _PROVIDERS.get(provider, provider)
    return found


def endpoint_attributes(url: str | None) -> dict[str, Value]:
    """Name the endpoint, without query, fragment and credentials.

    Args:
        url: The URL a request went to.
    """
    if not url:
        return {}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return {}
    if not host:
        return {}
    shown = f"[{host}]" if ":" in host else host
    place = f"{shown}:{port}" if port else shown
    found: dict[str, Value] = {
        semconv.URL_FULL: urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", "")),
        semconv.SERVER_ADDRESS: host,
    }
    found[semconv.SERVER_PORT] = port or {"http": 80, "https": 443}.get(parts.scheme)
    return found


def header_attributes(headers: Value) -> dict[str, Value]:
    """Read the provider's request id and rate limits from response headers.

    Args:
        headers: LiteLLM's ``additional_headers``, copied.
    """
    if not isinstance(headers, Mapping):
        return {}
    found: dict[str, Value] = {}
    for name in ("request-id", "llm_provider-x-request-id", "llm_provider-request-id"):
        if isinstance(headers.get(name), str):
            found[REQUEST_ID] = headers[name]
            break
    for name, value in headers.items():
        if name.startswith("x-ratelimit-"):
            found[RATE_LIMIT_PREFIX + name.removeprefix("x-ratelimit-")] = value
    return found


def usage_of(outputs: Value) -> TokenUsage | None:
    """Read token counts from a copied response.

    Counts that are all zero are what LiteLLM fills in for a provider that told none.

    Args:
        outputs: The copied response; its usage in OpenAI's, Anthropic's or Responses' words.

    Returns:
        The counts; ``None`` where nothing was told.
    """
    usage = _usage_in(outputs)
    if usage is None:
        return None
    read = _Counts(usage)
    given = read("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count")
    made = read("completion_tokens", "output_tokens", "candidatesTokenCount",
        "candidates_token_count")  # fmt: skip
    if not given and not made:
        return None
    asked, answered = read.inside("prompt", "input"), read.inside("completion", "output")
    cached = asked("cached_tokens")
    if cached is None:
        cached = read("cache_read_input_tokens", "cachedContentTokenCount")
    created = asked("cache_creation_tokens", "cache_write_tokens")
    if created is None:
        created = read("cache_creation_input_tokens")
    if given is not None and "input_tokens" in usage and "cache_read_input_tokens" in usage:
        given += (cached or 0) + (created or 0)  # Anthropic counts them apart
    thought = answered("reasoning_tokens")
    if thought is None:
        thought = read("thoughtsTokenCount", "thoughts_token_count")
        made = (made or 0) + thought if thought else made  # Google counts them apart
    return TokenUsage(
        input=given,
        output=made,
        total=read("total_tokens", "totalTokenCount", "total_token_count")
        or (given or 0) + (made or 0),
        cache_read=cached,
        cache_creation=created,
        reasoning=thought,
        audio_input=asked("audio_tokens"),
        audio_output=answered("audio_tokens"),
        source=UsageSource.PROVIDER,
    )


def _usage_in(outputs: Value) -> Mapping[str, Value] | None:
    if not isinstance(outputs, Mapping):
        return None
    for name in ("usage", "usageMetadata", "usage_metadata"):
        usage = outputs.get(name)
        if isinstance(usage, Mapping):
            return usage
    return None


class _Counts:
    """Reads counts by the first name that is there."""

    def __init__(self, usage: Mapping[str, Value]) -> None:
        self._usage = usage

    def __call__(self, *names: str) -> int | None:
        for name in names:
            value = self._usage.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        return None

    def inside(self, *sides: str) -> _Counts:
        for side in sides:
            details = self._usage.get(f"{side}_tokens_details")
            if isinstance(details, Mapping):
                return _Counts(details)
        return _Counts({})


def describe(span: Span, added: Mapping[str, Value]) -> Span:
    """Return a span with more attributes; those it has already win.

    Args:
        span: The span.
        added: What was found out; ``None`` is left out.
    """
    known = {name: value for name, value in added.items() if value is not None}
    return attrs.evolve(span, attributes={**known, **span.attributes})
