"""The code swap leaves a function what it is, in whatever order tools patch and unpatch it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import wrapt
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trace_core.patching import Swap, call_hook, own_code, swap, swap_all
from trace_core.patching import _swap as patch


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


async def doubled(*values: int, closed: list[str]) -> AsyncIterator[int]:
    """Yield, and tell how it ends."""
    try:
        for value in values:
            await asyncio.sleep(0)
            yield 2 * value
        closed.append("completed")
    finally:
        closed.append("left")


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


def test_async_generator_functions_stay_what_they_are() -> None:
    """One is hooked at its first step, gives the same items, and is closed when it is left."""
    seen, hook = counting()
    one = swap(doubled, hook)  # type: ignore[arg-type]
    closed: list[str] = []

    async def read() -> list[int]:
        items = [item async for item in doubled(1, 2, closed=closed)]
        left = doubled(3, 4, closed=closed)
        items.append(await anext(left))
        await left.aclose()  # type: ignore[attr-defined]
        assert closed == ["completed", "left", "left"]  # at once, not when it is collected
        return items

    try:
        assert inspect.isasyncgenfunction(doubled)
        assert asyncio.run(read()) == [2, 4, 6]
        assert closed == ["completed", "left", "left"]
        assert len(seen) == 2
    finally:
        one.remove()


def test_an_async_generators_exception_passes_unchanged() -> None:
    """The very object arrives after the items before it."""
    failure = ValueError("mine")

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise failure

    swap(failing, counting()[1])  # type: ignore[arg-type]

    async def read() -> list[int]:
        items: list[int] = []
        with pytest.raises(ValueError, match="mine") as caught:
            items.extend([item async for item in failing()])
        assert caught.value is failure
        assert caught.value.__context__ is None
        return items

    asyncio.run(read())


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


def test_one_that_cannot_be_swapped() -> None:
    """It is named, and the others are swapped."""
    function = make_function()
    seen, hook = counting()

    def generator() -> Any:
        yield 1

    swaps, failed = swap_all({generator: hook, function: hook})  # type: ignore[dict-item]
    assert [one.function for one in swaps] == [function]
    assert [str(error) for error in failed.values()] == [
        f"cannot swap the code of a generator function: {generator.__qualname__}"
    ]
    assert function(3) == 7
    assert len(seen) == 1


def test_an_interrupt_leaves_nothing_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as Ctrl-C in between."""
    first, second = make_function(), make_function()
    code = first.__code__
    real = patch.swap

    def interrupted(function: Any, hook: Any, **more: Any) -> Swap:
        if function is second:
            raise KeyboardInterrupt
        return real(function, hook, **more)

    monkeypatch.setattr(patch, "swap", interrupted)
    with pytest.raises(KeyboardInterrupt):
        swap_all({first: counting()[1], second: counting()[1]})
    assert first.__code__ is code


@pytest.mark.parametrize("first_out", ["inner", "outer"])
@pytest.mark.parametrize("first_in", ["inner", "outer"])
def test_an_inner_hook_is_inside_whichever_came_first(first_in: str, first_out: str) -> None:
    """It is called by the others, can answer for the function, and goes in any order."""
    function = make_function()
    code, attributes = function.__code__, dict(vars(function))
    seen, hook = counting()
    made: dict[str, Swap] = {}
    for name in sorted(("inner", "outer"), key=lambda name: name != first_in):
        answer = (lambda *_: 42) if name == "inner" else hook
        made[name] = swap(function, answer, inner=name == "inner")
    assert own_code(function) is code
    assert function(3, z=1) == 42
    assert seen == [((3,), {"z": 1})]
    made.pop(first_out).remove()
    assert function(3, z=1) == (8 if first_out == "inner" else 42)
    for left in made.values():
        assert left.installed
        left.remove()
    assert function.__code__ is code
    assert vars(function) == attributes


def test_the_latest_hook_is_the_outermost() -> None:
    """Of the inner ones too, which are inside all others; each goes by itself."""
    function = make_function()
    called: list[str] = []

    def named(name: str) -> Callable[..., Any]:
        def hook(original: Any, args: Any, kwargs: Any) -> Any:
            called.append(name)
            return original(*args, **kwargs)

        return hook

    made = {
        name: swap(function, named(name), inner=name.startswith("inner"))
        for name in ("first", "inner", "second", "inner, later", "third")
    }
    assert function(3) == 7
    assert called == ["third", "second", "first", "inner, later", "inner"]
    made["second"].remove()
    called.clear()
    assert function(3) == 7
    assert called == ["third", "first", "inner, later", "inner"]


