"""LiteLLM's public callback interface: what it tells of calls, and in which lists we are.

Knows nothing of spans.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from trace_core import failure

_LISTS: Final = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_success_callback",
    "_async_failure_callback",
)
"""LiteLLM copies the first one into the others, but not once there are 30: its Routers add many."""
_MODULES: Final = ("litellm", "litellm.utils", "litellm.litellm_core_utils.litellm_logging")
"""Where LiteLLM has these lists, and others that it copies callbacks into."""


class Listener(Protocol):
    """What is told of calls."""

    def requested(self, details: Mapping[str, Any]) -> None:
        """A request is on its way to a provider; called on the caller's thread."""
        ...

    def answered(self, details: Mapping[str, Any]) -> None:
        """A provider has answered, or begun to stream; how the call ended follows."""
        ...

    def succeeded(self, details: Mapping[str, Any], response: Any, ended: Any) -> None:
        """A call has ended, or a stream was read to its end."""
        ...

    def failed(self, details: Mapping[str, Any], ended: Any) -> None:
        """A call or a stream has failed."""
        ...


def register(listener: Listener, on_error: Callable[[str, BaseException], None]) -> Any:
    """Have LiteLLM tell of its calls.

    Args:
        listener: What is told.
        on_error: Reports an exception that it raises.

    Returns:
        The callback that is now in ``litellm.callbacks``, for `unregister`.
    """
    import litellm

    callback = _callback(listener, on_error)
    for name in _LISTS:
        getattr(litellm, name).append(callback)
    return callback


def is_registered(callback: Any) -> bool:
    """Return whether LiteLLM still has a callback: programs replace ``litellm.callbacks``."""
    return any(item is callback for item in getattr(sys.modules.get("litellm"), "callbacks", ()))


def unregister(callback: Any) -> None:
    """Take a callback out of every list that LiteLLM has put it into.

    Args:
        callback: What `register` returned.
    """
    modules = [sys.modules[name] for name in _MODULES if name in sys.modules]
    for module in modules:
        for name, value in list(vars(module).items()):
            if "callback" in name and isinstance(value, list):
                _remove(value, callback)


def _remove(callbacks: list[Any], callback: Any) -> None:
    with contextlib.suppress(ValueError):  # another thread was faster
        while callback in callbacks:
            callbacks.remove(callback)


def _callback(listener: Listener, on_error: Callable[[str, BaseException], None]) -> Any:
    """Make one of LiteLLM's loggers, whose base class is there only with LiteLLM."""
    from litellm.integrations.custom_logger import CustomLogger

    def tell(method: Callable[..., None], *args: Any) -> None:
        try:
            method(*args)
        except failure() as error:
            on_error("reading what LiteLLM tells its callbacks", error)

    # LiteLLM looks at which methods are overridden: any but these would change what it does.
    class TraceLogger(CustomLogger):
        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            tell(listener.requested, kwargs)

        def log_post_api_call(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            tell(listener.answered, kwargs)

        def log_success_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            tell(listener.succeeded, kwargs, response_obj, end_time)

        def log_failure_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            tell(listener.failed, kwargs, end_time)

        async def async_log_success_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            tell(listener.succeeded, kwargs, response_obj, end_time)

        async def async_log_failure_event(
            self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            tell(listener.failed, kwargs, end_time)

    return TraceLogger()
