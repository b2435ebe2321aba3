"""Has SIGTERM run the exit handlers before it ends the program."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Final

from trace_core._lifecycle import is_exiting, run_exit_handlers
from trace_core._log import log_once, report

_MORE_IF_HELD_UP: Final = 6.0
"""Seconds before the signal ends the program though exit handlers still run: they may want a lock
that the interrupted thread holds. Sinks on disk may take 5 beyond the time to deliver."""


def exit_at_sigterm(timeout: float) -> None:
    """Call what `at_exit` registered before SIGTERM ends the program.

    Only where the signal would end it at once: a handler of the program's stays as it is. A server
    that raises the signal again once it has shut down, as uvicorn does, finds ours then.

    Args:
        timeout: Seconds that this may take; the longest of several counts.
    """
    _exit.timeout = max(_exit.timeout, timeout)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    try:
        signal.signal(signal.SIGTERM, _exit.begin)
    except ValueError:  # on another thread, or in a subinterpreter
        log_once("sigterm", "tracing: TRACE_EXIT_AT_SIGTERM works from the main thread only")
    else:
        _hold_back_in_forks()


class _Exit:
    """The exit by a signal.

    Attributes:
        timeout: Seconds that it may take.
        holds_back: Whether forks hold back the signal.
    """

    def __init__(self) -> None:
        self.timeout = 0.0
        self.holds_back = False

    def begin(self, number: int, _: FrameType | None) -> None:
        """Handle the signal."""
        signal.signal(number, signal.SIG_DFL)  # a second one ends the program at once
        if is_exiting():  # this would cut off what it delivers
            return
        try:
            # On a thread of its own: the one that was interrupted may hold a lock that they need.
            exits = threading.Thread(target=run_exit_handlers, name="trace-exit", daemon=True)
            exits.start()
            exits.join(self.timeout + _MORE_IF_HELD_UP)
        except RuntimeError as error:
            report("starting a thread to exit", error)
        finally:  # also at Ctrl-C: whoever caught that would go on with sinks that are closed
            signal.raise_signal(number)
            # The signal is blocked, or does nothing to a container's first process.
            os._exit(128 + number)


_exit: Final = _Exit()


class _Held(threading.local):
    """Whether the thread that forks has blocked the signal."""

    here = False


_held: Final = _Held()


def _hold_back_in_forks() -> None:
    """Block the signal while the program forks.

    CPython forgets a signal that a child gets before it runs for the first time, and whoever ended
    the child would wait for ever.
    """
    if hasattr(os, "register_at_fork") and not _exit.holds_back:
        _exit.holds_back = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_unblock)


def _block() -> None:
    _held.here = False
    if signal.getsignal(signal.SIGTERM) == _exit.begin:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        _held.here = signal.SIGTERM not in before


def _unblock() -> None:
    """Let the signal come; in a child after all other handlers, since it may run those at exit."""
    if _held.here:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
