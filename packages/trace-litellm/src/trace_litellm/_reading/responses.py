"""Responses to span fields: one reader a family of calls.

On the caller's thread a response is only copied (`Family.copy`, `told_of`); making sense of
the copies is for the sink's thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import attrs

from trace_core import TokenUsage, UsageSource, Value, semconv, snapshot
from trace_litellm._reading.errors import Failure, category, told_failure
from trace_litellm._streams.chat import ChatDeltas, TextDeltas
from trace_litellm._streams.deltas import Deltas, ListDeltas, NoDeltas
from trace_litellm._streams.events import SseDeltas, merge_anthropic, merge_google
from trace_litellm._streams.responses import ResponsesDeltas

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
SDK_RETRIES: Final = "litellm.sdk_retries"
"""How often the OpenAI SDK sent a request again by itself: ``max_retries``."""
SDK_RETRY_EVENT: Final = "litellm.sdk_retry"
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
_ATOMS: Final = frozenset({str, float, int, bool, type(None)})
_TOLD: Final = frozenset(
    {
        "additional_headers",
        "api_base",
        "base_model",
        "cache_hit",
        "custom_llm_provider",
        "litellm_model_name",
        "litellm_overhead_time_ms",
        "model_id",
        "region_name",
        "response_cost",
        "keeps_chunks",
        "translated",
        "usage",
    }
)
"""What is read of ``_hidden_params``, LiteLLM's note on a response; ours are ``base_model`` and the
last three."""


@attrs.frozen
class Family:
    """How to read one family of calls.

    Args:
        copy: Copies a response.
        deltas: Makes, for a stream, what adds it up.
        failure: Tells, on the sink's thread, of a failure that was returned and not raised.
        normalise: Makes plain data of a copy that is not yet, on the sink's thread.
    """

    copy: Callable[[Any], Any]
    deltas: Callable[[Any], Deltas]
    failure: Callable[[Value], Failure | None] = lambda _: None
    normalise: Callable[[Any], Value] = lambda copied: copied

    def outputs(self, copied: Any) -> Value:
        """Make outputs of a copied response: plain, and without LiteLLM's private notes.

        Args:
            copied: What `copy` made.
        """
        found = self.normalise(copied)
        if isinstance(found, dict):
            found.pop("_response_ms", None)
            found.pop("_hidden_params", None)
        return found


_LONG: Final = 64
_models: Final[set[type]] = set()
_MAX_MODELS: Final = 1_024


def _response(result: Any) -> Value:
    """Copy a response as `snapshot` does, with less ado: most of it is pydantic models."""
    cls = type(result)
    if cls in _models:
        fields: dict[str, Any] = result.__dict__.copy()
        if extra := result.__pydantic_extra__:
            fields.update(extra)
        for name, value in fields.items():
            if type(value) not in _ATOMS:
                fields[name] = _response(value)
        return fields
    if cls is list and len(result) <= _LONG:
        return tuple([item if type(item) in _ATOMS else _response(item) for item in result])
    if hasattr(cls, "__pydantic_fields__") and len(_models) < _MAX_MODELS:
        _models.add(cls)
        return _response(result)
    return snapshot(result)


def _embeddings(result: Any) -> Any:
    """Copy embeddings: each vector as it is, because to look at its numbers takes its time."""
    cls = type(result)
    if cls in _ATOMS:
        return result
    if cls is list:
        vector = result and type(result[0]) in _ATOMS
        return result.copy() if vector else [_embeddings(item) for item in result]
    if cls is not dict and not hasattr(cls, "__pydantic_fields__"):
        return snapshot(result)
    extra = getattr(result, "__pydantic_extra__", None) or {}
    fields = {**(result if cls is dict else result.__dict__), **extra}
    return {name: _embeddings(value) for name, value in fields.items()}


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


def _session(result: Any) -> Any:
    """Copy what a session of the proxy's returns: nothing, or the exception that it ended with."""
    if not isinstance(result, BaseException):
        return _response(result)
    kind = type(result).__name__
    return {"exception": {"text": str(result), "kind": kind, "category": category(result)}}


