"""The code swap leaves a function what it is, in whatever order tools patch and unpatch it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trace_litellm._patch import Swap, swap, swap_all


def make_function() -> types.FunctionType:
    """Make a function with a closure, defaults and keyword-only arguments."""
    factor = 2

    def scaled(x: int, y: int = 1, *, z: int = 0) -> int:
        """Scale."""
        return x * factor + y + z

    return scaled  # type: ignore[return-value]


def make_coroutine_function() -> types.FunctionType:
    """Make the same, to be awaited."""
    factor = 2

    async def scaled(x: int, y: int = 1, *, z: int = 0) -> int:
        await asyncio.sleep(0)
        return x * factor + y + z

    return scaled  # type: ignore[return-value]


def counting() -> tuple[list[Any], Callable[..., Any]]:
    """Make a hook that notes its calls and calls through."""
    seen: list[Any] = []

    def hook(original: Any, args: Any, kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return original(*args, **kwargs)

    return seen, hook


def test_calls_go_through_the_hook_and_give_the_same() -> None:
    """The hook sees every call; defaults, closure and keyword-only arguments work as before."""
    function = make_function()
    seen, hook = counting()
    swap(function, hook)
    assert function(3) == 7
    assert function(3, 4, z=5) == 15
    assert seen == [((3,), {}), ((3, 4), {"z": 5})]


def test_references_taken_before_are_hooked() -> None:
    """Partials, attributes and other names are the same object and are hooked with it."""
    function = make_function()
    other, partial = function, functools.partial(function, 3)
    seen, hook = counting()
    swap(function, hook)
    assert (other(3), partial()) == (7, 7)
    assert len(seen) == 2


def test_function_stays_what_it_is() -> None:
    """Identity, name, documentation, signature and kind are those of before."""
    function = make_function()
    before = (function.__name__, function.__doc__, inspect.signature(function), hash(function))
    swap(function, counting()[1])
    after = (function.__name__, function.__doc__, inspect.signature(function), hash(function))
    assert after == before
    assert inspect.isfunction(function)
    assert not inspect.iscoroutinefunction(function)


def test_coroutine_functions_stay_coroutine_functions() -> None:
    """An async function is hooked by an awaitable and stays one that must be awaited."""
    function = make_coroutine_function()
    seen, hook = counting()
    swap(function, hook)
    assert inspect.iscoroutinefunction(function)
    assert asyncio.run(function(3)) == 7
    assert len(seen) == 1


def test_removal_is_exact() -> None:
    """After removal the code is the very object it was and nothing of ours is left."""
    function = make_function()
    code, attributes = function.__code__, dict(vars(function))
    one = swap(function, counting()[1])
    assert one.installed
    one.remove()
    assert function.__code__ is code
    assert vars(function) == attributes
    assert not one.installed
    assert function(3) == 7


def test_exceptions_pass_unchanged() -> None:
    """The very exception object arrives, with the original's frames in its traceback."""
    failure = ValueError("mine")

    def failing() -> None:
        raise failure

    swap(failing, counting()[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mine") as caught:
        failing()
    assert caught.value is failure
    assert caught.value.__context__ is None
    assert "failing" in [entry.name for entry in caught.traceback]


def test_all_or_none() -> None:
    """If one of several cannot be swapped, those before it are as they were."""
    function = make_function()
    code = function.__code__

    def generator() -> Any:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        swap_all({function: counting()[1], generator: counting()[1]})  # type: ignore[dict-item]
    assert function.__code__ is code


@pytest.mark.parametrize("thing", [print, "text", functools.partial(print)])
def test_other_things_are_refused(thing: Any) -> None:
    """What has no code of its own is refused, not half patched."""
    with pytest.raises(TypeError, match="cannot swap"):
        swap(thing, counting()[1])


class TwoTools(RuleBasedStateMachine):
    """We and another tool patch and unpatch the same function, in every order.

    The other tool wraps the attribute of a module, as most do, or swaps code like us. Whatever
    the order: each is active exactly while it is on, and the function computes what it computes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.module = types.SimpleNamespace(f=make_function())
        self.function = self.module.f
        self.ours: Swap | None = None
        self.stale: list[Swap] = []
        self.theirs: list[Any] = []
        self.seen, self.hook = counting()
        self.their_seen, self.their_hook = counting()
        self.swapped_by_them: Swap | None = None

    @precondition(lambda self: self.ours is None)
    @rule()
    def instrument(self) -> None:
        """Put our hook in."""
        self.ours = swap(self.function, self.hook)

    @precondition(lambda self: self.ours is not None)
    @rule()
    def uninstrument(self) -> None:
        """Take our hook out, even from under another tool."""
        assert self.ours is not None
        self.ours.remove()
        self.ours = None

    @precondition(lambda self: not self.theirs)
    @rule()
    def they_wrap(self) -> None:
        """Let another tool replace the module's attribute by a wrapper."""
        inner = self.module.f

        @functools.wraps(inner)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.their_seen.append((args, kwargs))
            return inner(*args, **kwargs)

        self.theirs.append(inner)
        self.module.f = wrapper

    @precondition(lambda self: self.theirs)
    @rule()
    def they_unwrap(self) -> None:
        """Let it put back what it found."""
        self.module.f = self.theirs.pop()

    @precondition(lambda self: self.swapped_by_them is None)
    @rule()
    def they_swap(self) -> None:
        """Let another tool swap the code as well."""
        self.swapped_by_them = swap(self.function, self.their_hook)

    @precondition(lambda self: self.swapped_by_them is not None and self.swapped_by_them.installed)
    @rule()
    def they_swap_back(self) -> None:
        """Let it put its own swap away, as long as it is the topmost."""
        assert self.swapped_by_them is not None
        self.swapped_by_them.remove()
        self.swapped_by_them = None

    @invariant()
    def each_is_active_exactly_when_on(self) -> None:
        """Call the function and count who saw it."""
        self.seen.clear()
        self.their_seen.clear()
        assert self.module.f(3, z=1) == 8
        assert len(self.seen) == (1 if self.ours is not None else 0)
        wanted = len(self.theirs) + (1 if self.swapped_by_them is not None else 0)
        assert len(self.their_seen) == wanted


TwoTools.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestTwoTools = TwoTools.TestCase
