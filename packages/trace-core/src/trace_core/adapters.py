"""For adapters: trace the functions of a library, from `Adapter.install` to `Adapter.remove`."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from types import FunctionType, TracebackType
from typing import Any, TypeAlias

from trace_core import semconv
from trace_core._failures import failure
from trace_core._model.parts import Scope
from trace_core._model.values import Value, snapshot
from trace_core._tracing.span import OpenSpan
from trace_core._tracing.tracer import Tracer
from trace_core.patching import ImportWatch, Swap, call_hook, swap
from trace_core.streams import Deltas, ListDeltas, StreamProxy, Watch, is_stream

__all__ = ["Adapter", "OpenCall", "TracedCall"]


class TracedCall:
    """A call and its span, which is current while the call runs.

    The span ends with the answer, with the exception, or with the stream that the call returns.

    Args:
        tracer: Makes the span current.
        span: The call's span, open.
        copy: Returns what is kept of an answer. Runs on the caller's thread.
        deltas: Makes what combines the chunks of a stream.
        complete: Fills in the ended span from its outputs: usage, attributes. The caller does
            not wait for it.
    """

    def __init__(
        self,
        tracer: Tracer,
        span: OpenSpan,
        *,
        copy: Callable[[Any], Value] = snapshot,
        deltas: Callable[[], Deltas] = ListDeltas,
        complete: Callable[[OpenSpan], None] | None = None,
    ) -> None:
        self._on_error = tracer.on_error
        self._span = span
        self._copy = copy
        self._deltas = deltas
        span.complete = complete
        self._leave = tracer.activate(span)

    def failed(self, error: BaseException) -> None:
        """End the span for an exception on its way to the caller. Never raises."""
        self._leave()
        self._span.end(error)

    def returned(self, result: Any) -> Any:
        """End the span of an answer, or follow a stream. Never raises.

        Args:
            result: What the function returned.

        Returns:
            The same object; for a stream, a proxy of it.
        """
        self._leave()
        try:
            if is_stream(result):
                return self._follow(result)
            self._span.outputs = self._copy(result)
        except failure() as error:
            self._on_error(f"reading a {type(result).__name__}", error)
        self._span.end()
        return result

    def _follow(self, stream: Any) -> StreamProxy:
        span, deltas = self._span, self._deltas()
        watch = Watch(span, deltas, span.end, self._on_error)
        span.complete = partial(_complete_stream, deltas, watch, span.complete)
        return StreamProxy(stream, watch)


def _complete_stream(
    deltas: Deltas, watch: Watch, complete: Callable[[OpenSpan], None] | None, span: OpenSpan
) -> None:
    span.outputs = deltas.outputs()
    span.attributes.update(watch.statistics())
    if complete is not None:
        complete(span)
    speed = watch.tokens_per_second(span.usage.output) if span.usage is not None else None
    if speed is not None:
        span.attributes[semconv.STREAM_TOKENS_PER_SECOND] = speed


OpenCall: TypeAlias = Callable[[Tracer, tuple[Any, ...], dict[str, Any]], "TracedCall | None"]
"""Opens the span of a call, given its arguments; ``None`` leaves the call alone."""


class Adapter:
    """The functions of a library, and what traces them. Also a context manager.

    A module that the program has not imported yet is patched when it is.

    Args:
        tracer: Makes the spans.
        scope: What the spans say that they come from.
        functions: For each module, its functions and methods by qualified name, such as
            ``Client.ask``, and what opens the span of a call. What that raises is reported to
            the tracer, and the call goes on without a span.
    """

    def __init__(
        self, tracer: Tracer, scope: Scope, functions: Mapping[str, Mapping[str, OpenCall]]
    ) -> None:
        self.tracer = tracer.with_scope(scope)
        self._functions = functions
        self._swaps: dict[FunctionType, Swap] = {}
        self._watch = ImportWatch(functions, self._patch)
        self._installed = False
        self._lock = threading.RLock()

    @property
    def patched(self) -> tuple[str, ...]:
        """The qualified names of the functions that are traced now."""
        return tuple(function.__qualname__ for function in list(self._swaps))

    def install(self) -> None:
        """Trace from now on. Called again, it does so with functions that a reload has made anew.

        A function that is not there, or cannot be patched, is reported to the tracer; the others
        are traced.
        """
        with self._lock:
            self._installed = True
            try:
                self._watch.start()
                for module in self._functions:
                    if module in sys.modules:
                        self._patch(module)
            except BaseException:  # such as Ctrl-C: all or nothing
                self.remove()
                raise

    def remove(self) -> None:
        """Trace no more. Streams that have begun are followed to their end."""
        with self._lock:
            self._installed = False
            self._watch.stop()
            while self._swaps:
                self._swaps.popitem()[1].remove()

    def _patch(self, module: str) -> None:
        """Patch the functions of a module that is imported.

        Takes no lock: the importing thread holds the module's, and whoever holds ours may import.
        """
        for name, opens in self._functions[module].items():
            if not self._installed:
                return
            try:
                function = inspect.unwrap(attrgetter(name)(sys.modules[module]))
                function = getattr(function, "__func__", function)
                if function not in self._swaps:
                    self._swaps[function] = swap(function, self._hook_of(function, opens))
            except Exception as error:
                self.tracer.on_error(f"patching {module}.{name}", error)

    def _hook_of(self, function: FunctionType, opens: OpenCall) -> Any:
        tracer = self.tracer

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TracedCall | None:
            try:
                return opens(tracer, args, kwargs)
            except failure() as error:
                tracer.on_error(f"opening a span for {function.__qualname__}", error)
                return None

        return call_hook(begin, is_async=inspect.iscoroutinefunction(function))

    def __enter__(self) -> Adapter:  # noqa: PYI034  # Self needs Python 3.11
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()
