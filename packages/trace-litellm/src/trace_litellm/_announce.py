"""What people are told when tracing begins: where traces go, how to see them, wrong settings."""

from __future__ import annotations

import os
import sys

from trace_core import SinkBase, log_once, setting, unknown_settings


def is_for_people() -> bool:
    """Tell whether somebody reads standard error: a terminal or a notebook, and no worker."""
    if setting("TRACE_QUIET") or sys.stderr is None or _is_worker():
        return False
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def _is_worker() -> bool:
    processes = sys.modules.get("multiprocessing.process")  # a worker has imported it
    return processes is not None and processes.parent_process() is not None


def announce(sink: SinkBase, *, by_default: bool) -> None:
    """Say in one line where traces go and how to see them, if somebody reads it.

    Args:
        sink: Where they go.
        by_default: Whether ``trace-litellm show`` finds them without being told where.
    """
    try:
        if is_for_people():
            ways = [sink.viewing] if sink.viewing else []  # none on a terminal or behind a broker
            if ways and by_default:
                ways.insert(0, "trace-litellm show")
            see = f"; see them: {', or '.join(ways)}" if ways else ""
            sys.stderr.write(f"trace-litellm: traces go to {sink.place}{see}\n")
            sys.stderr.flush()
    except Exception as error:  # a remark must not keep a program from running
        log_once("announce", "tracing: cannot say where traces go: %s", error)


def warn_of_settings(*, by_default: bool) -> None:
    """Warn of environment variables that are set and do not do what they seem to.

    Args:
        by_default: Whether the sink is the one that the environment names.
    """
    for name, meant in unknown_settings().items():
        if meant is not None:  # others may be another program's
            log_once(f"setting:{name}", "%s is not a setting; did you mean %s?", name, meant)
    if by_default and "TRACE_SINKS" in os.environ and not os.environ["TRACE_SINKS"].strip():
        log_once(
            "setting:TRACE_SINKS",
            "TRACE_SINKS is set and empty, so traces go where they go by default; "
            "TRACE_DISABLED=1 turns tracing off",
        )
