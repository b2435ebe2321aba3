"""The code swap: other code in the same function object. Knows nothing of spans.

A function keeps its identity, so every reference taken earlier is patched with it: ``from x
import f``, partials, closures, class attributes. ``inspect.signature`` stays, and undo is exact.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, Final, TypeAlias

import attrs

from trace_core._tracing.stacks import TRAMPOLINE

Original: TypeAlias = Callable[..., Any]
Hook: TypeAlias = Callable[[Original, tuple[Any, ...], dict[str, Any]], Any]
"""Called instead of the function: with the original, the positional and the keyword arguments.

For a coroutine function it returns an awaitable, for an async generator function what such a
function returns: an async iterator with ``aclose``.
"""

_GATE: Final = "trace_core: the gate goes here"
_ORIGINAL: Final = "trace_core: the original goes here"
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
    """What a trampoline calls: the hooks of a function, one inside the other.

    Args:
        before: The function's own code.
        signed: Whether we gave it a ``__signature__``.
    """

    __slots__ = ("__weakref__", "after", "before", "hook", "layers", "signed")

    def __init__(self, before: CodeType, *, signed: bool) -> None:
        self.before = before
        self.signed = signed
        self.after = before
        self.hook = _call_through
        self.layers: tuple[Swap, ...] = ()

    def put(self, layers: tuple[Swap, ...]) -> None:
        """Call these hooks from now on, the first one outermost."""
        hook = layers[-1].hook if layers else _call_through
        for layer in layers[-2::-1]:
            hook = _around(layer.hook, hook)
        self.layers, self.hook = layers, hook


def _call_through(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
    return original(*args, **kwargs)


def _around(outer: Hook, inner: Hook) -> Hook:
    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def below(*args: Any, **kwargs: Any) -> Any:
            return inner(original, args, kwargs)

        return outer(below, args, kwargs)

    return hook


@attrs.frozen(eq=False)
class Swap:
    """One hook of a function that has other code in it.

    Args:
        function: The function.
        hook: What it calls.
        inner: Whether its place is inside the hooks that are not.
        gate: Between trampoline and hooks.
    """

    function: FunctionType
    hook: Hook
    inner: bool
    gate: _Gate

    @property
    def installed(self) -> bool:
        """Whether the function still runs our trampoline, and that this hook."""
        return self in self.gate.layers and self.function.__code__ is self.gate.after

    def remove(self) -> None:
        """Take the hook out; put the function's own code back after the last one.

        Another tool may have put code on top of ours; then ours stays below it and calls
        straight through.
        """
        with _lock:
            gate, function = self.gate, self.function
            gate.put(tuple(layer for layer in gate.layers if layer is not self))
            if not gate.layers and function.__code__ is gate.after:
                function.__code__ = gate.before  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
                if gate.signed:
                    del function.__signature__  # type: ignore[attr-defined]


_lock: Final = threading.Lock()


def swap(function: FunctionType, hook: Hook, *, inner: bool = False) -> Swap:
    """Make a function call a hook instead of its own code.

    A function may have several hooks. The latest is the outermost.

    Args:
        function: A plain function, coroutine function or async generator function.
        hook: What to call.
        inner: Put it inside the hooks that are not inner, whichever came first.

    Returns:
        The swap, to remove it with.

    Raises:
        TypeError: The function is of another kind.
    """
    _refuse_others(function)
    with _lock:
        gate = _gate_of(function.__code__) or _install(function)
        one = Swap(function, hook, inner, gate)
        outside = [layer for layer in gate.layers if inner and not layer.inner]
        inside = [layer for layer in gate.layers if layer not in outside]
        gate.put((*outside, one, *inside))
    return one


def _gate_of(code: CodeType) -> _Gate | None:
    return next((one for one in code.co_consts if type(one) is _Gate), None)


def own_code(function: FunctionType) -> CodeType:
    """Return the code of a function as it is without our hooks."""
    code = function.__code__
    while (gate := _gate_of(code)) is not None:
        code = gate.before
    return code


def _install(function: FunctionType) -> _Gate:
    signed = not hasattr(function, "__wrapped__") and not hasattr(function, "__signature__")
    gate = _Gate(function.__code__, signed=signed)
    gate.after = _trampoline(function, gate, _copy(function))
    if signed:  # the trampoline takes anything; what it stands for does not
        function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    function.__code__ = gate.after
    return gate


def swap_all(
    hooks: Mapping[FunctionType, Hook], *, inner: bool = False
) -> tuple[tuple[Swap, ...], dict[FunctionType, Exception]]:
    """Swap several functions. One that cannot be stays as it is.

    Args:
        hooks: A hook for each function.
        inner: Put them inside the hooks that are not inner, whichever came first.

    Returns:
        The swaps, and why the others failed.
    """
    done: list[Swap] = []
    failed: dict[FunctionType, Exception] = {}
    try:
        for function, hook in hooks.items():
            try:
                done.append(swap(function, hook, inner=inner))
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
