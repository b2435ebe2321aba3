"""Logs problems inside tracing: each kind at most once an hour, and without secrets."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import traceback
from typing import Final

from trace_core._clock import monotonic
from trace_core._failures import failure
from trace_core._platform import takes_output
from trace_core._printable import printable
from trace_core._processors.clean import clean_text

logger = logging.getLogger("trace_core")

HOUR: Final = 3600.0
_MOST_KINDS: Final = 1_000
_LONGEST: Final = 4_096
_clock = monotonic  # replaced by tests
_said: dict[str, float] = {}  # when each kind was logged last
_owners = itertools.count(1)
_said_lock = threading.RLock()  # re-entrant: logging may run a finaliser that logs as well


def _renew_lock() -> None:
    """Replace the lock in a forked child: a thread that is not there may have held it."""
    global _said_lock  # noqa: PLW0603  # one lock per process
    _said_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def owner_key(name: str) -> str:
    """Return a name that no other object has, for the keys of what an object logs.

    An ``id()`` will not do: a new object may get that of one which is gone, and be silent.

    Args:
        name: What the object is.
    """
    return f"{name}-{next(_owners)}"


def log_once(
    key: str,
    message: str,
    *args: object,
    error: BaseException | None = None,
    every: float = HOUR,
) -> bool:
    """Log a warning about a kind of problem, unless it was logged a short time ago.

    Args:
        key: The kind of problem.
        message: A logging format string.
        *args: Its arguments; secrets in them are removed, and what a terminal acts on is escaped.
        error: The exception behind it, whose traceback is added at debug level.
        every: Seconds in which later calls with the same key log nothing.

    Returns:
        Whether it was logged.
    """
    if not _is_taken() or not _is_due(key, every):
        return False
    try:
        texts = [a if isinstance(a, int) else without_secrets(a) for a in args]
        logger.warning(message, *texts)
        if error is not None and logger.isEnabledFor(logging.DEBUG):
            # as a text: handlers would write the traceback of an exception as it is
            lines = traceback.format_exception(type(error), error, error.__traceback__)
            details = _cleaned("".join(lines)).splitlines()
            logger.debug("details of the above\n%s", "\n".join(map(printable, details)))
    except failure():  # a handler or filter of the program's: there is nobody else to tell
        return False
    return True


def _is_taken() -> bool:
    """Say whether the log takes a message at once: its stream may be a pipe that nobody reads."""
    handlers: list[logging.Handler] = []
    here: logging.Logger | None = logger
    while here is not None:
        handlers += here.handlers
        here = here.parent if here.propagate else None
    if not handlers and logging.lastResort is not None:
        handlers.append(logging.lastResort)
    return all(takes_output(getattr(handler, "stream", None)) for handler in handlers)


def _is_due(key: str, every: float) -> bool:
    now = _clock()
    with _said_lock:
        last = _said.pop(key, None)
        due = last is None or now - last >= every
        _said[key] = now if last is None or due else last
        if len(_said) > _MOST_KINDS:
            del _said[next(iter(_said))]
    return due


def without_secrets(value: object) -> str:
    """Return a value's text without secrets, on one line of not more than 4,096 characters.

    Exceptions quote requests, URLs and keys, and what a server answered, which may hold what a
    terminal acts on.

    Args:
        value: The value, such as an exception.
    """
    return printable(_cleaned(value))


def _cleaned(value: object) -> str:
    try:
        text = text_of(value)
        if len(text) <= _LONGEST:
            return clean_text(text)
        begin = text[:_LONGEST].rpartition(" ")[0]  # a secret may lie across the cut
        return f"{clean_text(begin)}… ({len(text)} characters)"
    except failure() as error:
        return f"<not shown: looking for secrets in it failed: {type(error).__name__}>"


def report(where: str, error: BaseException) -> None:
    """Log an exception that must not reach the user's call, once per place and type.

    Args:
        where: What was being done.
        error: The exception.
    """
    kind = type(error).__name__
    log_once(
        f"{where}:{kind}", "tracing: %s failed: %s: %s", where, kind, text_of(error), error=error
    )


def text_of(error: object) -> str:
    """Return the text of an exception, or of anything, even if it cannot be written as text.

    Args:
        error: The exception.
    """
    try:
        return str(error)
    except failure():
        return f"<{type(error).__name__} without a readable text>"


def counted(number: int, thing: str) -> str:
    """Write how many there are: ``1 span``, ``1,200 spans``.

    Args:
        number: How many.
        thing: What, in the singular; its plural ends in s.
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