def _session_failure(outputs: Value) -> Failure | None:
    error = outputs.get("exception") if isinstance(outputs, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    return Failure(*(str(error.get(field.name)) for field in attrs.fields(Failure)))


def _tool_failure(outputs: Value) -> Failure | None:
    """Read a tool's own word for it; MCP's SDK spells it in two ways, depending on its release."""
    if not isinstance(outputs, Mapping):
        return None
    if outputs.get("is_error") is not True and outputs.get("isError") is not True:
        return None
    content = outputs.get("content")
    parts = content if isinstance(content, tuple) else ()
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    text = " ".join(text for text in texts if isinstance(text, str))
    return Failure(text or "the tool failed", "tool_error", "tool")


def _answer_failure(outputs: Value) -> Failure | None:
    """Read the error in an answer: of a stream of messages, or of a response that failed."""
    error = outputs.get("error") if isinstance(outputs, Mapping) else None
    return told_failure(error) if isinstance(error, Mapping) else None


def _any_deltas(stream: Any) -> Deltas:
    """Choose by the stream's own class where the function does not tell."""
    names = {cls.__name__ for cls in stream.__class__.__mro__}
    if "CustomStreamWrapper" in names:
        return ChatDeltas()
    if "TextCompletionStreamWrapper" in names:
        return TextDeltas()
    if any("Responses" in name for name in names):
        return ResponsesDeltas()
    return NoDeltas()


FAMILIES: Final[Mapping[str, Family]] = {
    "any": Family(_response, lambda _: ListDeltas()),
    "batch": Family(_response, lambda _: NoDeltas()),
    "chat": Family(_response, lambda _: ChatDeltas()),
    "embedding": Family(_embeddings, lambda _: NoDeltas(), normalise=snapshot),
    "google": Family(_response, lambda _: SseDeltas(merge_google)),
    "messages": Family(_response, lambda _: SseDeltas(merge_anthropic), _answer_failure),
    "responses": Family(_response, lambda _: ResponsesDeltas(), _answer_failure),
    "router": Family(_session, _any_deltas, _session_failure),
    "session": Family(_session, lambda _: NoDeltas(), _session_failure),
    "speech": Family(_speech, lambda _: NoDeltas()),
    "text": Family(_response, lambda _: TextDeltas()),
    "tool": Family(_response, lambda _: NoDeltas(), _tool_failure),
}


def response_attributes(outputs: Value) -> dict[str, Value]:
    """Name the parts of a response that OpenTelemetry has names for.

    Args:
        outputs: The copied response.
    """
    found: dict[str, Value] = {}
    if not isinstance(outputs, dict):
        return found
    name, model, choices = outputs.get("id"), outputs.get("model"), outputs.get("choices")
    if type(name) is str:
        found[semconv.RESPONSE_ID] = name
    if type(model) is str:
        found[semconv.RESPONSE_MODEL] = model
    if type(choices) is tuple:
        reasons = [c.get("finish_reason") for c in choices if isinstance(c, dict)]
        found[semconv.RESPONSE_FINISH_REASONS] = tuple([r for r in reasons if r is not None])
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


@functools.lru_cache(maxsize=256)
def endpoint_attributes(url: str | None) -> Mapping[str, Value]:
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
    port = port or {"http": 80, "https": 443}.get(parts.scheme)
    return {**found, semconv.SERVER_PORT: port} if port else found


_TOLD_ATTRIBUTES: Final = {
    "litellm_overhead_time_ms": OVERHEAD,
    "model_id": MODEL_ID,
    "region_name": REGION,
}


def told_attributes(told: Mapping[str, Value]) -> dict[str, Value]:
    """Name what LiteLLM notes on a response, the provider's request id and rate limits too.

    Args:
        told: What `told` returned.
    """
    found = {_TOLD_ATTRIBUTES[name]: told[name] for name in _TOLD_ATTRIBUTES.keys() & told.keys()}
    headers = told.get("additional_headers")
    if not headers or not isinstance(headers, dict):
        return found
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
    usage = usage_in(outputs)
    if usage is None:
        return None
    counts = _counts(usage)
    given = _first(counts, _INPUT)
    made = _first(counts, _OUTPUT)
    if not given and not made:
        return None
    asked, answered = _details(usage, _ASKED), _details(usage, _ANSWERED)
    cached = asked.get("cached_tokens")
    if cached is None:
        cached = _first(counts, ("cache_read_input_tokens", "cachedContentTokenCount"))
    created = _first(asked, ("cache_creation_tokens", "cache_write_tokens"))
    if created is None:
        created = counts.get("cache_creation_input_tokens")
    if given is not None and "input_tokens" in usage and "cache_read_input_tokens" in usage:
        given += (cached or 0) + (created or 0)  # Anthropic counts them apart
    thought = answered.get("reasoning_tokens")
    if thought is None:
        thought = _first(counts, ("thoughtsTokenCount", "thoughts_token_count"))
        made = (made or 0) + thought if thought else made  # Google counts them apart
    return TokenUsage(
        given,
        made,
        _first(counts, _TOTAL) or (given or 0) + (made or 0),
        cached,
        created,
        thought,
        asked.get("audio_tokens"),
        answered.get("audio_tokens"),
        UsageSource.PROVIDER,
    )


_INPUT: Final = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count")
_OUTPUT: Final = (
    "completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count",
)  # fmt: skip
_TOTAL: Final = ("total_tokens", "totalTokenCount", "total_token_count")
_ASKED: Final = ("prompt_tokens_details", "input_tokens_details")
_ANSWERED: Final = ("completion_tokens_details", "output_tokens_details")
_NONE_COUNTED: Final[dict[str, int]] = {}


def usage_in(outputs: Value) -> dict[str, Value] | None:
    """Find the usage in a copied response, in the provider's own words.

    Args:
        outputs: The copied response.
    """
    if not isinstance(outputs, dict):
        return None
    for name in ("usage", "usageMetadata", "usage_metadata"):
        usage = outputs.get(name)
        if isinstance(usage, dict):
            return usage
    return None


def _counts(usage: dict[str, Value]) -> dict[str, int]:
    return {name: value for name, value in usage.items() if type(value) is int}


def _first(counts: dict[str, int], names: tuple[str, ...]) -> int | None:
    """Return the count of the first name that is there."""
    for name in names:
        if name in counts:
            return counts[name]
    return None


def _details(usage: dict[str, Value], names: tuple[str, ...]) -> dict[str, int]:
    for name in names:
        details = usage.get(name)
        if isinstance(details, dict):
            return _counts(details)
    return _NONE_COUNTED


def told_of(result: Any) -> dict[str, Any]:
    """Take what LiteLLM notes on a response or stream; `told` reads it on the sink's thread.

    Args:
        result: A response, a stream, or a plain dictionary.
    """
    private = getattr(result, "__pydantic_private__", None)  # asking the model is ten times slower
    hidden = private.get("_hidden_params") if private else getattr(result, "_hidden_params", None)
    if type(hidden) is dict:
        return hidden.copy()
    if hidden is None and type(result) is dict:
        hidden = result.get("_hidden_params")
    if hidden is None:
        return {}
    return dict(hidden if isinstance(hidden, dict) else getattr(hidden, "__dict__", ()))


def told(taken: Mapping[str, Any]) -> dict[str, Value]:
    """Copy what is of use of LiteLLM's notes.

    Args:
        taken: What `told_of` and its like found.
    """
    found: dict[str, Value] = {}
    for name in _TOLD & taken.keys():
        value = taken[name]
        if value is not None:
            found[name] = value if type(value) in _ATOMS else snapshot(value)
    return found


def told_of_stream(stream: Any) -> dict[str, Any]:
    """Copy what LiteLLM notes on a stream, which says itself who provides it.

    Args:
        stream: LiteLLM's stream.
    """
    found = told_of(stream)
    provider = getattr(stream, "custom_llm_provider", None)
    if isinstance(provider, str):
        found["custom_llm_provider"] = provider
    base_model = _base_model_of(stream)
    if isinstance(base_model, str):
        found["base_model"] = base_model
    return found


def _base_model_of(stream: Any) -> Any:
    """Find the model a deployment is priced as, where its own name is in no price list."""
    details = getattr(getattr(stream, "logging_obj", None), "model_call_details", None)
    params = details.get("litellm_params") if isinstance(details, dict) else None
    if not isinstance(params, dict):
        return None
    noted = (params, *(params.get(name) for name in ("metadata", "litellm_metadata")))
    infos = [one.get("model_info") for one in noted if isinstance(one, dict)]
    found = (one.get("base_model") for one in (params, *infos) if isinstance(one, dict))
    return next((name for name in found if name), None)


def usage_kept_by(stream: Any) -> dict[str, Value]:
    """Find the usage that a provider told at the end of a stream, among the chunks LiteLLM keeps.

    What the caller sees may be nothing, or LiteLLM's own count instead.

    Args:
        stream: LiteLLM's stream.

    Returns:
        ``usage``, if it was told, and whether the stream keeps chunks at all.
    """
    inner = getattr(stream, "completion_stream", None)  # text completions wrap chat ones
    chunks = getattr(stream, "chunks", None) or getattr(inner, "chunks", None) or ()
    for chunk in reversed(chunks):
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            return {"usage": snapshot(usage), "keeps_chunks": True}
    return {"keeps_chunks": bool(chunks)}
