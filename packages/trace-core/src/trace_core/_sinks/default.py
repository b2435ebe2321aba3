"""`durable`: puts queue, redaction and spool in front of a sink, as the settings say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from trace_core import _arguments as arguments
from trace_core._delivery.queue import Background
from trace_core._errors import ConfigurationError
from trace_core._processors.payloads import limit_payloads
from trace_core._processors.sampling import sample
from trace_core._settings import setting
from trace_core._sigterm import exit_at_sigterm
from trace_core._sinks.base import SinkBase, SinkLike, as_sink
from trace_core._sinks.compose import Pipeline, Processor, Tee, tee
from trace_core._sinks.privacy import content_processors, secret_processors
from trace_core._spool.spool import Spool


def durable(
    sink: SinkLike,
    *,
    processors: Iterable[Processor] = (),
    capture: Literal["full", "metadata"] | None = None,
    redacted: bool | None = None,
    sample_rate: float | None = None,
    spool: bool | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    handoff: Literal["thread", "caller"] = "thread",
    exit_timeout: float | None = None,
    environ: Mapping[str, str] | None = None,
    **spool_options: Any,
) -> SinkBase:
    """Put a sink behind everything that keeps spans from being lost and secrets from leaking.

    That is ``Background(pipeline(limit_payloads(), redact(), ..., sink=Spool(dir, sink)))``: one
    queue operation on the caller's thread, then redaction, then a file, then delivery. Each of
    several sinks under a `tee` gets a spool of its own, so that one that is away delays no other.

    Args:
        sink: Where spans go in the end.
        processors: More processors, after redaction.
        capture: ``metadata`` leaves out what was said; ``TRACE_CAPTURE`` by default.
        redacted: Whether to remove secrets; ``TRACE_REDACT`` by default, else yes. By default
            not once more where ``sink`` does so itself, as ``pipeline(redact(), sink=...)`` does.
        sample_rate: Share of traces to keep; ``TRACE_SAMPLE_RATE`` by default, else all.
        spool: Whether to keep spans on disk; ``TRACE_SPOOL`` by default, else yes. A sink to
            which spans are of use now or never, in memory or on a terminal, gets none.
        spool_dir: Where; ``TRACE_SPOOL_DIR`` by default, else the user's state folder.
        handoff: ``thread`` for the least cost to the caller; ``caller`` to do everything up to
            the file on the caller's thread, so that a span is on disk when its call returns.
        exit_timeout: Seconds delivery at exit may take; ``TRACE_EXIT_TIMEOUT`` by default.
        environ: Where to look for variables; the process's environment by default.
        **spool_options: More arguments of `Spool`.

    Returns:
        A sink, for a `Tracer`.

    Raises:
        ConfigurationError: ``sink`` is not a sink, or an argument or variable makes no sense.
    """
    if handoff not in ("thread", "caller"):
        raise ConfigurationError(f"handoff={handoff!r}; choose thread or caller")
    if redacted is not None:
        arguments.instance(redacted, bool, "redacted")
    if callable(processors):
        raise ConfigurationError("processors is a list, got a single function: processors=[...]")
    wait = setting("TRACE_EXIT_TIMEOUT", exit_timeout, environ)
    target = as_sink(sink)
    if setting("TRACE_SPOOL", spool, environ):
        options = _spool_options(environ, spool_options)
        target = _spooled(target, setting("TRACE_SPOOL_DIR", spool_dir, environ), wait, options)
    if redacted is None and target.redacts:
        redacted = False
    chain = _processors(processors, capture, redacted, sample_rate, environ)
    whole = Pipeline(tuple(chain), target, redacts=bool(target.redacts))
    if setting("TRACE_EXIT_AT_SIGTERM", None, environ):
        exit_at_sigterm(whole.exit_timeout if wait is None else wait)
    if handoff == "caller":
        return whole
    limit = setting("TRACE_QUEUE_MAX_BYTES", None, environ)
    return Background(whole, max_bytes=limit, exit_timeout=wait)


def _spool_options(environ: Mapping[str, str] | None, given: dict[str, Any]) -> dict[str, Any]:
    found = {
        "max_bytes": setting("TRACE_SPOOL_MAX_BYTES", None, environ),
        "sync": setting("TRACE_SPOOL_SYNC", None, environ),
    }
    return {**found, **given}


def _spooled(sink: SinkBase, path: Any, wait: float | None, options: dict[str, Any]) -> SinkBase:
    """Put a spool in front of each sink that wants one."""
    if isinstance(sink, Tee):
        return tee(*(_spooled(one, path, wait, options) for one in sink.sinks))
    if isinstance(sink, Pipeline):
        return sink.with_sink(_spooled(sink.sink, path, wait, options))
    if isinstance(sink, Spool) or not sink.wants_spool:
        return sink
    spool = Spool(path, sink, exit_timeout=wait, **options)
    if spool.folder_of_others_exists():
        spool.start()  # what an earlier run left behind is delivered before the first call
    return spool


def _processors(
    more: Iterable[Processor],
    capture: str | None,
    redacted: bool | None,
    sample_rate: float | None,
    environ: Mapping[str, str] | None,
) -> list[Processor]:
    rate = setting("TRACE_SAMPLE_RATE", sample_rate, environ)
    arguments.number(rate, "sample_rate", 0, 1)
    return [
        *([sample(rate)] if rate < 1 else ()),
        *content_processors(capture, environ),
        limit_payloads(),
        *secret_processors(redacted, environ),
        *more,
    ]
