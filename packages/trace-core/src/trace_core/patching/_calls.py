"""A hook for functions whose calls are followed from their beginning to their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from trace_core.patching._swap import Hook, Original


class Call(Protocol):
    """A call in progress. Its methods must not raise."""

    def failed(self, error: BaseException, /) -> None:
        """Note an exception on its way to the caller."""
        ...

    def returned(self, result: Any, /) -> Any:
        """Note a result; return what the caller is to get."""
        ...


Begin: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], "Call | None"]
"""Begins to follow a call, given its arguments; ``None`` leaves it alone. It must not raise."""


def call_hook(begin: Begin, *, is_async: bool) -> Hook:
    """Return a hook that follows each call of a function.

    Args:
        begin: Called first.
        is_async: Whether it is a coroutine function.
    """
    return _async_hook(begin) if is_async else _sync_hook(begin)


def _sync_hook(begin: Begin) -> Hook:
    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = begin(args, kwargs)
        if call is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        return call.returned(result)

    return hook


def _async_hook(begin: Begin) -> Hook:
    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = begin(args, kwargs)
        if call is None:  # without a coroutine of ours around the library's
            return original(*args, **kwargs)
        return _followed(call, original, args, kwargs)

    return hook


async def _followed(
    call: Call, original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        result = await original(*args, **kwargs)
    except BaseException as error:
        call.failed(error)
        raise
    return call.returned(result)
