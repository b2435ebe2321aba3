"""Reads a request: the parameters of a call, and its session, user, tags and metadata.

`request_attributes` runs on the writer's thread, the rest on the caller's thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

from trace_core import ConfigurationError, SpanContext, Value, semconv, snapshot
from trace_litellm._reading.credentials import (
    is_secret,
    remember_client,
    remember_url,
    withheld,
    withhold_credentials,
)
from trace_litellm._reading.privacy import hides_keys
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
"""Parameters that are copied whole: they have no credentials."""

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
"""Parameters that LiteLLM uses internally, or that are elsewhere on the span."""

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

_CALLER: Final = {"litellm_session_id": semconv.SESSION_ID, "user": semconv.USER_ID}
"""Parameters that say in whose name a call is made, and their attributes."""
_METADATA_NAMES: Final = {
    "conversation_id": semconv.CONVERSATION_ID,
    "session_id": semconv.SESSION_ID,
    "tags": semconv.TAGS,
    "trace_name": semconv.TRACE_NAME,
    "trace_user_id": semconv.USER_ID,
    "user_id": semconv.USER_ID,
}
"""Keys of ``metadata`` that LiteLLM gives a meaning, and their attributes."""


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
"""Keys that LiteLLM's Router and proxy add to ``metadata``, and their attributes."""
_BOOKKEEPING: Final = frozenset({"hidden_params", "llm_api_timing_windows"})
"""Keys that every call adds to the caller's own mapping, which may be that of the next call too."""
_ROUTER_BOOKKEEPING: Final = frozenset(
    {
        "api_base",
        "_routing_request_tags",
        "caching_groups",
        "deployment_model_name",
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
"""Keys of the Router's that are left out: bookkeeping, and what other attributes have."""
_PROXY_PREFIXES: Final = (
    "user_api_key",
    "headers",
    "endpoint",
    "requester_",
    "global_max_parallel",
)
"""Prefixes of the proxy's other keys; they hold API keys and headers."""
_PROXY_BOOKKEEPING: Final = frozenset(
    {
        "caller_tags",
        "inherited_tags",
        "litellm_api_version",
        "litellm_received_at",
        "litellm_roi_estimator",
        "queue_time_seconds",
        "used_client_oauth_token",
        "user_agent",
    }
)
"""Keys of the proxy's that are left out where the proxy added them."""
PROXY_REQUEST: Final = "proxy_server_request"
"""The parameter with the HTTP request that the proxy serves by a call."""


def inputs(
    parameters: Sequence[str], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Value]:
    """Copy the parameters of a call, without credentials and LiteLLM's internals.

    Args:
        parameters: Names of the positional parameters, in order.
        args: The positional arguments.
        kwargs: The keyword arguments.

    Returns:
        The parameters that are not ``None``, by name.
    """
    copied: dict[str, Value] = {}
    known = _treatments
    named = kwargs.items()
    for name, value in chain(zip(parameters, args, strict=False), named) if args else named:
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
            copied[name] = value
            if name in _URLS:
                remember_url(str(value))
        else:
            plain = snapshot(_schema(value) if issubclass(type(value), type) else value)
            if treatment == "copy":
                copied[name] = _tools(plain) if name == "tools" else plain
            else:
                copied[name] = _clean(name, plain)
    return copied


def _tools(tools: Value) -> Value:
    """Withhold the credentials of tools on other servers; the others are schemas, with none."""
    if not isinstance(tools, tuple):
        return tools
    return tuple([withhold_credentials(tool) if _is_remote(tool) else tool for tool in tools])


def _is_remote(tool: Value) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == "mcp"


_schemas: Final[WeakKeyDictionary[type, Any]] = WeakKeyDictionary()


def _schema(cls: type) -> Any:
    """Return the JSON schema of a pydantic class, in the shape that providers take it."""
    make = getattr(cls, "model_json_schema", None)
    if make is None:
        return cls
    schema = _schemas.get(cls)
    if schema is None:
        schema = _schemas[cls] = snapshot(make())
    return {"type": "json_schema", "json_schema": {"name": cls.__name__, "schema": schema}}


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


ATTRIBUTE_PARAMETERS: Final = frozenset(
    {"litellm_metadata", "litellm_session_id", "metadata", "user"}
)
"""Parameters that `call_attributes` reads."""


def call_attributes(kwargs: Mapping[str, Any]) -> dict[str, Value]:
    """Return the attributes for the session, user, tags and metadata of a call.

    Args:
        kwargs: The keyword arguments.
    """
    attributes: dict[str, Value] = {}
    for name, attribute in _CALLER.items():
        given = kwargs.get(name)
        told = None if given is None else meaning(snapshot(given))
        if told is not None:
            attributes[attribute] = told
    for name in ("litellm_metadata", "metadata"):
        metadata = kwargs.get(name)
        if metadata is not None and isinstance(metadata, Mapping):
            attributes.update(_metadata(metadata))
    return attributes


def meaning(value: Value) -> Value:
    """Return what an id, a name or tags say, without the parts that say nothing.

    Args:
        value: What the program gave: a text, a number, or several.

    Returns:
        ``None`` where nothing is said: an empty text, no items or only such, no number.
    """
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, tuple):
        return tuple(one for one in map(meaning, value) if one is not None) or None
    if isinstance(value, Mapping):
        return {name: one for name, one in value.items() if one is not None} or None
    return value if value == value else None  # noqa: PLR0124  # not a number differs from itself


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Value]:
    """Return the attributes for ``metadata``, to which LiteLLM's Router and proxy add keys."""
    attributes: dict[str, Value] = {}
    routed, served = "model_group" in metadata, "user_api_key" in metadata
    hidden = "user_api_key" if served and hides_keys() else None
    added = _added_names(routed=routed, served=served)  # a proxy adds dozens
    for name, value in metadata.items():
        if value is None or name in added or not isinstance(name, str):
            continue
        if hidden and name.startswith(hidden):
            continue
        known = _METADATA_NAMES.get(name) or _ROUTER_NAMES.get(name)
        if known is not None:
            atom = type(value) in _ATOMS
            told = meaning(value if atom else withhold_credentials(snapshot(value)))
            if told is not None:
                attributes[known] = told
        elif not name.startswith(_PROXY_PREFIXES):
            attributes[semconv.METADATA_PREFIX + name] = _clean(name, snapshot(value))
        elif len(_prefixed) < _MAX_TREATMENTS:
            _prefixed.add(name)
            _added_names.cache_clear()
    info = metadata.get("model_info")
    if routed and isinstance(info, Mapping) and info.get("id") is not None:
        attributes[MODEL_ID] = snapshot(info["id"])
    return attributes


