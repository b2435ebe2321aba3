"""LiteLLM with tracing on: what of it is patched, and by which hooks."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Sequence
from importlib.metadata import version
from types import FunctionType, TracebackType

from trace_core import OpenSpan, Scope, Span, Tracer, failure, hide_frames, log_once, table_html
from trace_core.patching import ImportWatch, Swap, swap_all
from trace_litellm._calls.attempts import hooks_of
from trace_litellm._calls.hooks import CallHooks
from trace_litellm._calls.takeover import can_take_over, describe_misfits
from trace_litellm._patching.preflight import (
    UnsupportedLiteLLM,
    check_safe,
    find_targets,
    litellm_version,
)
from trace_litellm._patching.targets import LATE, Target

hide_frames(os.path.dirname(__file__) + os.sep)  # noqa: PTH120  # as a frame names it


class Instrumentation:
    """LiteLLM with tracing on. Also a context manager that turns it off again.

    Made by `instrument` and `autolog`.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        scope = Scope("trace_litellm", _own_version())
        self._hooks = CallHooks(tracer.with_scope(scope), tracer.on_error)
        self._takeover = self._hooks.takeover
        self._swaps: tuple[Swap, ...] = ()
        self._patched: set[FunctionType] = set()
        self._watch = ImportWatch(LATE, self._imported)
        self._lock = threading.RLock()
        self._new = True  # not patched yet

    @property
    def active(self) -> bool:
        """Whether calls are traced. Not after `uninstrument`, nor on an unsupported LiteLLM."""
        return bool(self._swaps or self._takeover.targets)

    @property
    def wanted(self) -> bool:
        """Whether calls are traced, or are to be once LiteLLM is imported."""
        return self._new or self.active

    def patch(self) -> None:
        """Put our hooks into LiteLLM, and a callback for the functions that they do not fit.

        Called again, it does so with the functions that a reload of LiteLLM has made anew.
        """
        try:
            check_safe()
            with self._lock:
                self._patch()
                self._watch.start()
        except (UnsupportedLiteLLM, ImportError) as error:
            log_once(f"unsupported:{error}", "LiteLLM is not traced: %s", error)
        finally:
            self._new = False

    def _patch(self, module: str | None = None) -> None:
        findings = find_targets(self._patched, module)
        known = {function: found for found in findings.found for function in found.functions}
        hooks = {
            function: self._hooks.hook_of(found, is_async=inspect.iscoroutinefunction(function))
            for function, found in known.items()
        } | hooks_of(self._hooks)
        swaps, failed = swap_all({f: hook for f, hook in hooks.items() if f not in self._patched})
        self._swaps += swaps
        self._patched |= hooks.keys() - failed.keys()
        for function, error in failed.items():
            self.tracer.on_error(f"patching {function.__qualname__}", error)
        self._take_over([*findings.misfits, *(known[f].target for f in failed if f in known)])

    def _take_over(self, misfits: Sequence[Target]) -> None:
        """Trace by a callback what cannot be patched, and say so."""
        self._takeover.take(filter(can_take_over, misfits))
        if misfits:
            told = describe_misfits(misfits)
            log_once(
                f"misfits:{told}",
                "LiteLLM %s has functions that this release of trace-litellm cannot patch; %s",
                litellm_version(),
                told,
            )

    def _imported(self, module: str) -> None:
        """Trace what is in a module that the program has just imported.

        Takes no lock: the importing thread holds the module's, and whoever holds ours may import.
        """
        if not self.active:  # turned off while the module was on its way
            return
        try:
            self._patch(module)
        except failure() as error:
            self.tracer.on_error(f"looking into {module}", error)

    def uninstrument(self) -> None:
        """Restore LiteLLM's own functions. A second call does nothing.

        Streams begun before are still followed to their end, unless LiteLLM's callbacks tell of
        them.
        """
        with self._lock:
            self._watch.stop()
            for one in reversed(self._swaps):
                one.remove()
            self._swaps = ()
            self._patched = set()
            self._takeover.stop()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until every ended call is where the sink puts it.

        Args:
            timeout: Seconds to wait at the most.

        Returns:
            Whether it was done in time.
        """
        self._takeover.settle(timeout)
        return self.tracer.flush(timeout)

    def trace_url(self, span: Span | OpenSpan | str, timeout: float = 30.0) -> str | None:
        """Return the page of a trace in the UI of the store it is in.

        Args:
            span: A span of the trace, finished or open, or the trace's id.
            timeout: Seconds to wait for the trace to be stored.

        Returns:
            The address; ``None`` if the trace is not stored in time, or where traces have no
            pages: a file, or a database without a server. A warning says which.
        """
        return self._page(span if isinstance(span, str) else span.context.trace_id, timeout)

    def last_trace_url(self, timeout: float = 30.0) -> str | None:
        """Return the page of the trace that was stored last: see `trace_url`.

        Args:
            timeout: Seconds to wait for traces that are on their way.
        """
        return self._page(None, timeout)

    def _page(self, trace_id: str | None, timeout: float) -> str | None:
        """Return a trace's page, and say why there is none."""
        in_time = self.flush(timeout)
        sink = self.tracer.sink
        url = sink.trace_url(trace_id)
        if url is None and not in_time:
            why = f"it is not stored after {timeout:g} s; trace-litellm doctor says where it waits"
        elif url is None:
            other = f"; see the traces there: {sink.viewing}" if sink.viewing else ""
            why = f"{sink.place} holds no such trace, or has no pages{other}"
        else:
            return url
        log_once(f"url:{why}", "the trace's page is not known: %s", why, every=0)
        return None

    def __repr__(self) -> str:
        state = "; ".join(f"{name}: {value}" for name, value in self._told())
        return f"<trace_litellm.Instrumentation: {state}>"

    def _repr_html_(self) -> str:
        return table_html("trace_litellm", self._told())

    def _told(self) -> list[tuple[str, str]]:
        """Return what people want to know of this, by name."""
        sink = self.tracer.sink
        found = [("tracing", "on" if self.active else "off"), ("traces go to", sink.place)]
        if sink.viewing:
            found.append(("see them", sink.viewing))
        if sink.stats is not None:
            counts = sink.stats
            found.append(("spans", f"{counts.accepted} ended, {counts.pending} waiting"))
            found += [("dropped", str(counts.dropped))] if counts.dropped else []
        return found

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
        self._takeover.settle(1.0)
        self.tracer.end_open_spans()


def _own_version() -> str:
    return version("trace-litellm")
