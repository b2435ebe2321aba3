"""What happens to us at fork and at exit. Registered once, weakly: nothing is kept alive."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from trace_core._log import report

_Reference: TypeAlias = weakref.WeakMethod[Callable[[], None]]
_LONGEST_WAIT: Final = 10.0
"""Seconds a fork is held up at the most, in case what is imported waits for whoever forks."""


class _Hooks:
    """Bound methods to call some day, in the order they came, as long as their objects live."""

    def __init__(self) -> None:
        self._references: dict[int, _Reference] = {}

    def add(self, method: Callable[[], None]) -> None:
        # Not by a callback of the reference: it would run, and fail, while the interpreter ends.
        for key, known in list(self._references.items()):
            if known() is None:
                self._references.pop(key, None)
        reference = weakref.WeakMethod(method)
        self._references[id(reference)] = reference

    def call(self, *, last_first: bool = False) -> None:
        references = list(self._references.values())
        for reference in reversed(references) if last_first else references:
            method = reference()
            if method is not None:
                _call(method)


def _call(method: Callable[[], None]) -> None:
    try:
        method()
    except Exception as error:
        report("a fork or exit handler", error)


_after_fork: Final = _Hooks()
_at_exit: Final = _Hooks()


def after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, as long as its object lives.

    For objects with threads, locks or connections, none of which survive a fork.

    Args:
        method: A bound method; what it raises is logged.
    """
    _after_fork.add(method)


def at_exit(method: Callable[[], None]) -> None:
    """Call a bound method when the interpreter exits, last registered first.

    Also when a ``multiprocessing`` child ends, which may run no `atexit` handlers.

    Args:
        method: A bound method; what it raises is logged.
    """
    _at_exit.add(method)
    _register_in_pool_worker()


class _ForkGuard:
    """Holds up a fork while a thread of ours imports: see `no_fork`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._here = threading.local()

    def before(self) -> None:
        self._here.held = self.lock.acquire(timeout=_LONGEST_WAIT)

    def after_in_parent(self) -> None:
        if self._here.held:
            self.lock.release()


_guard: Final = _ForkGuard()


@contextmanager
def no_fork() -> Iterator[None]:
    """Have forks wait while a thread imports what nobody may have imported yet.

    Whoever imports the same in a child forked meanwhile would wait for ever, for a thread that
    the child does not have.
    """
    with _guard.lock:
        yield


def run_exit_handlers() -> None:
    """Run what `at_exit` registered, last first."""
    _at_exit.call(last_first=True)


class _WorkerExit:
    """Ends a multiprocessing child, which leaves by ``os._exit`` and runs finalisers only."""

    registered_in: int | None = None

    @classmethod
    def register(cls, _: object = None) -> None:
        if cls.registered_in != os.getpid():
            cls.registered_in = os.getpid()
            finalize = sys.modules["multiprocessing.util"].Finalize
            finalize(None, run_exit_handlers, exitpriority=100)


def _in_child() -> None:
    _guard.lock = threading.RLock()
    _after_fork.call()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # A child of multiprocessing clears its finalisers first and runs these hooks next.
        util.register_after_fork(_WorkerExit, _WorkerExit.register)


def _register_in_pool_worker() -> None:
    """Cover a child of a fork server, which imports us only after it was forked."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _WorkerExit.register()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_guard.before, after_in_parent=_guard.after_in_parent, after_in_child=_in_child
    )
atexit.register(run_exit_handlers)