_prefixed: Final[set[str]] = set()
"""Names seen that begin with one of `_PROXY_PREFIXES`."""


@lru_cache(4)
def _added_names(*, routed: bool, served: bool) -> frozenset[str]:
    """Return the names of what LiteLLM adds to metadata and nobody reads."""
    names = _BOOKKEEPING.union(_prefixed.copy())
    if routed:
        names |= _ROUTER_BOOKKEEPING
    if served:
        names |= _PROXY_BOOKKEEPING
    return names - _METADATA_NAMES.keys() - _ROUTER_NAMES.keys()


def remote_parent(kwargs: Mapping[str, Any]) -> SpanContext | None:
    """Return the span of another service that sent the proxy a request.

    Args:
        kwargs: The keyword arguments of the call that serves the request.

    Returns:
        The span named by the header ``traceparent``; ``None`` without a valid one.
    """
    request = kwargs.get(PROXY_REQUEST)
    headers = request.get("headers") if isinstance(request, Mapping) else None
    header = headers.get("traceparent") if isinstance(headers, Mapping) else None
    if not isinstance(header, str):
        return None
    try:
        return SpanContext.from_traceparent(header)
    except ConfigurationError:  # it comes from outside, so it is not the caller's mistake
        return None


def _clean(name: str, value: Value) -> Value:
    copied = withhold_credentials({name: value})
    return copied[name] if isinstance(copied, Mapping) else None


def request_attributes(parameters: Mapping[str, Value]) -> dict[str, Value]:
    """Return the attributes for the parameters that OpenTelemetry has names for.

    Args:
        parameters: The copied parameters.
    """
    attributes: dict[str, Value] = {}
    if _NAMED.isdisjoint(parameters):
        return attributes
    for name, attribute in _REQUEST_ATTRIBUTES.items():
        if name in parameters:
            attributes[attribute] = parameters[name]
    stop = attributes.get(semconv.REQUEST_STOP_SEQUENCES)
    if isinstance(stop, str):
        attributes[semconv.REQUEST_STOP_SEQUENCES] = (stop,)
    if attributes.get(semconv.REQUEST_CHOICE_COUNT) == 1:
        del attributes[semconv.REQUEST_CHOICE_COUNT]
    if parameters.get("stream"):
        attributes[semconv.REQUEST_STREAM] = True
    encoding = parameters.get("encoding_format")
    if isinstance(encoding, str):
        attributes[semconv.REQUEST_ENCODING_FORMATS] = (encoding,)
    return attributes