def test_one_hook_twice() -> None:
    """Each swap is its own: the one that is removed is not installed, and the other stays."""
    function = make_function()
    seen, hook = counting()
    first, second = swap(function, hook), swap(function, hook)
    first.remove()
    assert (first.installed, second.installed) == (False, True)
    assert function(3) == 7
    assert len(seen) == 1


def test_code_that_another_tool_put_on_top_stays() -> None:
    """It may call ours, put ours back when we are gone, and be hooked by us anew."""
    function = make_function()
    code = function.__code__
    seen, hook = counting()
    one = swap(function, hook)
    below = patch._copy(function)  # as a tool does that puts its own code there
    their_gate = make_function()
    other = swap(their_gate, lambda _, args, kwargs: -below(*args, **kwargs))
    ours, function.__code__ = function.__code__, their_gate.__code__
    assert not one.installed
    assert function(3) == -7
    assert len(seen) == 1
    one.remove()
    assert function.__code__ is their_gate.__code__
    assert function(3) == -7
    function.__code__ = ours
    assert function(3) == 7  # straight through
    assert len(seen) == 1
    swap(function, hook).remove()
    assert function.__code__ is code
    other.remove()


def test_a_call_while_a_hook_is_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one of another thread: it goes straight through."""
    function = make_function()
    put, results = patch._Gate.put, []

    def and_call(gate: Any, layers: Any) -> None:
        results.append(function(3))
        put(gate, layers)

    monkeypatch.setattr(patch._Gate, "put", and_call)
    swap(function, counting()[1])
    assert results == [7]


@pytest.mark.parametrize("attribute", ["__wrapped__", "__signature__"])
def test_what_tells_a_signature_already_is_left(attribute: str) -> None:
    """A function that wraps another, or has a signature of its own, gets none from us."""
    function = make_function()
    told = {"__wrapped__": lambda a: a, "__signature__": inspect.signature(lambda a: a)}
    setattr(function, attribute, told[attribute])
    before = dict(vars(function))
    one = swap(function, counting()[1])
    assert vars(function) == before
    assert str(inspect.signature(function)) == "(a)"
    one.remove()
    assert vars(function) == before


def test_what_a_hook_gets_is_named_like_the_function() -> None:
    """Whoever looks at the original, as libraries do for messages, sees the same."""
    function = make_function()
    function.__name__, function.__qualname__, function.__module__ = "f", "C.f", "elsewhere"
    names = []

    def hook(original: Any, args: Any, kwargs: Any) -> Any:
        names.append((original.__name__, original.__qualname__, original.__module__))
        return original(*args, **kwargs)

    swap(function, hook)
    assert function(3) == 7
    assert names == [("f", "C.f", "elsewhere")]


def test_swapping_several_puts_outer_hooks() -> None:
    """Unless inner ones are asked for."""
    function = make_function()
    seen, hook = counting()
    swap(function, lambda *_: 42)
    swap_all({function: hook})
    assert function(3) == 42
    assert len(seen) == 1
    swap_all({function: hook}, inner=True)
    assert function(3) == 42
    assert len(seen) == 2


def test_inner_hooks_of_coroutine_functions() -> None:
    """They are awaited by the outer ones."""
    function = make_coroutine_function()
    seen, hook = counting()

    async def answer(*_: Any) -> int:
        await asyncio.sleep(0)
        return 42

    swap(function, hook)
    swap(function, answer, inner=True)
    assert asyncio.run(function(3)) == 42
    assert len(seen) == 1


class Noted:
    """Notes how a call ends."""

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def failed(self, error: BaseException) -> None:
        self.ends.append(error)

    def returned(self, result: Any) -> Any:
        self.ends.append(result)
        return "what the caller gets"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_that_follows_calls(*, is_async: bool) -> None:
    """From the arguments to the result or the error; a call may be left alone."""
    failure, begun, call = ValueError("mine"), [], Noted()

    def plain(x: int, *, fails: bool = False) -> int:
        if fails:
            raise failure
        return x

    async def coroutine(x: int, *, fails: bool = False) -> int:
        await asyncio.sleep(0)
        return plain(x, fails=fails)

    def begin(args: Any, kwargs: Any) -> Noted | None:
        begun.append((args, kwargs))
        return None if args == (0,) else call

    def run(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(coroutine(*args, **kwargs)) if is_async else plain(*args, **kwargs)

    function: Any = coroutine if is_async else plain
    swap(function, call_hook(begin, is_async=is_async))
    assert run(0) == 0
    assert call.ends == []
    assert run(3) == "what the caller gets"
    with pytest.raises(ValueError, match="mine") as caught:
        run(4, fails=True)
    assert caught.value is failure
    assert call.ends == [3, failure]
    assert begun == [((0,), {}), ((3,), {}), ((4,), {"fails": True})]


@pytest.mark.parametrize("thing", [print, "text", functools.partial(print)])
def test_other_things_are_refused(thing: Any) -> None:
    """What has no code of its own is refused, not half patched."""
    with pytest.raises(TypeError, match="cannot swap"):
        swap(thing, counting()[1])


class TwoTools(RuleBasedStateMachine):
    """We and another tool patch and unpatch the same function, in every order, with reloads.

    The other tool wraps the attribute of a module, by `functools.wraps` or by wrapt as most do,
    or swaps code like us. A reload gives the module a function made anew, without anyone's patch,
    until we are turned on again. Whatever the order: each is active exactly while it is on, for
    the function of today and for references to those of before, and both compute what they do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.module = types.ModuleType("patched_by_two")
        self.function = self.module.f = make_function()
        self.before: list[types.FunctionType] = []
        self.ours: dict[types.FunctionType, Swap] = {}
        self.theirs: list[Any] = []
        self.their_swap: Swap | None = None
        self.seen, self.hook = counting()
        self.their_seen, self.their_hook = counting()

    @rule()
    def instrument(self) -> None:
        """Put our hook in, under what others wrapped around it; again, into what is new."""
        found = inspect.unwrap(self.module.f)
        assert found is self.function
        if found not in self.ours:
            self.ours[found] = swap(found, self.hook)

    @precondition(lambda self: self.ours)
    @rule()
    def uninstrument(self) -> None:
        """Take our hooks out, even from under another tool."""
        for one in self.ours.values():
            one.remove()
        self.ours = {}

    @rule()
    def reload(self) -> None:
        """Make the module's function anew, as `importlib.reload` does."""
        self.before.append(self.function)
        self.function = self.module.f = make_function()
        self.theirs = []

    @precondition(lambda self: len(self.theirs) < 3)
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

    @precondition(lambda self: len(self.theirs) < 3)
    @rule()
    def they_wrap_with_wrapt(self) -> None:
        """Let another tool do so by wrapt's object proxy."""

        def wrapper(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
            self.their_seen.append((args, kwargs))
            return wrapped(*args, **kwargs)

        self.theirs.append(self.module.f)
        wrapt.wrap_function_wrapper(self.module, "f", wrapper)
        assert type(self.module.f) is wrapt.FunctionWrapper

    @precondition(lambda self: self.theirs)
    @rule()
    def they_unwrap(self) -> None:
        """Let it put back what it found."""
        self.module.f = self.theirs.pop()

    @precondition(lambda self: self.their_swap is None)
    @rule()
    def they_swap(self) -> None:
        """Let another tool swap the code as well."""
        self.their_swap = swap(self.function, self.their_hook)

    @precondition(lambda self: self.their_swap is not None and self.their_swap.installed)
    @rule()
    def they_swap_back(self) -> None:
        """Let it put its own swap away, as long as it is the topmost."""
        assert self.their_swap is not None
        self.their_swap.remove()
        self.their_swap = None

    @invariant()
    def each_is_active_exactly_when_on(self) -> None:
        """Call the function of today and those of before, and count who saw it."""
        self.check(self.module.f, self.function, len(self.theirs))
        for function in self.before:
            self.check(function, function, 0)

    def check(self, called: Any, function: types.FunctionType, wrappers: int) -> None:
        self.seen.clear()
        self.their_seen.clear()
        assert called(3, z=1) == 8
        assert inspect.signature(called) == inspect.signature(make_function())
        assert len(self.seen) == (1 if function in self.ours else 0)
        swapped = self.their_swap is not None and self.their_swap.function is function
        assert len(self.their_seen) == wrappers + swapped


TwoTools.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestTwoTools = TwoTools.TestCase
