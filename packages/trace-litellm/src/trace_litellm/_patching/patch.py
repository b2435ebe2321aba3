"""The code swap: other code in the same function object. Knows nothing of spans or LiteLLM.

A function keeps its identity, so every reference taken earlier is patched with it: ``from x
import f``, partials, closures, class attributes. ``inspect.signature`` stays, and undo is exact.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, Final, TypeAlias

import attrs

Original: TypeAlias = Callable[..., Any]
Hook: TypeAlias = Callable[[Original, tuple[Any, ...], dict[str, Any]], Any]
"""Called instead of the function: with the original, the positional and the keyword arguments.

For a coroutine function it returns an awaitable, for an async generator function what such a
function returns: an async iterator with ``aclose``.
"""

TRAMPOLINE: Final = "<trace_litellm>"
"""The file that frames of trampolines name."""
_GATE: Final = "trace_litellm: the gate goes here"
_ORIGINAL: Final = "trace_litellm: the original goes here"
_TEMPLATE: Final = """
def make({names}):
    {kind}def trampoline(*args, **kwargs):
        if False: {used}
        {body}
    return trampoline
"""
_CALL: Final = f"{_GATE!r}.hook({_ORIGINAL!r}, args, kwargs)"
_ITERATE: Final = f"""
        items = {_CALL}
        try:
            async for item in items: yield item
        finally:
            await items.aclose()
"""


class _Gate:
    """What a trampoline calls. Turned off where the code cannot be put back."""

    __slots__ = ("__weakref__", "hook")

    def __init__(self, hook: Hook) -> None:
        self.hook = hook


def _call_through(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
    return original(*args, **kwargs)


@attrs.frozen(eq=False)
class Swap:
    """One function with other code in it.

    Args:
        function: The function.
        before: Its own code.
        after: The trampoline.
        gate: Between trampoline and hook.
        signed: Whether we gave it a ``__signature__``.
    """

    function: FunctionType
    before: CodeType
    after: CodeType
    gate: _Gate
    signed: bool

    @property
    def installed(self) -> bool:
        """Whether the function still runs our trampoline."""
        return self.function.__code__ is self.after

    def remove(self) -> None:
        """Put the function's own code back.

        Another tool may have put code on top of ours; then ours stays below it and calls
        straight through.
        """
        self.gate.hook = _call_through
        if self.installed:
            self.function.__code__ = self.before  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
            if self.signed:
                del self.function.__signature__  # type: ignore[attr-defined]


def swap(function: FunctionType, hook: Hook) -> Swap:
    """Make a function call a hook instead of its own code.

    Args:
        function: A plain function, coroutine function or async generator function.
        hook: What to call.

    Returns:
        The swap, to remove it with.

    Raises:
        TypeError: The function is of another kind.
    """
    _refuse_others(function)
    before = function.__code__
    gate = _Gate(hook)
    after = _trampoline(function, gate, _copy(function))
    signed = not hasattr(function, "__wrapped__") and not hasattr(function, "__signature__")
    if signed:  # the trampoline takes anything; what it stands for does not
        function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    function.__code__ = after
    return Swap(function, before, after, gate, signed)


def swap_all(
    hooks: Mapping[FunctionType, Hook],
) -> tuple[tuple[Swap, ...], dict[FunctionType, Exception]]:
    """Swap several functions. One that cannot be stays as it is.

    Args:
        hooks: A hook for each function.

    Returns:
        The swaps, and why the others failed.
    """
    done: list[Swap] = []
    failed: dict[FunctionType, Exception] = {}
    try:
        for function, hook in hooks.items():
            try:
                done.append(swap(function, hook))
            except Exception as error:
                failed[function] = error
    except BaseException:  # such as Ctrl-C: all or nothing
        for one in reversed(done):
            one.remove()
        raise
    return tuple(done), failed


def _refuse_others(function: object) -> None:
    if type(function) is not FunctionType:
        raise TypeError(f"cannot swap the code of a {type(function).__name__}")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"cannot swap the code of a generator function: {function.__qualname__}")


def _copy(function: FunctionType) -> FunctionType:
    """Make another function of the same code, globals, defaults and closure."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


def _trampoline(function: FunctionType, gate: _Gate, original: FunctionType) -> CodeType:
    """Compile code that calls the gate.

    It has the free variables of the code it stands for, because CPython wants as many as the
    function's closure has; gate and original are constants of it, because its globals are not
    ours.
    """
    kind, body = _kind_of(function)
    names = function.__code__.co_freevars
    source = _TEMPLATE.format(
        names=", ".join(names), kind=kind, used=", ".join(names) or "pass", body=body
    )
    made: dict[str, Any] = {}
    exec(compile(source, TRAMPOLINE, "exec"), made)  # noqa: S102  # our own template, no outside text
    code: CodeType = made["make"](*names).__code__
    constants = {_GATE: gate, _ORIGINAL: original}
    return code.replace(
        co_consts=tuple(constants.get(c, c) if isinstance(c, str) else c for c in code.co_consts),
        co_name=function.__code__.co_name,
        co_firstlineno=1,
    )


def _kind_of(function: FunctionType) -> tuple[str, str]:
    """Choose what stays what it is: a coroutine function, an async generator function, or plain."""
    if inspect.isasyncgenfunction(function):
        return "async ", _ITERATE
    if inspect.iscoroutinefunction(function):
        return "async ", f"return await {_CALL}"
    return "", f"return {_CALL}"
