"""Hooks on LiteLLM's functions: decide which calls get a span, and open and end it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from trace_core import Tracer, failure, setting
from trace_core.patching import Hook, Original, call_hook
from trace_litellm._calls.batches import adopt, batch_of
from trace_litellm._calls.call import (
    Call,
    Delegation,
    OpenCalls,
    OwnIdDelegation,
    SameIdDelegation,
)
from trace_litellm._calls.nesting import (
    BRIDGES,
    Enclosing,
    get_enclosing,
    is_delegation,
    new_call_id,
)
from trace_litellm._calls.takeover import Takeover
from trace_litellm._patching.preflight import Found
from trace_litellm._patching.targets import Target
from trace_litellm._reading import requests as _requests
from trace_litellm._reading.call_details import call_id_in, id_text


class CallHooks:
    """Makes the hooks of LiteLLM's functions.

    Args:
        tracer: Makes the spans.
        on_error: Reports an exception in our own code, which costs a span and never the call.

    Raises:
        ConfigurationError: ``TRACE_STREAM_EVENTS`` is not a number.
    """

    def __init__(self, tracer: Tracer, on_error: Callable[[str, BaseException], None]) -> None:
        self.calls = OpenCalls(tracer, on_error, int(setting("TRACE_STREAM_EVENTS")))
        self.takeover = Takeover(self.calls)

    def hook_of(self, found: Found, *, is_async: bool) -> Hook:
        """Return the hook for a function.

        Args:
            found: What the function is.
            is_async: Whether it is a coroutine function.
        """
        return call_hook(partial(self.begin, found), is_async=is_async)

    def begin(
        self, found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | Delegation | None:
        """Open a span for a call, unless LiteLLM calls itself on behalf of the enclosing call.

        Args:
            found: What is called.
            args: The positional arguments.
            kwargs: The keyword arguments; the call's id is put there.

        Returns:
            What is told how the call ends; ``None`` if nothing is to be done.
        """
        target, calls = found.target, self.calls
        try:
            if self.takeover.targets and self.takeover.serves(kwargs):
                return None
            above = batch_of(calls, kwargs) if calls.batches else None
            enclosing = get_enclosing()
            if above is None and enclosing is not None:
                above = calls.by_id.get(enclosing.id)
                if call_id_in(kwargs) == enclosing.id or is_delegation(enclosing, target, kwargs):
                    return _delegated(above, enclosing, target)
                if above is not None and (enclosing.family, target.family) in BRIDGES:
                    return self._bridged(above, target, kwargs)
            if target.request is not None:
                given = {**dict(zip(found.parameters, args, strict=False)), **kwargs}
                args, kwargs = (), dict(given[target.request])
            parameters = _requests.inputs(found.parameters, args, kwargs)
            call = Call(calls, target, parameters, kwargs, above)
            if target.family == "batch":
                adopt(call, kwargs)
            return call
        except failure() as error:
            calls.on_error(f"tracing LiteLLM's {target.name}", error)
            return None

    def _bridged(self, call: Call, target: Target, kwargs: dict[str, Any]) -> Delegation:
        """Record what happens in a call that serves another API on the enclosing call."""
        inner = id_text(kwargs.setdefault("litellm_call_id", new_call_id()))
        return OwnIdDelegation(self.calls, call, Enclosing(inner, target.family, parent=False))

    def before_request(
        self, original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Record a request on its way to a provider. The hook of ``Logging.pre_call``."""
        calls = self.calls
        try:
            call = calls.innermost() or calls.by_id.get(id_text(args[0].litellm_call_id))
            if call is not None:
                call.requested(args[0], kwargs.get("additional_args"))
        except failure() as error:
            calls.on_error("reading a request to a provider", error)
        result = original(*args, **kwargs)
        if self.takeover.targets:
            self._follow(args[0])
        return result

    def _follow(self, logging: Any) -> None:
        try:
            self.takeover.follow(logging)
        except failure() as error:
            self.calls.on_error("following a call", error)


def _delegated(call: Call | None, enclosing: Enclosing, target: Target) -> Delegation | None:
    """Return the next attempt of a retry, or what follows a call that serves another API."""
    if call is None:
        return None
    if call.retrying:
        return call.next_attempt()
    return SameIdDelegation(call) if enclosing.family != target.family else None
