"""LiteLLM's ``_hidden_params`` and its logging object: what it knows of a response or a stream.

The functions that take a response or a stream copy on the caller's thread; `known` and
`param_attributes` run on the writer's thread.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from trace_core import Value, snapshot
from trace_litellm._reading.own_counts import is_estimate
from trace_litellm._reading.responses import (
    MODEL_ID,
    OVERHEAD,
    RATE_LIMIT_PREFIX,
    REGION,
    REQUEST_ID,
)
from trace_litellm._reading.units import AUDIO_SECONDS
from trace_litellm._streams.usage import counts_answer, merge_usage

_ATOMS: Final = frozenset({str, float, int, bool, type(None)})
_READ: Final = frozenset(
    {
        "additional_headers",
        "api_base",
        AUDIO_SECONDS,
        "cache_hit",
        "custom_llm_provider",
        "estimated",
        "keeps_chunks",
        "litellm_model_name",
        "litellm_overhead_time_ms",
        "model_id",
        "preliminary",
        "pricing",
        "provider_response_model",
        "region_name",
        "response_cost",
        "translated",
        "usage",
    }
)
"""The parameters that are read; ``estimated``, ``keeps_chunks``, ``preliminary``, ``pricing``,
``translated`` and ``usage`` are ours."""
CACHED: Final = "cached_response"
"""The provider that LiteLLM names for a stream from its cache."""
_TEXT_STREAM: Final = "TextCompletionStreamWrapper"
"""Around the provider's stream: older releases put their own count in the place of its usage."""
_ATTRIBUTES: Final = {
    "litellm_overhead_time_ms": OVERHEAD,
    "model_id": MODEL_ID,
    "region_name": REGION,
}
_PIECES: Final = ("content", "reasoning_content", "text", "tool_calls")
_PRICING: Final = ("custom_cost_per_second", "custom_cost_per_token", "custom_model_info")


def hidden_params(result: Any) -> dict[str, Any]:
    """Copy the hidden parameters of a response or stream.

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
    if isinstance(hidden, dict):
        return dict(hidden)
    unnamed = getattr(hidden, "__pydantic_extra__", None) or {}  # such as ``cache_hit``
    kept = {"cache_hit": True} if "cache_key" in unnamed else {}  # all that older releases say
    return {**kept, **unnamed, **getattr(hidden, "__dict__", {})}


def stream_params(stream: Any) -> dict[str, Any]:
    """Copy the hidden parameters of a stream, its provider and the model that answers.

    Args:
        stream: LiteLLM's stream.
    """
    params = hidden_params(stream)
    provider = getattr(stream, "custom_llm_provider", None)
    if isinstance(provider, str):
        params["custom_llm_provider"] = provider
    model = getattr(stream, "_provider_response_model", None)  # chunks have the requested model
    if isinstance(model, str):
        params["provider_response_model"] = model
    return params


def ended_params(stream: Any, source: Any) -> dict[str, Any]:
    """Copy what LiteLLM knows of a stream that has ended.

    Args:
        stream: The stream that the caller read.
        source: The provider's stream, if that one is a translation of it. Streams of the Responses
            API keep no chunks.
    """
    provider = source if hasattr(source, "chunks") else stream
    return {
        **stream_params(stream),
        **pricing_params(provider),
        **reported_usage(provider),
        **_cached(stream, source, getattr(stream, "completion_stream", None)),
        "estimated": any(is_estimate(_final_usage(one)) for one in (stream, source)),
        "translated": source is not None and type(stream).__name__ != _TEXT_STREAM,
    }


def source_params(answer: Any) -> dict[str, Any]:
    """Copy what is known of a whole answer that LiteLLM translates for the caller.

    Args:
        answer: The provider's answer, as the API has it that serves the call.
    """
    hidden, usage = hidden_params(answer), getattr(answer, "usage", None)
    return {
        "cache_hit": is_cache_hit(hidden),
        "response_cost": hidden.get("response_cost"),
        "translated": True,
        "usage": None if usage is None else snapshot(usage),
    }


def is_cache_hit(params: Mapping[str, Any]) -> bool:
    """Return whether an answer came from LiteLLM's cache.

    Args:
        params: Its hidden parameters.
    """
    return params.get("cache_hit") is True or params.get("custom_llm_provider") == CACHED


def is_custom(params: Mapping[str, Any]) -> bool:
    """Return whether a handler of the user's answers, which may call models as it streams.

    Args:
        params: The hidden parameters of its stream.
    """
    custom = getattr(sys.modules.get("litellm"), "_custom_providers", ())
    return params.get("custom_llm_provider") in custom


def _cached(*streams: Any) -> dict[str, bool]:
    """Say that an answer was kept, if a stream knows it: the one that the caller read may not."""
    hit = any(is_cache_hit(stream_params(stream)) for stream in streams)
    return {"cache_hit": True} if hit else {}


def _final_usage(stream: Any) -> Any:
    """Return the usage in the last event of a Responses stream."""
    last = getattr(stream, "completed_response", None)
    return getattr(getattr(last, "response", None), "usage", None)


def pricing_params(stream: Any) -> dict[str, Any]:
    """Copy from a stream's logging object what LiteLLM computes the price from.

    Args:
        stream: LiteLLM's stream.

    Returns:
        ``model``, ``base_model`` and deployment ``id``; the ``prices`` of the call and of the
        deployment; and what releases that have them make of those prices.
    """
    logging = getattr(stream, "logging_obj", None)
    details = getattr(logging, "model_call_details", None)
    params = details.get("litellm_params") if isinstance(details, dict) else None
    if not isinstance(details, dict) or not isinstance(params, dict):
        return {}
    places = (params, params.get("metadata"), params.get("litellm_metadata"))
    infos = [one.get("model_info") for one in places if isinstance(one, dict)]
    sources = [params, *(info for info in infos if isinstance(info, dict))]
    prices = {k: v for one in sources for k, v in one.items() if is_price(k) and v is not None}
    pricing = {
        name: value for name in _PRICING if (value := getattr(logging, name, None)) is not None
    }
    pricing["model"], pricing["prices"] = details.get("model"), prices
    for name, named in (("base_model", sources), ("id", sources[1:])):
        pricing[name] = next((one[name] for one in named if one.get(name)), None)
    return {"pricing": pricing}


def is_price(name: str) -> bool:
    """Return whether a parameter of a call or a deployment is a price."""
    return "cost_per_" in name or "token_cost" in name


@lru_cache(256)
def price_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a call's parameters that are prices.

    Args:
        names: Of all of them.
    """
    return tuple(filter(is_price, names))


