"""Turning tracing on and off."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import threading
from collections.abc import Container
from importlib.metadata import PackageNotFoundError, version
from types import FunctionType, TracebackType

from trace_core import (
    Background,
    ConfigurationError,
    JsonLinesSink,
    MemorySink,
    Scope,
    Sink,
    SinkLike,
    Tracer,
    at_exit,
    disabled_by_environment,
    durable,
    load_sink,
    log_once,
    sink_from_environment,
    sink_names,
)
from trace_litellm._attempts import hooks_of
from trace_litellm._calls import Calls
from trace_litellm._imports import ImportWatch
from trace_litellm._patch import Hook, Swap, swap_all
from trace_litellm._targets import (
    LATE,
    UnsupportedLiteLLM,
    check_version,
    find_targets,
    trojan_on_path,
)

logger = logging.getLogger("trace_litellm")

_lock = threading.RLock()
_current: Instrumentation | None = None


class Instrumentation:
    """LiteLLM with tracing on. Also a context manager that turns it off again.

    Made by `instrument` and `autolog`.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        scope = Scope("trace_litellm", _own_version())
        self._calls = Calls(tracer.with_scope(scope), tracer.on_error)
        self._swaps: tuple[Swap, ...] = ()
        self._patched: set[FunctionType] = set()
        self._watch = ImportWatch(LATE, self._imported)

    @property
    def active(self) -> bool:
        """Whether calls are traced. Not after `uninstrument`, nor on an unsupported LiteLLM."""
        return bool(self._swaps)

    def patch(self) -> None:
        """Put our hooks into LiteLLM: all of them, or none and a warning.

        Called again, it does so with the functions that a reload of LiteLLM has made anew.
        """
        try:
            check_version(_litellm_version())
            _check_no_trojan()
            hooks = _hooks(self._calls, self._patched)
            self._swaps += swap_all(hooks)
            self._patched |= hooks.keys()
            self._watch.start()
        except (UnsupportedLiteLLM, TypeError) as error:
            log_once(f"unsupported:{error}", "LiteLLM is not traced: %s", error)

    def _imported(self, module: str) -> None:
        """Trace what is in a module that the program has just imported.

        Takes no lock: the importing thread holds the module's, and whoever holds ours may import.
        """
        if not self.active:  # turned off while the module was on its way
            return
        try:
            hooks = _target_hooks(self._calls, self._patched, module)
            self._swaps += swap_all(hooks)
            self._patched |= hooks.keys()
        except Exception as error:
            self._calls.on_error(f"looking into {module}", error)

    def uninstrument(self) -> None:
        """Make LiteLLM what it was. A second call does nothing.

        Streams begun before are still followed to their end.
        """
        global _current  # noqa: PLW0603  # LiteLLM is global as well
        with _lock:
            self._watch.stop()
            for one in reversed(self._swaps):
                one.remove()
            self._swaps = ()
            self._patched = set()
            if _current is self:
                _current = None

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every ended call is where the sink puts it.

        Args:
            timeout: Seconds to wait at the most.

        Returns:
            Whether it was done in time.
        """
        return self.tracer.flush(timeout)

    def __enter__(self) -> Instrumentation:  # noqa: PYI034  # Self needs Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.uninstrument()

    def end_open_spans(self) -> None:
        """End what is still open, such as a stream nobody read to its end, for the exit."""
        self.tracer.end_open_spans()


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
        if _current is None or not _current.active:
            _current = Instrumentation(tracer)
        elif _current.tracer is not tracer:
            raise ConfigurationError(
                "LiteLLM is traced by another tracer already: uninstrument() that first, "
                "or give one tracer several sinks with trace_core.tee()"
            )
        _current.patch()
        return _current


def _check_no_trojan() -> None:
    left_behind = trojan_on_path()
    if left_behind:
        raise UnsupportedLiteLLM(f"{left_behind} was left behind by a trojaned LiteLLM: remove it")


def _hooks(calls: Calls, patched: Container[FunctionType]) -> dict[FunctionType, Hook]:
    hooks = _target_hooks(calls, patched) | hooks_of(calls)
    return {function: hook for function, hook in hooks.items() if function not in patched}


def _target_hooks(
    calls: Calls, patched: Container[FunctionType], module: str | None = None
) -> dict[FunctionType, Hook]:
    return {
        function: calls.around(found, is_async=inspect.iscoroutinefunction(function))
        for found in find_targets(patched, module)
        for function in found.functions
    }


def _litellm_version() -> str:
    try:
        return version("litellm")
    except PackageNotFoundError:
        raise UnsupportedLiteLLM("litellm is not installed: pip install litellm") from None


def _own_version() -> str:
    return version("trace-litellm")


def autolog(sink: SinkLike | str | None = None, *, disable: bool = False) -> Instrumentation | None:
    """Trace every call made through LiteLLM. One line, everything by default.

    A second call is harmless, and traces what a reload of LiteLLM has made anew. With another
    sink it goes on with that one.

    Args:
        sink: Where spans go: a sink, a function of a batch of spans, or a specification such as
            ``"mlflow:http://127.0.0.1:5000"`` or ``"jsonl:traces.jsonl"``. By default what
            ``TRACE_SINKS`` names, else MLflow if its sink is installed, else the file
            ``traces.jsonl`` in the current folder.
        disable: Turn tracing off again, and deliver what is waiting.

    Returns:
        What is now in force; ``None`` when tracing is off.

    Raises:
        ConfigurationError: The sink or an environment variable makes no sense.
    """
    with _lock:
        if disable or disabled_by_environment():
            _stop()
            return None
        if _current is not None and _current.active and sink is None:
            return instrument(_current.tracer)
        chosen = _choose(sink)
        _stop()
        instrumentation = instrument(Tracer(_in_background(chosen)))
        at_exit(instrumentation.end_open_spans)
        return instrumentation


def _stop() -> None:
    if _current is not None:
        stopped = _current
        stopped.uninstrument()
        stopped.tracer.flush()


def _choose(sink: SinkLike | str | None) -> SinkLike:
    if isinstance(sink, str):
        return load_sink(sink)
    return sink or sink_from_environment() or _default_sink()


def _default_sink() -> Sink:
    if "mlflow" in sink_names() and _has_store():
        return load_sink("mlflow")
    logger.warning(
        "traces go to traces.jsonl in the current folder; for MLflow: "
        "pip install 'trace-litellm[mlflow]', for another place: autolog(sink) or TRACE_SINKS"
    )
    return JsonLinesSink("traces.jsonl")


def _has_store() -> bool:
    return importlib.util.find_spec("mlflow") is not None


def _in_background(sink: SinkLike) -> SinkLike:
    """Put a sink behind redaction, a spool and a thread, unless it has one or is read at once."""
    if isinstance(sink, (Background, MemorySink)):
        return sink
    return durable(sink)
