"""Logs trouble inside tracing, once per kind and without secrets."""

from __future__ import annotations

import logging
import os
import threading
import traceback

logger = logging.getLogger("trace_core")

_said: set[str] = set()
_said_lock = threading.RLock()  # re-entrant: logging may run a finaliser that logs as well


def _renew_lock() -> None:
    """Replace the lock in a forked child: a thread that is not there may have held it."""
    global _said_lock  # noqa: PLW0603  # one lock per process
    _said_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def log_once(key: str, message: str, *args: object, error: BaseException | None = None) -> None:
    """Warn about a kind of trouble the first time it happens, and only then.

    Args:
        key: The kind of trouble; later calls with the same key say nothing.
        message: A logging format string.
        *args: Its arguments; secrets in them are removed.
        error: The exception behind it, whose traceback is added at debug level.
    """
    with _said_lock:
        if key in _said:
            return
        _said.add(key)
    logger.warning(message, *(a if isinstance(a, int) else without_secrets(a) for a in args))
    if error is not None and logger.isEnabledFor(logging.DEBUG):
        # as a text: handlers would write the traceback of an exception as it is
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        logger.debug("details of the above\n%s", without_secrets("".join(lines)))


def without_secrets(value: object) -> str:
    """Return a value's text fit for a log: errors tell of requests, URLs and keys.

    Args:
        value: The value, such as an exception.
    """
    from trace_core._processors.redact import clean_text  # imports this module

    try:
        return clean_text(text_of(value))
    except Exception as error:
        return f"<not shown: looking for secrets in it failed: {type(error).__name__}>"


def report(where: str, error: BaseException) -> None:
    """Tell, once per place and type, of an error that must not reach the user's call.

    Args:
        where: What was being done.
        error: What went wrong.
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
    except Exception:
        return f"<{type(error).__name__} without a readable text>"
