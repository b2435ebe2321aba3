"""Tells what other people's code raises from what is sent to a thread."""

from __future__ import annotations

import inspect
import sys
import threading
from types import FrameType
from typing import Final, TypeAlias

Caught: TypeAlias = "tuple[type[BaseException], ...]"

_OF_GREENLETS: Final = frozenset({"greenlet", "gevent", "eventlet"})
_OUR_PACKAGES: Final = ("trace_core", "trace_litellm", "trace_mlflow", "trace_nats", "trace_otlp")


def failure() -> Caught:
    """Return what an ``except`` clause is to catch: any exception, unless it `was_sent`.

    For code of other people that ours calls: a value's ``repr``, a sink, a processor. Whatever
    that raises must not reach the user's call, ``SystemExit`` and ``CancelledError`` included::

        try:
            text = repr(value)
        except failure() as error:
            ...
    """
    error = sys.exc_info()[1]
    return () if error is None or was_sent(error) else (BaseException,)


def was_sent(error: BaseException) -> bool:
    """Say whether an exception was sent to this thread while our code ran.

    It is for the code around ours then, and has to go on: Ctrl-C; what a signal handler raises,
    such as ``SystemExit`` or a timeout of the user's own; what ends a greenlet; what another
    thread has sent by ``PyThreadState_SetAsyncExc``.

    Args:
        error: The exception, just caught.
    """
    if isinstance(error, KeyboardInterrupt) and _is_main_thread():
        return True
    if _comes_from_signal_handler(error):
        return True
    return not isinstance(error, Exception) and (ends_greenlet(error) or _began_with_us(error))


def _is_main_thread() -> bool:
    """Say whether this is the thread on which CPython runs signal handlers."""
    return threading.current_thread() is threading.main_thread()


def _comes_from_signal_handler(error: BaseException) -> bool:
    """Look for a signal handler in the traceback: a function that is given its caller's frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        caller, trace = trace.tb_frame, trace.tb_next
        if _is_given(trace.tb_frame, caller):
            return True
    return False


def _is_given(function: FrameType, caller: FrameType) -> bool:
    names, more, _, values = inspect.getargvalues(function)
    given = [values.get(name) for name in names]
    if more is not None:
        given += values.get(more, ())
    return any(one is caller for one in given)


def ends_greenlet(error: BaseException) -> bool:
    """Say whether an exception is what ends a greenlet, whose end somebody may wait for."""
    return any(cls.__module__.partition(".")[0] in _OF_GREENLETS for cls in type(error).__mro__)


def _began_with_us(error: BaseException) -> bool:
    """Say whether an exception began in our own code, which raises none but `Exception`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    module = str(trace.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0].startswith(_OUR_PACKAGES)
