"""The base class of sinks in front of other sinks: flush, close, exit, and what they pass on."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from trace_core import _arguments as arguments
from trace_core._failures import failure
from trace_core._lifecycle import at_exit, forget_handlers
from trace_core._log import report
from trace_core._sinks.base import SinkBase, deadline_after, seconds_left

T = TypeVar("T")


def guarded(where: str, step: Callable[[], T], otherwise: T) -> T:
    """Run a step of a sink; if it raises, report that and return something else.

    Args:
        where: What is being done, for the log.
        step: The step.
        otherwise: What to return if it raises.
    """
    try:
        return step()
    except failure() as error:  # sys.exit() in a sink ends neither the writer nor the caller
        report(where, error)
        return otherwise


def flush_guarded(sink: SinkBase, deadline: float) -> bool:
    """Flush a sink; an exception is reported and means "not delivered"."""
    return guarded(f"flushing {sink.name}", lambda: sink.flush(seconds_left(deadline)), False)


def close_guarded(sink: SinkBase, deadline: float) -> None:
    """Close a sink; an exception is reported."""
    guarded(f"closing {sink.name}", lambda: sink.close(seconds_left(deadline)), None)


class WrapperSink(SinkBase):
    """Base class of sinks in front of one or more other sinks.

    A subclass implements `begin_flush` and `begin_close`; `flush` and `close` wait for them. At
    exit the outermost wrapper of a chain is closed, which closes the others.

    Args:
        sinks: The sinks behind this one.
        exit_timeout: Seconds the close at exit may take; by default what the most patient of
            the sinks asks for.
    """

    def __init__(self, sinks: Sequence[SinkBase], exit_timeout: float | None = None) -> None:
        if exit_timeout is not None:
            arguments.number(exit_timeout, "exit_timeout")
        self._exit_timeout = exit_timeout
        self._stand_before(sinks)
        at_exit(self._begin_exit)

    def _stand_before(self, sinks: Sequence[SinkBase]) -> None:
        """Become the owner of sinks, and take over what they want."""
        self._behind = tuple(sinks)
        self.bridges = tuple(bridge for sink in sinks for bridge in sink.bridges)
        self.takes_starts = any(sink.takes_starts for sink in sinks)
        self.wants_spool = any(sink.wants_spool for sink in sinks)
        self.small_batches = any(sink.small_batches for sink in sinks)
        self.redacts = _all_redact(sinks)
        for sink in sinks:
            sink._owner = weakref.ref(self)  # noqa: SLF001  # same package

    @property
    def place(self) -> str:
        """The places of the sinks behind this one."""
        return ", ".join(sink.place for sink in self._behind)

    @property
    def viewing(self) -> str | None:
        """How to look at what the first sink behind this one stores that can say so."""
        return next(filter(None, (sink.viewing for sink in self._behind)), None)

    def trace_url(self, trace_id: str | None = None, /) -> str | None:
        """Return what the first sink behind this one says that knows it."""
        return next(filter(None, (sink.trace_url(trace_id) for sink in self._behind)), None)

    def check(self, timeout: float = 5.0, /) -> str | None:
        """Check the sinks behind this one."""
        return "; ".join(filter(None, (sink.check(timeout) for sink in self._behind))) or None

    @property
    def spool_key(self) -> str:
        """The keys of the sinks behind this one."""
        return ",".join(sink.spool_key for sink in self._behind)

    @property
    def exit_timeout(self) -> float:
        """Seconds the close at exit may take."""
        if self._exit_timeout is not None:
            return self._exit_timeout
        return max((sink.exit_timeout for sink in self._behind), default=0.0)

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Wait until everything accepted so far is delivered.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether everything is delivered.
        """
        return self.begin_flush(deadline_after(timeout))()

    def close(self, timeout: float = 5.0, /) -> None:
        """Deliver what is left, as far as time allows, and close the sinks behind this one.

        Args:
            timeout: Seconds it may take.
        """
        self.begin_close(deadline_after(timeout))()

    def _begin_exit(self) -> Callable[[], None] | None:
        owner = self._owner() if self._owner is not None else None
        if owner is not None:  # it closes this sink when it has written what it holds
            return None
        return self.begin_close(deadline_after(self.exit_timeout))

    def _forget_handlers(self) -> None:
        """Stop being called at fork and exit, which a closed sink has no use for."""
        forget_handlers(self)


def _all_redact(sinks: Sequence[SinkBase]) -> bool | None:
    """Say what `SinkBase.redacts` is of several: nobody's choice if it is of one."""
    chosen = {sink.redacts for sink in sinks}
    return None if None in chosen else chosen == {True}
