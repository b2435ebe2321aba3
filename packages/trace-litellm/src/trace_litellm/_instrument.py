"""Turning tracing on and off.

What tracing takes is imported when it is turned on, so that importing us costs a program little.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, overload

import trace_core
from trace_core import (
    Background,
    ConfigurationError,
    MemorySink,
    Sink,
    SinkBase,
    SinkLike,
    Span,
    Tracer,
    at_exit,
    forget_handlers,
)
from trace_litellm._announce import announce, warn_of_settings

if TYPE_CHECKING:
    from trace_litellm._instrumentation import Instrumentation

logger = logging.getLogger("trace_litellm")

_TRACED: Final = (
    "LiteLLM is traced already, with another tracer. To use that one: trace_litellm.autolog() "
    "returns what is in force, with its tracer. To replace it: trace_litellm.autolog(disable=True) "
    "first. To send spans to one more place: trace_litellm.autolog(trace_core.tee(one, other))"
)
_lock = threading.RLock()
_current: Instrumentation | None = None
_owned = False
"""Whether `autolog` made the sink in use, and so has to close it."""
_requested: SinkLike | str | None = None
"""The sink that `autolog` was called with, while what it made is in use."""


def instrument(tracer: Tracer) -> Instrumentation:
    """Trace LiteLLM's calls with a tracer of your own.

    On a LiteLLM that is not known to be safe to patch nothing is touched: one warning says why,
    and the result is not `Instrumentation.active`.

    Args:
        tracer: Makes the spans and knows where they go.

    Returns:
        What turns it off again, also as a context manager. Called again with the same tracer,
        the same object.

    Raises:
        ConfigurationError: Another tracer is in use, or ``tracer`` is none.
    """
    if not isinstance(tracer, Tracer):
        raise ConfigurationError(
            f"instrument() wants a trace_core.Tracer, got {type(tracer).__name__}; "
            "for a sink, use autolog(sink) or Tracer(sink)"
        )
    global _current  # noqa: PLW0603  # LiteLLM is global as well
    with _lock:
        if _current is None or not _current.wanted:
            _current = _made_for(tracer)
        elif _current.tracer is not tracer:
            raise ConfigurationError(_TRACED)
        made = _current
    return _patched(made)


def _made_for(tracer: Tracer) -> Instrumentation:
    from trace_litellm._instrumentation import Instrumentation

    return Instrumentation(tracer)


def _import_litellm() -> None:
    from trace_litellm._patching.preflight import import_litellm

    import_litellm()


def _patched(made: Instrumentation) -> Instrumentation:
    """Put the hooks into LiteLLM, unless tracing was turned off or replaced meanwhile.

    LiteLLM is imported without the lock: another thread may be importing it, and under
    ``trace-litellm run`` that calls `autolog`, which takes the lock, before the import ends.
    """
    _import_litellm()
    with _lock:
        if made is _current:
            made.patch()
    return made


@overload
def autolog(
    sink: SinkLike | str | None = None, *, disable: Literal[False] = False
) -> Instrumentation: ...
@overload
def autolog(sink: SinkLike | str | None = None, *, disable: bool) -> Instrumentation | None: ...
def autolog(sink: SinkLike | str | None = None, *, disable: bool = False) -> Instrumentation | None:
    """Trace every call made through LiteLLM. One line, everything by default.

    A second call with the same sink, or without one, returns the same object, and traces what a
    reload of LiteLLM has made anew. A call with another sink replaces the first one.

    What `autolog` starts ends when another sink replaces it and with ``disable=True``: what is
    waiting is delivered, streams still open end as interrupted, threads and files are closed. The
    sink you gave is closed too, unless it is a `Background` or a `MemorySink`.

    Args:
        sink: Where spans go: a sink, a function of a batch of spans, or a specification such as
            ``"mlflow:http://127.0.0.1:5000"`` or ``"jsonl:traces.jsonl"``. By default what
            ``TRACE_SINKS`` names, else MLflow if its sink is installed, else the file
            ``traces.jsonl`` in the current folder.
        disable: Turn tracing off again, deliver what is waiting and close the sink.

    Returns:
        What is now in force; ``None`` with ``disable=True``. Where ``TRACE_DISABLED`` turns tracing
        off, the result is not `Instrumentation.active`, and spans of its tracer go nowhere, so that
        the program need not know.

    Raises:
        ConfigurationError: The sink or an environment variable makes no sense.
    """
    with _lock:
        if disable:
            _stop()
            return None
        if trace_core.disabled_by_environment():
            _stop()
            return _inactive()
        made = _current
        if made is None or not made.wanted or not _is_the_same(sink):
            chosen = _choose(sink)
            _stop()
            made = _start(chosen, sink)
    return _patched(made)


def _is_the_same(sink: SinkLike | str | None) -> bool:
    if isinstance(sink, str):
        return sink == _requested
    return sink is None or sink is _requested


def _start(chosen: SinkLike, requested: SinkLike | str | None) -> Instrumentation:
    global _current, _owned, _requested  # noqa: PLW0603  # LiteLLM is global as well
    given = isinstance(chosen, (Background, MemorySink))
    sink = trace_core.as_sink(chosen) if given else trace_core.durable(chosen)
    from trace_litellm._otel import bridges_for

    tracer = Tracer(sink, bridges=bridges_for(sink))
    by_default = requested is None
    warn_of_settings(by_default=by_default)
    announce(sink, by_default=by_default)  # before LiteLLM is imported
    _current = made = _made_for(tracer)
    _owned, _requested = not given, requested
    at_exit(made.end_open_spans)
    return made


@functools.cache
def _inactive() -> Instrumentation:
    """Return what a program gets that has turned tracing off from outside."""
    return _made_for(Tracer(_Nowhere(), redacted=False))


class _Nowhere(SinkBase):
    """The sink of a tracer that records nothing."""

    @property
    def place(self) -> str:
        """Why nothing is recorded."""
        return "nowhere: TRACE_DISABLED is set"

    def write(self, spans: Sequence[Span], /) -> None:
        """Forget spans."""


def _stop() -> None:
    """End tracing, and what `autolog` made for it."""
    global _current, _owned, _requested  # LiteLLM is global as well
    stopped, owned = _current, _owned
    _current, _owned, _requested = None, False, None
    if stopped is None:
        return
    was_active = stopped.active
    stopped.uninstrument()
    forget_handlers(stopped)
    if owned:  # as patiently as at exit: a first delivery may have to make a database
        stopped.tracer.close(stopped.tracer.sink.exit_timeout)
    elif was_active:
        stopped.tracer.flush()


@contextmanager
def traced_by(sink: Sink) -> Generator[Instrumentation]:
    """Have a sink get the spans of a block besides whatever gets them else.

    Args:
        sink: The sink; secrets are removed before.

    Yields:
        What is in force in the block.

    Raises:
        ConfigurationError: LiteLLM cannot be traced, or an environment variable makes no sense.
    """
    global _current, _owned, _requested  # LiteLLM is global as well
    _import_litellm()
    with _lock:
        before = _current, _owned, _requested
        outer = _current if _current is not None and _current.active else None
        tracer = Tracer(sink) if outer is None else _beside(outer.tracer, sink)
        if outer is not None:
            outer.uninstrument()
        _current, _owned, _requested = None, False, None
        inner = instrument(tracer)
    try:
        if not inner.active:
            raise ConfigurationError("LiteLLM cannot be traced, so nothing can be recorded")
        yield inner
    finally:
        inner.flush()
        with _lock:
            inner.uninstrument()
            if _current is inner:
                _current, _owned, _requested = before
                if outer is not None:
                    outer.patch()


def _beside(tracer: Tracer, sink: Sink) -> Tracer:
    """Return a tracer for another sink that hands its spans on to the first one's as well."""
    recording, others = Tracer(sink).sink, tracer.sink  # each removes secrets as it was told to

    def write(spans: Sequence[Span]) -> None:
        try:
            recording.write(spans)
        finally:
            others.write(spans)

    return Tracer(write, bridges=others.bridges, redacted=False, on_error=tracer.on_error)


def _choose(sink: SinkLike | str | None) -> SinkLike:
    if isinstance(sink, str):
        return trace_core.load_sink(sink)
    if sink is not None:
        return sink
    return trace_core.sink_from_environment() or _default_sink()


def _default_sink() -> Sink:
    spec = trace_core.default_spec()
    if spec != "mlflow":
        logger.warning(
            "traces go to traces.jsonl in the current folder; for MLflow: "
            "pip install 'trace-litellm[mlflow]', for another place: autolog(sink) or TRACE_SINKS"
        )
    return trace_core.load_sink(spec)
