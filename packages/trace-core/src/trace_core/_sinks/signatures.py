"""Tells by its signature whether something can be called as a sink is."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature

from trace_core._errors import ConfigurationError


def check_takes(function: Callable[..., object], given: str) -> None:
    """Check that a function can be called with one argument, as far as it tells.

    Args:
        function: The function.
        given: What the argument is.

    Raises:
        ConfigurationError: It takes none, or wants more.
    """
    if hasattr(function, "__signature__"):  # what somebody says, not what it is
        return
    try:
        takes = signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # some functions written in C have none to read
        return
    try:
        takes.bind(None)
    except TypeError as error:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise ConfigurationError(
            f"a sink's {name}{takes} is called with {given}, and cannot be: {error}"
        ) from None


def is_lazy(given: object) -> bool:
    """Say whether calling an object, or its ``write``, gives what nobody awaits or iterates.

    Args:
        given: The object.
    """
    calls = (given, getattr(given, "write", None), getattr(given, "__call__", None))  # noqa: B004
    kinds = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)
    return any(is_kind(call) for is_kind in kinds for call in calls)