def reported_usage(stream: Any) -> dict[str, Value]:
    """Merge the usage of all chunks that LiteLLM keeps of a stream.

    What the caller sees may have none, or LiteLLM's own count.

    Args:
        stream: LiteLLM's stream.

    Returns:
        ``usage``, if a chunk has it; whether its count of the answer is ``preliminary``, because
        text came after it; and whether the stream keeps chunks.
    """
    inner = getattr(stream, "completion_stream", None)  # text completions wrap chat ones
    chunks = getattr(stream, "chunks", None) or getattr(inner, "chunks", None) or ()
    merged: Value = None
    kept = False
    counted = 0
    for number, chunk in enumerate(chunks, 1):
        kept = kept or not isinstance(chunk, (bytes, str))  # else the provider's own events
        usage = _field(chunk, "usage")
        if usage is not None:
            copied = snapshot(usage)
            merged = merge_usage(merged, copied)
            counted = number if counts_answer(copied) else counted
    result: dict[str, Value] = {"keeps_chunks": kept}
    if merged is None:
        return result
    preliminary = counted > 0 and any(_has_text(chunk) for chunk in chunks[counted:])
    return {**result, "usage": merged, "preliminary": preliminary}


def _field(chunk: Any, name: str) -> Any:
    """Return a field of a chunk, quicker than the pydantic model would."""
    fields = getattr(chunk, "__dict__", None) or {}
    extra = getattr(chunk, "__pydantic_extra__", None) or {}
    return fields.get(name) or extra.get(name)


def _has_text(chunk: Any) -> bool:
    """Return whether a chunk has a piece of the answer, or of the thoughts before it."""
    for choice in _field(chunk, "choices") or ():
        delta = _field(choice, "delta") or choice  # a text completion has none
        if any(_field(delta, name) for name in _PIECES):
            return True
    return False


def known(params: Mapping[str, Any]) -> dict[str, Value]:
    """Copy the parameters that are read, as plain data.

    Args:
        params: What the functions above returned.
    """
    read, atoms = _READ, _ATOMS
    return {
        name: value if type(value) in atoms else snapshot(value)
        for name, value in params.items()
        if value is not None and name in read
    }


def param_attributes(params: Mapping[str, Value]) -> dict[str, Value]:
    """Return the attributes for hidden parameters, the provider's request id and rate limits.

    Args:
        params: What `known` returned.
    """
    result = {to: params[name] for name, to in _ATTRIBUTES.items() if name in params}
    headers = params.get("additional_headers")
    if not headers or not isinstance(headers, dict):
        return result
    for name in ("request-id", "llm_provider-x-request-id", "llm_provider-request-id"):
        if isinstance(headers.get(name), str):
            result[REQUEST_ID] = headers[name]
            break
    for name, value in headers.items():
        if name.startswith("x-ratelimit-"):
            result[RATE_LIMIT_PREFIX + name.removeprefix("x-ratelimit-")] = value
    return result
