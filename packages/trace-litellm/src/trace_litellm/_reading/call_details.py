"""What LiteLLM tells its callbacks of a call: ``model_call_details``, read by name.

It holds keys and headers as well, so nothing is copied from it but what is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from trace_core import failure
from trace_litellm._patching.targets import Target
from trace_litellm._reading.hidden_params import hidden_params

_PROMPTS: Final = {
    "chat": "messages",
    "generate_content": "contents",
    "image_edit": "prompt",
    "image_generation": "prompt",
    "ocr": "document",
    "rerank": "query",
    "text_completion": "prompt",
}
"""The parameter with what was asked, by operation; ``input`` for all others."""
_CONVERSATIONS: Final = frozenset({"chat", "messages"})
"""Families whose prompt LiteLLM keeps as it was given: messages."""
_CALLERS: Final = ("metadata", "litellm_metadata", "proxy_server_request", "litellm_session_id")
"""Parameters of the call that LiteLLM keeps apart from those for the provider."""
_ADDED: Final = frozenset({"hidden_params", "llm_api_timing_windows"})
"""What LiteLLM puts into the caller's metadata."""
_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})


def identity(details: Mapping[str, Any]) -> tuple[str, int]:
    """Tell one call from others, by its id and the object that says when it began.

    The id alone is not enough: the calls of a batch, and a call that is made again, share one.

    Args:
        details: What LiteLLM tells.
    """
    return call_id_in(details), id(details.get("start_time"))


def call_id_in(details: Mapping[str, Any]) -> str:
    """Return the id of a call as a text.

    Args:
        details: What LiteLLM tells, or the keyword arguments; ``"None"`` where they hold none.
    """
    call_id = details.get("litellm_call_id")
    return call_id if type(call_id) is str else id_text(call_id)


def id_text(call_id: object) -> str:
    """Return the id of a call as a text: people pass UUIDs, and what cannot be written as one.

    Args:
        call_id: The id.
    """
    try:
        return str(call_id)
    except failure():
        return object.__repr__(call_id)  # tells it from all others


def request_of(details: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Put the keyword arguments of a call together again.

    Args:
        details: What LiteLLM tells.
        target: The function that was called.
    """
    params, optional = _mapping(details, "litellm_params"), _mapping(details, "optional_params")
    request = {name: value for name, value in optional.items() if value not in _EMPTY}
    kind = target.family if target.family == "responses" else target.operation
    request["model"] = details.get("model")
    request[_PROMPTS.get(kind, "input")] = _prompt(details, target)
    request |= _mapping(details, "standard_callback_dynamic_params")  # such as privacy switches
    for name in _CALLERS:
        if params.get(name):
            request[name] = params[name]
    if isinstance(request.get("metadata"), Mapping):
        request["metadata"] = {k: v for k, v in request["metadata"].items() if k not in _ADDED}
    for name in ("api_key", "stream", "stream_options", "user"):
        if details.get(name):
            request[name] = details[name]
    return request


def _prompt(details: Mapping[str, Any], target: Target) -> Any:
    messages = details.get("messages")
    if target.family in _CONVERSATIONS:
        return messages
    given = details.get("input")
    if given not in _EMPTY and target.operation not in ("rerank", "text_completion"):
        return given
    if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], Mapping):
        return messages[0].get("content")  # LiteLLM makes a message of any prompt
    return messages


def must_not_be_logged(details: Mapping[str, Any]) -> bool:
    """Return whether LiteLLM tells its callbacks nothing of how a call ends."""
    return _mapping(details, "litellm_params").get("no-log") is True


def is_async(details: Mapping[str, Any]) -> bool:
    """Return whether an async function was called."""
    return str(details.get("call_type")).startswith("a")


def is_served(details: Mapping[str, Any]) -> bool:
    """Return whether a call that made no request of its own was served by another call."""
    return details.get("cache_hit") is not True and details.get("exception") is None


def endpoint_of(details: Mapping[str, Any]) -> Any:
    """Return the URL that a request went to."""
    used = _mapping(details, "additional_args").get("api_base")
    return used or _mapping(details, "litellm_params").get("api_base")


def provider_of(details: Mapping[str, Any]) -> Any:
    """Return LiteLLM's name of the provider."""
    named = details.get("custom_llm_provider")
    return named or _mapping(details, "litellm_params").get("custom_llm_provider")


def answer_params(details: Mapping[str, Any], response: Any, family: str) -> dict[str, Any]:
    """Return the hidden parameters of an answer, as they are for one that is read directly.

    Args:
        details: What LiteLLM tells.
        response: The answer, of a stream the whole.
        family: Which reader understands it.
    """
    params = hidden_params(response)
    cost, hit = details.get("response_cost"), details.get("cache_hit") is True
    if cost is not None and not hit:
        params["response_cost"] = cost
    params["cache_hit"] = hit
    options = details.get("stream_options")
    asked = isinstance(options, Mapping) and options.get("include_usage")
    if details.get("stream") and family in ("chat", "text") and not asked:
        params["keeps_chunks"] = True  # then LiteLLM may have counted the tokens itself
    return params


def first_chunk_ns(details: Mapping[str, Any]) -> int | None:
    """Return the nanoseconds from the start of a stream to its first chunk."""
    first, start = details.get("completion_start_time"), details.get("start_time")
    if not details.get("stream") or not isinstance(first, datetime):
        return None
    return _ns(first - start) if isinstance(start, datetime) else None


def age_ns(moment: Any) -> int:
    """Return how long ago a moment was that LiteLLM tells, in nanoseconds.

    Args:
        moment: A `datetime`, without a time zone in most releases; else it was now.
    """
    if not isinstance(moment, datetime):
        return 0
    return max(_ns(datetime.now(moment.tzinfo) - moment), 0)


def _ns(time: timedelta) -> int:
    return time // timedelta(microseconds=1) * 1_000


def _mapping(details: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = details.get(name)
    return value if isinstance(value, Mapping) else {}
