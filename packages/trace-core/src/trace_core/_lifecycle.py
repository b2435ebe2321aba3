"""Calls methods of our objects after a fork and at exit, without keeping the objects alive."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

from trace_core._clock import pause
from trace_core._failures import ends_greenlet, failure
from trace_core._log import report

T = TypeVar("T")
Handler: TypeAlias = Callable[[], "Callable[[], object] | None"]
_Reference: TypeAlias = weakref.WeakMethod[Handler]
_LONGEST_WAIT: Final = 10.0
"""Seconds a fork is delayed at most, in case the import waits for the thread that forks."""


class _Hooks:
    """Bound methods to call later, in order of registration, as long as their objects live."""

    def __init__(self) -> None:
        self._references: dict[int, _Reference] = {}
        self.running = False
        """Whether they are being called, for those at exit."""

    def add(self, method: Handler) -> None:
        # Not by a callback of the reference: it would run, and fail, while the interpreter ends.
        for key, known in list(self._references.items()):
            if known() is None:
                self._references.pop(key, None)
        reference = weakref.WeakMethod(method)
        self._references[id(reference)] = reference

    def remove(self, owner: object) -> None:
        """Forget the methods of an object."""
        for key, known in list(self._references.items()):
            method = known()
            if method is None or method.__self__ is owner:  # type: ignore[attr-defined]
                self._references.pop(key, None)

    def methods(self) -> list[Handler]:
        """Return the methods whose objects are alive, in order of registration."""
        found = [reference() for reference in list(self._references.values())]
        return [method for method in found if method is not None]


def _call(method: Callable[[], T]) -> T | None:
    try:
        return method()
    except failure() as error:
        report("a fork or exit handler", error)
        return None


_after_fork: Final = _Hooks()
_at_exit: Final = _Hooks()


def after_fork(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, as long as its object lives.

    For objects with threads, locks or connections, none of which survive a fork.

    Args:
        method: A bound method; what it raises is logged.
    """
    _after_fork.add(method)


def at_exit(method: Handler) -> None:
    """Call a bound method when the interpreter exits, last registered first.

    Also when a ``multiprocessing`` child ends, which may run no `atexit` handlers.

    Args:
        method: A bound method; what it raises is logged. It may return a function that waits for
            what it has started: those are called once all methods have been, so that several
            sinks close side by side.
    """
    _at_exit.add(method)
    _register_in_pool_worker()


def forget_handlers(owner: object) -> None:
    """Undo all `after_fork` and `at_exit` of one object.

    Args:
        owner: The object whose methods were registered.
    """
    _after_fork.remove(owner)
    _at_exit.remove(owner)


class _ForkGuard:
    """Delays forks while one of our threads imports something: see `no_fork`."""

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
    """Delay forks while a thread imports something for the first time.

    Whoever imports the same in a child forked meanwhile would wait for ever, for a thread that
    the child does not have.
    """
    with _guard.lock:
        yield


def run_exit_handlers() -> None:
    """Call what `at_exit` registered, last first, then wait for what that has started."""
    _at_exit.running = True
    try:
        waits = [_call(method) for method in reversed(_at_exit.methods())]
        for wait in waits:
            if wait is not None:
                _call(wait)
    finally:
        _at_exit.running = False


def is_exiting() -> bool:
    """Say whether exit handlers are being called."""
    return _at_exit.running


class _WorkerExit:
    """Runs exit handlers in a multiprocessing child, which ends by ``os._exit``."""

    registered_in: int | None = None
    hooked = False

    @classmethod
    def hook(cls) -> None:
        """Have children register: they clear their finalisers first and run these hooks next.

        Also one that has just begun and imports the program, as those of a fork server do.
        """
        util = sys.modules.get("multiprocessing.util")
        if util is not None and not cls.hooked:
            cls.hooked = True
            util.register_after_fork(cls, cls.register)

    @classmethod
    def register(cls, _: object = None) -> None:
        if cls.registered_in != os.getpid():
            cls.registered_in = os.getpid()
            finalize = sys.modules["multiprocessing.util"].Finalize
            finalize(None, run_exit_handlers, exitpriority=100)


_BETWEEN_RUNS: Final = 0.1
"""Seconds, in case what ends a thread's work does so each time."""


def new_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Make a thread of ours. It does its work again if somebody sends it an exception.

    Nobody else does that work, and spans would wait for ever.

    Args:
        work: What the thread does; it returns at the end.
        name: The thread's.
    """
    return threading.Thread(target=_keep_running, args=(work, name), name=name, daemon=True)


def _keep_running(work: Callable[[], None], name: str) -> None:
    failed = False
    while True:
        try:
            if failed:
                pause(_BETWEEN_RUNS)
            work()
        except BaseException as error:
            if ends_greenlet(error):
                raise
            failed = True
            report(f"the thread {name}", error)
        else:
            return


def _in_child() -> None:
    _guard.lock = threading.RLock()
    _at_exit.running = False  # the parent's thread that called them is not here
    for method in _after_fork.methods():
        _call(method)
    _WorkerExit.hook()


def _register_in_pool_worker() -> None:
    """Register in a child of a fork server, which imports this only after the fork."""
    _WorkerExit.hook()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _WorkerExit.register()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_guard.before, after_in_parent=_guard.after_in_parent, after_in_child=_in_child
    )
atexit.register(run_exit_handlers)
