"""``@tracer.trace`` for functions, coroutine functions, generators and async generators."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Final, NoReturn, Protocol, TypeVar, cast

from trace_core._model.parts import SpanKind
from trace_core._model.values import Value, snapshot
from trace_core._tracing.span import OpenSpan

F = TypeVar("F", bound=Callable[..., object])
MAX_YIELDED: Final = 1_000
"""Items kept of what a generator yields."""


class Starter(Protocol):
    """What a decorated function needs of a tracer."""

    def start(self, name: str, *, kind: SpanKind | str, inputs: object) -> OpenSpan:
        """Open a span."""
        ...

    def activate(self, span: OpenSpan) -> Callable[[], None]:
        """Make a span current."""
        ...


def decorate(tracer: Starter, function: F, *, name: str | None, kind: SpanKind) -> F:
    """Wrap a function so that each call of it is a span.

    A generator's span lasts from its first item to its end and is current only while the
    generator itself runs, never in the loop that consumes it.

    Args:
        tracer: Opens the spans.
        function: What to wrap.
        name: The spans' name; the function's qualified name by default.
        kind: The spans' kind.

    Returns:
        A function of the same kind and signature.

    Raises:
        TypeError: ``function`` cannot be called, as in ``@tracer.trace("name")``.
    """
    if not callable(function):
        raise TypeError(
            f"trace() decorates functions, got {function!r:.60}; for a name: trace(name=...)"
        )
    title = name or str(getattr(function, "__qualname__", type(function).__qualname__))
    signature = _signature(function)

    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan:
        return tracer.start(title, kind=kind, inputs=_inputs(signature, args, kwargs))

    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(tracer, function, start)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(tracer, function, start)
    elif any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
        wrapper = _coroutine(tracer, function, start)
    else:
        wrapper = _function(tracer, function, start)
    return cast("F", functools.wraps(function)(wrapper))


_Start = Callable[[tuple[Any, ...], dict[str, Any]], OpenSpan]
_Step = Callable[[Any], Any]


def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have none to read
        return None


def _inputs(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    if signature is None:
        return {"args": args, "kwargs": kwargs}
    try:
        bound = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:  # the call itself will say what is wrong
        return {"args": args, "kwargs": kwargs}
    bound.pop("self", None)
    return bound


def _function(tracer: Starter, function: Callable[..., Any], start: _Start) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = start(args, kwargs)
        leave = tracer.activate(span)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            leave()
            span.end(error)
            raise
        leave()
        span.set(outputs=result).end()
        return result

    return wrapper


def _coroutine(tracer: Starter, function: Callable[..., Any], start: _Start) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = start(args, kwargs)
        leave = tracer.activate(span)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            leave()
            span.end(error)
            raise
        leave()
        span.set(outputs=result).end()
        return result

    return wrapper


def _generator(tracer: Starter, function: Callable[..., Any], start: _Start) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = start(args, kwargs)
        items = _collect(span)
        generator = function(*args, **kwargs)
        step: _Step = generator.send
        sent: Any = None
        try:
            while True:
                leave = tracer.activate(span)
                try:
                    item = step(sent)
                finally:
                    leave()
                items.add(item)
                try:
                    step, sent = generator.send, (yield item)
                except GeneratorExit:
                    step, sent = _closing(generator), None
                except BaseException as thrown:
                    step, sent = generator.throw, thrown
        except StopIteration as stop:
            span.end()
            return stop.value
        except BaseException as error:
            span.end(None if isinstance(error, GeneratorExit) else error)
            raise

    return wrapper


def _closing(generator: Generator[Any, Any, Any]) -> Callable[[None], NoReturn]:
    def close(_: None) -> NoReturn:
        generator.close()
        raise GeneratorExit

    return close


def _async_generator(
    tracer: Starter, function: Callable[..., Any], start: _Start
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = start(args, kwargs)
        items = _collect(span)
        generator = function(*args, **kwargs)
        step: _Step = generator.asend
        sent: Any = None
        try:
            while True:
                leave = tracer.activate(span)
                try:
                    item = await step(sent)
                finally:
                    leave()
                items.add(item)
                try:
                    step, sent = generator.asend, (yield item)
                except GeneratorExit:
                    step, sent = _aclosing(generator), None
                except BaseException as thrown:
                    step, sent = generator.athrow, thrown
        except StopAsyncIteration:
            span.end()
        except BaseException as error:
            span.end(None if isinstance(error, GeneratorExit) else error)
            raise

    return wrapper


def _aclosing(generator: AsyncGenerator[Any, Any]) -> Callable[[None], Awaitable[NoReturn]]:
    async def close(_: None) -> NoReturn:
        await generator.aclose()
        raise GeneratorExit

    return close


class _Items:
    """What a generator has yielded, the first thousand of it."""

    def __init__(self) -> None:
        self._kept: list[Value] = []
        self._count = 0

    def add(self, item: object) -> None:
        self._count += 1
        if self._count <= MAX_YIELDED:
            self._kept.append(snapshot(item))

    def value(self) -> Value:
        more = self._count - len(self._kept)
        return (*self._kept, f"<{more} more items>") if more else tuple(self._kept)


def _collect(span: OpenSpan) -> _Items:
    items = _Items()

    def set_outputs() -> None:
        span_outputs(span_reference(), items)

    span_reference = weakref.ref(span)  # the span holds the function: no cycle, please
    span.before_end = set_outputs
    return items


def span_outputs(span: OpenSpan | None, items: _Items) -> None:
    """Set what was yielded as a span's outputs, if the span is still there."""
    if span is not None:
        span.outputs = items.value()
