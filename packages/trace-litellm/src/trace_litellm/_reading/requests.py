"""Requests to span fields: a call's parameters, and what people filter by.

On the caller's thread they are only copied; `request_attributes` is for the sink's thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, Literal, TypeAlias

from trace_core import ConfigurationError, SpanContext, Value, semconv, snapshot
from trace_litellm._reading.credentials import (
    is_secret,
    remember_client,
    remember_url,
    withheld,
    without_secrets,
)
from trace_litellm._reading.responses import MODEL_ID

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
        "allow_client_keepalive_override",
        "aimg_generation",
        "amoderation",
        "arerank",
        "aresponses",
        "aspeech",
        "async_call",
        "atext_completion",
        "atranscription",
        "caching_groups",
        "is_async",
        "litellm_call_id",
        "litellm_logging_obj",
        "litellm_params",
        "litellm_session_id",
        "litellm_trace_id",
        "logger_fn",
        "merge_reasoning_content_in_choices",
        "metadata",
        "model_info",
        "litellm_metadata",
        "original_function",
        "proxy_server_request",
        "secret_fields",
        "self",
        "shared_session",
        "standard_callback_dynamic_params",
        "use_in_pass_through",
        "use_litellm_proxy",
        "use_xai_oauth",
        "websocket",
    }
)
"""Parameters that are LiteLLM's own business, or told elsewhere on the span."""

_CLIENTS: Final = frozenset({"client", "http_client"})

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

_NAMED: Final = frozenset({*_REQUEST_ATTRIBUTES, "encoding_format", "stream"})

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
PROXY_REQUEST: Final = "proxy_server_request"
"""The parameter in which the proxy tells of the HTTP request that a call is made for."""


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
    known = _treatments
    for name, value in chain(zip(parameters, args, strict=False), kwargs.items()):
        if value is None:
            continue
        treatment = known.get(name) or _judge(name)
        if treatment == "drop":
            continue
        if treatment == "remember":
            remember_client(value)
        elif treatment == "withhold" and type(value) not in _NUMBERS:
            withheld(value)
        elif type(value) in _ATOMS:
            found[name] = value
            if name in _URLS:
                remember_url(str(value))
        else:
            found[name] = snapshot(value) if treatment == "copy" else _clean(name, value)
    return found


_NUMBERS: Final = frozenset({bool, int, float})
_ATOMS: Final = frozenset({str, *_NUMBERS})
_URLS: Final = frozenset({"api_base", "base_url"})
_Treatment: TypeAlias = Literal["copy", "clean", "drop", "withhold", "remember"]
_treatments: Final[dict[str, _Treatment]] = {}
_MAX_TREATMENTS: Final = 1_024


def _judge(name: str) -> _Treatment:
    """Decide how a parameter of this name is recorded, once."""
    if name in _CLIENTS:
        treatment: _Treatment = "remember"
    elif name in _INTERNAL or name.startswith("_"):
        treatment = "drop"
    elif is_secret(name):
        treatment = "withhold"
    else:
        treatment = "copy" if name in _CONTENT else "clean"
    if len(_treatments) < _MAX_TREATMENTS:
        _treatments[name] = treatment
    return treatment


NOTED: Final = frozenset({"litellm_metadata", "litellm_session_id", "metadata", "user"})
"""Parameters that `call_attributes` reads."""


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
        if metadata is not None and isinstance(metadata, Mapping):
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
    request = kwargs.get(PROXY_REQUEST)
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


def request_attributes(given: Mapping[str, Value]) -> dict[str, Value]:
    """Name the parameters that OpenTelemetry has names for.

    Args:
        given: What `inputs` returned.
    """
    found: dict[str, Value] = {}
    if _NAMED.isdisjoint(given):
        return found
    for name, attribute in _REQUEST_ATTRIBUTES.items():
        if name in given:
            found[attribute] = given[name]
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
