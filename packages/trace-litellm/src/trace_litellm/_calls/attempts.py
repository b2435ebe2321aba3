"""Hooks on what happens around LiteLLM's calls: retries, threads, cool-downs, closed sockets."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FunctionType
from typing import Any, Final

from trace_core import Value, capture_context, failure, semconv, snapshot
from trace_core.patching import Hook, Original, call_hook
from trace_litellm._calls.call import Call, OpenCalls
from trace_litellm._calls.hooks import CallHooks
from trace_litellm._calls.nesting import capture_enclosing, get_enclosing
from trace_litellm._calls.takeover import Takeover
from trace_litellm._patching import targets as _targets
from trace_litellm._patching.preflight import find_plain
from trace_litellm._reading.errors import Failure
from trace_litellm._reading.hidden_params import hidden_params
from trace_litellm._reading.own_counts import remember_estimate
from trace_litellm._reading.record import PartlyKept

COOLDOWN_EVENT = "litellm.router.cooldown"


def hooks_of(call_hooks: CallHooks) -> dict[FunctionType, Hook]:
    """Return the hooks for the functions found in the installed LiteLLM; each may be missing.

    Args:
        call_hooks: The hooks of the calls themselves.
    """
    calls = call_hooks.calls
    wanted: list[tuple[str, Callable[[OpenCalls], Hook]]] = [
        (_targets.PRE_CALL, lambda _: call_hooks.before_request),
        (_targets.RUN_ASYNC, carry_context),
        *((place, partial(record_retries, call_hooks.takeover)) for place in _targets.RETRIES),
        *((place, record_estimates) for place in _targets.ESTIMATES),
        *((place, record_partly_kept) for place in _targets.PARTLY_KEPT),
        *((place, record_sdk_retries) for place in _targets.SDK_RETRIES),
        *((place, record_cooldowns) for place in _targets.COOLDOWNS),
        (_targets.CLOSE_SESSION, record_closed_sessions),
    ]
    functions = [(find_plain(place), make) for place, make in wanted]
    return {function: make(calls) for function, make in functions if function is not None}


def carry_context(calls: OpenCalls) -> Hook:
    """Make the hook that restores the enclosing call for a coroutine on another thread.

    Args:
        calls: The calls in progress.
    """

    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if calls.innermost() is None:
            return original(*args, **kwargs)
        if args:
            return original(_carried(args[0]), *args[1:], **kwargs)
        function = kwargs.pop("async_function")
        return original(async_function=_carried(function), **kwargs)

    return hook


def _carried(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    restored, enclosed = capture_context(), capture_enclosing()

    async def carried(*args: Any, **kwargs: Any) -> Any:
        with restored(), enclosed():
            return await function(*args, **kwargs)

    return carried


def record_retries(takeover: Takeover, calls: OpenCalls) -> Hook:
    """Make the hook of ``..._with_retries``, which LiteLLM calls while handling a failure.

    Args:
        takeover: Traces calls that are not of patched functions.
        calls: The calls in progress.
    """

    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = calls.innermost()
        error = sys.exc_info()[1]
        if call is not None and error is not None and not call.retrying:
            try:
                call.retry(error)
                _wrap_function(call, kwargs)
            except failure() as trouble:
                calls.on_error("following a retry", trouble)
        elif error is not None and takeover.targets:
            return takeover.retried(original, args, kwargs, error)
        return original(*args, **kwargs)

    return hook


def _wrap_function(call: Call, kwargs: dict[str, Any]) -> None:
    """Open a span around each call of a raw function that is to be retried.

    Where there is none LiteLLM calls its own entry point again, which is hooked already.
    """
    function = kwargs.get("original_function")
    if function is None:
        return

    follow = call_hook(lambda _args, _options: call.next_attempt(), is_async=True)

    async def attempt(*args: Any, **options: Any) -> Any:
        return await follow(function, args, options)

    kwargs["original_function"] = attempt


def record_sdk_retries(calls: OpenCalls) -> Hook:
    """Make the hook that records on a call's span that its provider's SDK sends a request again.

    Args:
        calls: The calls in progress.
    """

    def record(call: Call, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call.sent_again(_reason_of(sys.exc_info()[1], kwargs.get("response")))

    return _recording(calls, record, "recording a retry of an SDK")


def _recording(
    calls: OpenCalls, record: Callable[[Call, tuple[Any, ...], dict[str, Any]], None], doing: str
) -> Hook:
    """Make a hook that records something on the innermost call before a function runs.

    Args:
        calls: The calls in progress.
        record: Records it, given the call and the function's arguments.
        doing: What that is, should it fail.
    """

    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = calls.innermost()
        if call is not None:
            try:
                record(call, args, kwargs)
            except failure() as trouble:
                calls.on_error(doing, trouble)
        return original(*args, **kwargs)

    return hook


def _reason_of(error: BaseException | None, response: Any) -> dict[str, Value]:
    """Name the failure that the SDK is handling; its text may hold what must not be recorded."""
    status = snapshot(getattr(response, "status_code", None))
    kind = type(error).__name__ if error is not None else None
    details: dict[str, Value] = {
        semconv.HTTP_RESPONSE_STATUS_CODE: status,
        semconv.ERROR_TYPE: kind if status is None else str(status),
    }
    return {name: value for name, value in details.items() if value is not None}


def record_estimates(calls: OpenCalls) -> Hook:
    """Make the hook that remembers the token counts that LiteLLM estimates for a provider.

    Args:
        calls: The calls in progress.
    """

    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        usage = original(*args, **kwargs)
        try:
            remember_estimate(usage)
        except failure() as trouble:
            calls.on_error("remembering an estimate", trouble)
        return usage

    return hook


def record_partly_kept(calls: OpenCalls) -> Hook:
    """Make the hook that records what the provider answered of an answer that is partly kept.

    Args:
        calls: The calls in progress.
    """

    def record(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _record_partly_kept(call, *args[1:], **kwargs)

    return _recording(calls, record, "reading an answer that is partly kept")


def _record_partly_kept(
    call: Call, _caching_handler_response: Any, embedding_response: Any, *_: Any, **__: Any
) -> None:
    kept = getattr(_caching_handler_response, "final_embedding_cached_response", None)
    if kept is not None:
        call.record.partly_kept = PartlyKept(
            number=sum(one is not None for one in kept.data),
            kept=snapshot(kept.usage),
            usage=snapshot(embedding_response.usage),
            params=hidden_params(embedding_response),
        )


def record_cooldowns(calls: OpenCalls) -> Hook:
    """Make the hook that records on a Router's span which deployment is taken out of use.

    Args:
        calls: The calls in progress.
    """

    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = original(*args, **kwargs)
        call = calls.innermost()
        if result is True and call is not None:
            try:
                _record_cooldown(call, kwargs)
            except failure() as trouble:
                calls.on_error("recording a cool-down", trouble)
        return result

    return hook


def _record_cooldown(call: Call, details: dict[str, Any]) -> None:
    span = call.above.span if call.above is not None else call.span
    span.event(
        COOLDOWN_EVENT,
        {
            "litellm.model_id": snapshot(details.get("deployment")),
            "litellm.router.cooldown_seconds": snapshot(details.get("time_to_cooldown")),
            semconv.HTTP_RESPONSE_STATUS_CODE: snapshot(details.get("exception_status")),
        },
    )


_NORMAL_CLOSURE: Final = 1000
_CLOSE_CATEGORIES: Final = {1008: "permission", 1013: "rate_limit"}
"""What LiteLLM closes a client's socket with where the provider answers 401 or 403, and 429."""


def record_closed_sessions(calls: OpenCalls) -> Hook:
    """Make the hook that records on a session's span with what code its client's socket is closed.

    Args:
        calls: The calls in progress.
    """

    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        enclosing = get_enclosing()
        if enclosing is not None and enclosing.family == "session":
            try:
                _record_closing(calls.by_id.get(enclosing.id), *args[1:], **kwargs)
            except failure() as trouble:
                calls.on_error("recording the end of a session", trouble)
        return original(*args, **kwargs)

    return hook


def _record_closing(
    call: Call | None, code: int = _NORMAL_CLOSURE, reason: str | None = None
) -> None:
    if call is not None and code != _NORMAL_CLOSURE:
        category = _CLOSE_CATEGORIES.get(code, "connection")
        call.fail(Failure(reason or f"closed with {code}", str(code), category))
