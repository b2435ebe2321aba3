"""What happens to us at fork and at exit. Registered once, weakly: nothing is kept alive."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable

from trace_core._errors import report

_after_fork: list[weakref.WeakMethod[Callable[[], None]]] = []
_at_exit: list[weakref.WeakMethod[Callable[[], None]]] = []


def after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, as long as its object lives.

    For objects with threads, locks or connections, none of which survive a fork.

    Args:
        method: A bound method; what it raises is logged.
    """
    _after_fork.append(weakref.WeakMethod(method))


def at_exit(method: Callable[[], None]) -> None:
    """Call a bound method when the interpreter exits, last registered first.

    Also when a forked ``multiprocessing`` child ends, which runs no `atexit` handlers.

    Args:
        method: A bound method; what it raises is logged.
    """
    _at_exit.append(weakref.WeakMethod(method))


def _call_all(references: list[weakref.WeakMethod[Callable[[], None]]]) -> None:
    references[:] = [reference for reference in references if reference() is not None]
    for reference in list(references):
        method = reference()
        if method is None:
            continue
        try:
            method()
        except Exception as error:
            report("a fork or exit handler", error)


def _in_child() -> None:
    _call_all(_after_fork)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # A child of multiprocessing clears its finalisers first and runs these hooks next.
        util.register_after_fork(_ChildExit, _ChildExit.register)


class _ChildExit:
    @staticmethod
    def register(_: object) -> None:
        sys.modules["multiprocessing.util"].Finalize(None, run_exit_handlers, exitpriority=100)


def run_exit_handlers() -> None:
    """Run what `at_exit` registered, last first."""
    _call_all(_at_exit_reversed())


def _at_exit_reversed() -> list[weakref.WeakMethod[Callable[[], None]]]:
    return _at_exit[::-1]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
atexit.register(run_exit_handlers)
