"""Which calls get a span: the hooks around LiteLLM's functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trace_core import Tracer, setting
from trace_litellm._calls.call import Alias, Call, Delegation, Serving
from trace_litellm._calls.nesting import BRIDGES, Around, call_around, is_delegation, new_call_id
from trace_litellm._patching.patch import Hook, Original
from trace_litellm._patching.targets import Found, Target
from trace_litellm._reading import requests as _requests


class Calls:
    """Opens and ends spans around LiteLLM's functions.

    Args:
        tracer: Makes the spans.
        on_error: Told of trouble of ours, which costs a span and never the call.

    Raises:
        ConfigurationError: ``TRACE_STREAM_EVENTS`` makes no sense.
    """

    def __init__(self, tracer: Tracer, on_error: Callable[[str, BaseException], None]) -> None:
        self.tracer = tracer
        self.on_error = on_error
        self.stream_events = int(setting("TRACE_STREAM_EVENTS"))
        self.open: dict[str, Call] = {}
        self.adopting: dict[int, Call] = {}
        """Batches under way, by the identity of the messages they hand to their threads."""

    def around(self, found: Found, *, is_async: bool) -> Hook:
        """Return the hook for a function.

        Args:
            found: What the function is.
            is_async: Whether it is a coroutine function.
        """
        return self._around_async(found) if is_async else self._around_sync(found)

    def _around_sync(self, found: Found) -> Hook:
        def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self.begin(found, args, kwargs)
            if call is None:
                return original(*args, **kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            return call.returned(result)

        return hook

    def _around_async(self, found: Found) -> Hook:
        async def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self.begin(found, args, kwargs)
            if call is None:
                return await original(*args, **kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            return call.returned(result)

        return hook

    def begin(
        self, found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | Delegation | None:
        """Open a span for a call, unless LiteLLM is calling itself on behalf of the one around.

        Args:
            found: What is called.
            args: The positional arguments.
            kwargs: The keyword arguments; the call's id is put there.

        Returns:
            What to tell how the call ends; ``None`` for nobody.
        """
        target = found.target
        try:
            around, above = call_around.get(), None
            if around is not None:
                above = self.open.get(around.id)
                if is_delegation(around, target, kwargs):
                    return _delegated(above, around, target)
                if (around.family, target.family) in BRIDGES:
                    return self._bridged(above, target, kwargs)
            if target.request is not None:
                args, kwargs = (), dict(_argument(target.request, found, args, kwargs))
            if above is None and self.adopting:
                above = self.adopting.get(id(_argument("messages", found, args, kwargs)))
            given = _requests.inputs(found.parameters, args, kwargs)
            call = Call(self, target, given, kwargs, above)
            if target.family == "batch":
                call.adopt(_argument("messages", found, args, kwargs))
            return call
        except Exception as error:
            self.on_error(f"tracing LiteLLM's {target.name}", error)
            return None

    def _bridged(
        self, call: Call | None, target: Target, kwargs: dict[str, Any]
    ) -> Delegation | None:
        """Let a call that serves another API speak for the call around."""
        if call is None:
            return None
        inner = kwargs.setdefault("litellm_call_id", new_call_id())
        return Alias(self, call, Around(str(inner), target.family, parent=False))

    def call_around(self) -> Call | None:
        """Return the innermost call open around this code."""
        around = call_around.get()
        return self.open.get(around.id) if around is not None else None

    def before_request(
        self, original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Take notice of a request on its way to a provider. The hook of ``Logging.pre_call``."""
        try:
            call = self.call_around() or self.open.get(args[0].litellm_call_id)
            if call is not None:
                call.requested(args[0], kwargs.get("additional_args"))
        except Exception as error:
            self.on_error("reading a request to a provider", error)
        return original(*args, **kwargs)


def _delegated(call: Call | None, around: Around, target: Target) -> Delegation | None:
    """Follow a retry, which calls the entry point again, and what serves another API."""
    if call is None:
        return None
    if call.retrying:
        return call.next_attempt()
    return Serving(call) if around.family != target.family else None


def _argument(name: str, found: Found, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if name in kwargs:
        return kwargs[name]
    at = found.parameters.index(name) if name in found.parameters else len(args)
    return args[at] if at < len(args) else None
