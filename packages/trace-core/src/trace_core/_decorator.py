"""``@tracer.trace`` for functions, coroutine functions, generators and async generators."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trace_core._model import SpanKind
from trace_core._snapshot import Value, snapshot

if TYPE_CHECKING:
    from trace_core._tracer import OpenSpan, Tracer

F = TypeVar("F", bound=Callable[..., object])


def decorate(tracer: Tracer, function: F, name: str | None, kind: SpanKind) -> F:
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
    """
    title = name or function.__qualname__
    signature = inspect.signature(function)

    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenSpan:
        return tracer.start(title, kind=kind, inputs=_inputs(signature, args, kwargs))

    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(tracer, function, start)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(tracer, function, start)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(tracer, function, start)
    else:
        wrapper = _function(tracer, function, start)
    return cast("F", functools.wraps(function)(wrapper))


_Start = Callable[[tuple[Any, ...], dict[str, Any]], "OpenSpan"]


def _inputs(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    try:
        bound = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:  # the call itself will say what is wrong
        return {"args": args, "kwargs": kwargs}
    bound.pop("self", None)
    return bound


def _function(tracer: Tracer, function: Callable[..., Any], start: _Start) -> Callable[..., Any]:
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


def _coroutine(tracer: Tracer, function: Callable[..., Any], start: _Start) -> Callable[..., Any]:
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


def _generator(tracer: Tracer, function: Callable[..., Any], start: _Start) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = start(args, kwargs)
        items: list[Value] = []
        span.before_end = lambda: _set_items(span, items)
        generator = function(*args, **kwargs)
        resume, sent = generator.send, None
        try:
            while True:
                leave = tracer.activate(span)
                try:
                    item = resume(sent)
                finally:
                    leave()
                items.append(snapshot(item))
                try:
                    resume, sent = generator.send, (yield item)
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as thrown:
                    resume, sent = generator.throw, thrown
        except StopIteration as stop:
            span.end()
            return stop.value
        except BaseException as error:
            span.end(None if isinstance(error, GeneratorExit) else error)
            raise

    return wrapper


def _async_generator(
    tracer: Tracer, function: Callable[..., Any], start: _Start
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = start(args, kwargs)
        items: list[Value] = []
        span.before_end = lambda: _set_items(span, items)
        generator = function(*args, **kwargs)
        resume, sent = generator.asend, None
        try:
            while True:
                leave = tracer.activate(span)
                try:
                    item = await resume(sent)
                finally:
                    leave()
                items.append(snapshot(item))
                try:
                    resume, sent = generator.asend, (yield item)
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as thrown:
                    resume, sent = generator.athrow, thrown
        except StopAsyncIteration:
            span.end()
        except BaseException as error:
            span.end(None if isinstance(error, GeneratorExit) else error)
            raise

    return wrapper


def _set_items(span: OpenSpan, items: list[Value]) -> None:
    span.outputs = tuple(items)
