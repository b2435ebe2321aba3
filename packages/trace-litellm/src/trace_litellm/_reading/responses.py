"""Attributes of a response: its id, model, provider and endpoint."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from trace_core import Value, semconv

CALL_ID: Final = "litellm.call_id"
PROVIDER: Final = "litellm.provider"
"""LiteLLM's name of the provider; `semconv.PROVIDER_NAME` is OpenTelemetry's."""
MODEL_ID: Final = "litellm.model_id"
OVERHEAD: Final = "litellm.overhead_ms"
REQUEST_ID: Final = "litellm.provider_request_id"
RATE_LIMIT_PREFIX: Final = "litellm.ratelimit."
REGION: Final = "litellm.region"
KEPT: Final = "litellm.cached_inputs"
"""Number of inputs whose embeddings came from LiteLLM's cache, where others did not."""
REQUESTS: Final = "litellm.requests"
"""Number of requests that LiteLLM made for this call, without the retries of a provider's SDK."""
SDK_RETRIES: Final = "litellm.sdk_retries"
"""Number of retries by the OpenAI SDK itself: ``max_retries``."""
ANSWER_CLASS: Final = "litellm.response_class"
"""The class of a whole answer, to make it again: ``litellm.types.utils.ModelResponse``."""
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


_FINAL: Final = frozenset({"completed", "failed", "incomplete"})
"""States of a Responses answer after which nothing comes."""


def response_attributes(outputs: Value) -> dict[str, Value]:
    """Return the attributes for the id, model and finish reasons of a response.

    Args:
        outputs: The copied response.
    """
    result: dict[str, Value] = {}
    if not isinstance(outputs, dict):
        return result
    name, model, choices = outputs.get("id"), outputs.get("model"), outputs.get("choices")
    if type(name) is str:
        result[semconv.RESPONSE_ID] = name
    if type(model) is str:
        result[semconv.RESPONSE_MODEL] = model
    if type(choices) is tuple:
        result[semconv.RESPONSE_FINISH_REASONS] = tuple(
            [
                reason
                for one in choices
                if isinstance(one, dict) and (reason := one.get("finish_reason")) is not None
            ]
        )
    return result


def is_finished(outputs: Value) -> bool:
    """Return whether an answer says that nothing more comes, in the terms of any family.

    Args:
        outputs: The copied response.
    """
    if not isinstance(outputs, Mapping):
        return False
    parts = outputs.get("choices") or outputs.get("candidates") or ()
    reasons = [
        one.get("finish_reason") or one.get("finishReason")
        for one in (parts if isinstance(parts, tuple) else ())
        if isinstance(one, Mapping)
    ]
    return any(reasons) or bool(outputs.get("stop_reason")) or outputs.get("status") in _FINAL


@functools.lru_cache(maxsize=256)
def provider_attributes(provider: str | None, model: str | None) -> Mapping[str, Value]:
    """Return the attributes for the provider, as LiteLLM and OpenTelemetry name it, and the model.

    Args:
        provider: LiteLLM's name of the provider.
        model: The requested model, perhaps with the provider as a prefix.
    """
    result: dict[str, Value] = {}
    if model is not None:
        prefix = f"{provider}/"
        result[semconv.REQUEST_MODEL] = model.removeprefix(prefix) if provider else model
    if provider:
        result[PROVIDER] = provider
        result[semconv.PROVIDER_NAME] = _PROVIDERS.get(provider, provider)
    return result


@functools.lru_cache(maxsize=256)
def endpoint_attributes(url: str | None) -> Mapping[str, Value]:
    """Return the attributes for an endpoint, without query, fragment and credentials.

    Args:
        url: The URL of a request.
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
    result: dict[str, Value] = {
        semconv.URL_FULL: urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", "")),
        semconv.SERVER_ADDRESS: host,
    }
    port = port or {"http": 80, "https": 443}.get(parts.scheme)
    return {**result, semconv.SERVER_PORT: port} if port else result
