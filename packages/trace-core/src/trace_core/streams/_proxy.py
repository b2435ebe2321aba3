"""The object that callers get instead of a stream: it looks and behaves like the stream."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any, Final

from trace_core.streams._watch import Watch

_OWN: Final = ("_trace_inner", "_trace_watch", "_trace_resume", "_trace_next", "_trace_anext")


class _OfTheClass:
    """A method that a class has and its objects do not seem to have.

    `copy.copy` asks the class for ``__copy__``. `itertools.tee` asks the object, and then copies it
    in place of keeping what it has read: two copies of a stream would share its chunks.

    Args:
        method: The method.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __get__(self, instance: object, owner: type) -> Callable[..., Any]:
        if instance is None:
            return self._method
        raise AttributeError


def _copy(proxy: StreamProxy) -> StreamProxy:
    """Copy the stream; the span ends with the last of the copies."""
    inner, watch, resume = proxy._trace_inner, proxy._trace_watch, proxy._trace_resume  # noqa: SLF001
    return StreamProxy(copy.copy(inner), watch, resume)


class StreamProxy:
    """Replaces a stream: same class to ``isinstance``, same attributes, same items.

    Args:
        inner: The stream.
        watch: Follows it.
        resume: Called before each step, for a stream that makes calls between its chunks: makes
            the span current, and returns a function that undoes it.
    """

    __slots__ = (*_OWN, "__weakref__")

    def __new__(cls, inner: object, *_: Any) -> StreamProxy:  # noqa: PYI034  # of a class of its own
        """Make one that has the special methods that the stream has."""
        return object.__new__(_class_for(type(inner)))  # type: ignore[arg-type]  # a class

    def __init__(
        self, inner: Any, watch: Watch, resume: Callable[[], Callable[[], None]] | None = None
    ) -> None:
        put = object.__setattr__
        watch.readers += 1
        put(self, "_trace_inner", inner)
        put(self, "_trace_watch", watch)
        put(self, "_trace_resume", resume)
        _step_by(self, getattr(inner, "__next__", None) or partial(next, inner))
        _step_async_by(self, getattr(inner, "__anext__", None) or partial(anext, inner))

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The stream's own class, which is what ``isinstance`` asks for."""
        return self._trace_inner.__class__  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._trace_inner, name)
        wrap = _WRAPPED.get(name)
        return value if wrap is None else wrap(value, self._trace_watch)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._trace_inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._trace_inner, name)

    def __dir__(self) -> list[str]:
        return dir(self._trace_inner)

    def __repr__(self) -> str:
        return repr(self._trace_inner)

    __copy__ = _OfTheClass(_copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy the stream without tracing: what is read from it is not what the call returned."""
        return copy.deepcopy(self._trace_inner, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as the stream does, or raise what it raises."""
        return self._trace_inner.__reduce_ex__(protocol)

    def __del__(self) -> None:
        watch = getattr(self, "_trace_watch", None)
        if watch is not None:
            watch.readers -= 1
            if watch.readers == 0:
                watch.end("abandoned")


class _SpecialMethods(StreamProxy):
    """The methods to iterate over a stream and to enter it. Each proxy has those of its stream."""

    __slots__ = ()

    def __iter__(self) -> StreamProxy:
        iterator = iter(self._trace_inner)
        if iterator is not self._trace_inner:
            _step_by(self, iterator.__next__)
        return self

    def __next__(self) -> Any:
        return self._trace_next()

    def __aiter__(self) -> StreamProxy:
        iterator = aiter(self._trace_inner)
        if iterator is not self._trace_inner:
            _step_async_by(self, iterator.__anext__)
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._trace_anext()  # type: ignore[no-any-return]

    def __enter__(self) -> Any:
        entered = self._trace_inner.__enter__()
        return self if entered is self._trace_inner else entered

    def __exit__(self, *details: object) -> Any:
        try:
            return self._trace_inner.__exit__(*details)
        finally:
            self._trace_watch.end("closed")

    async def __aenter__(self) -> Any:
        entered = await self._trace_inner.__aenter__()
        return self if entered is self._trace_inner else entered

    async def __aexit__(self, *details: object) -> Any:
        try:
            return await self._trace_inner.__aexit__(*details)
        finally:
            self._trace_watch.end("closed")


def _forwarding(name: str) -> Callable[..., Any]:
    def method(self: StreamProxy, *args: Any) -> Any:
        return getattr(self._trace_inner, name)(*args)

    return method


_FORWARDED: Final = (
    "__bool__", "__call__", "__contains__", "__eq__", "__getitem__", "__hash__", "__len__",
    "__str__",
)  # fmt: skip
_METHODS: Final[dict[str, Any]] = {
    **{name: method for name, method in vars(_SpecialMethods).items() if callable(method)},
    **{name: _forwarding(name) for name in _FORWARDED},
}


@lru_cache(maxsize=256)  # some libraries make their stream classes anew for each call
def _class_for(stream: type) -> type[StreamProxy]:
    """Return a class of proxies with the special methods of a class of streams, and no others.

    Programs use ``hasattr`` or ``isinstance`` to find out whether a stream is asynchronous.
    """
    own = {name for cls in stream.__mro__ if cls is not object for name in vars(cls)}
    return _class_with(*(name for name in _METHODS if name in own))


@lru_cache
def _class_with(*names: str) -> type[StreamProxy]:
    methods = {name: _METHODS[name] for name in names}
    return type("StreamProxy", (StreamProxy,), {"__slots__": (), **methods})


def _step_by(proxy: StreamProxy, step: Callable[[], Any]) -> None:
    """Make a proxy take its chunks from a function."""
    resume: Callable[[], Callable[[], None]] | None = proxy._trace_resume  # noqa: SLF001
    step = step if resume is None else _inside(resume, step)
    object.__setattr__(proxy, "_trace_next", proxy._trace_watch.steps(step))  # noqa: SLF001


def _step_async_by(proxy: StreamProxy, step: Callable[[], Awaitable[Any]]) -> None:
    resume: Callable[[], Callable[[], None]] | None = proxy._trace_resume  # noqa: SLF001
    step = step if resume is None else _inside_async(resume, step)
    object.__setattr__(proxy, "_trace_anext", proxy._trace_watch.async_steps(step))  # noqa: SLF001


def _inside(resume: Callable[[], Callable[[], None]], step: Callable[[], Any]) -> Callable[[], Any]:
    def inside() -> Any:
        leave = resume()
        try:
            return step()
        finally:
            leave()

    return inside


def _inside_async(
    resume: Callable[[], Callable[[], None]], step: Callable[[], Awaitable[Any]]
) -> Callable[[], Awaitable[Any]]:
    async def inside() -> Any:
        leave = resume()
        try:
            return await step()
        finally:
            leave()

    return inside


def _closing(close: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    def closing(*args: Any, **kwargs: Any) -> Any:
        try:
            return close(*args, **kwargs)
        finally:
            watch.end("closed")

    return closing


def _closing_async(
    aclose: Callable[..., Awaitable[Any]], watch: Watch
) -> Callable[..., Awaitable[Any]]:
    async def closing(*args: Any, **kwargs: Any) -> Any:
        try:
            return await aclose(*args, **kwargs)
        finally:
            watch.end("closed")

    return closing


def _stepping(step: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    return lambda *args: watch.steps(partial(step, *args))()


def _stepping_async(step: Callable[..., Awaitable[Any]], watch: Watch) -> Callable[..., Any]:
    return lambda *args: watch.async_steps(partial(step, *args))()


_WRAPPED: Final[dict[str, Callable[[Callable[..., Any], Watch], Callable[..., Any]]]] = {
    "aclose": _closing_async,
    "asend": _stepping_async,
    "athrow": _stepping_async,
    "close": _closing,
    "send": _stepping,
    "throw": _stepping,
}
"""Methods of a stream, or of a generator, that end it or return a chunk."""


def is_stream(result: object) -> bool:
    """Return whether a call's result is a stream, not a whole answer."""
    return _is_stream_class(type(result))  # type: ignore[arg-type]  # a class


@lru_cache(maxsize=256)
def _is_stream_class(cls: type) -> bool:
    return hasattr(cls, "__next__") or hasattr(cls, "__anext__")
