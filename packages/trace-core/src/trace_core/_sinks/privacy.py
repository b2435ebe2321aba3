"""What is kept out of spans by default, also of those that go to a sink without `durable`."""

from __future__ import annotations

from collections.abc import Mapping

from trace_core._delivery.queue import Background
from trace_core._errors import ConfigurationError
from trace_core._processors.limits import drop_content
from trace_core._processors.pii import redact_pii
from trace_core._processors.redact import redact
from trace_core._settings import CAPTURES, setting
from trace_core._sinks.base import SinkBase
from trace_core._sinks.compose import Pipeline, Processor


def content_processors(
    capture: str | None, environ: Mapping[str, str] | None = None
) -> tuple[Processor, ...]:
    """Return what leaves out what was said, if ``capture`` or ``TRACE_CAPTURE`` wants that.

    Args:
        capture: ``full``, ``metadata``, or ``None`` for the variable.
        environ: Where to look for variables; the process's environment by default.

    Raises:
        ConfigurationError: It is neither.
    """
    found = str(setting("TRACE_CAPTURE", capture, environ))
    if found not in CAPTURES:
        raise ConfigurationError(f"capture={found!r}; choose {' or '.join(CAPTURES)}")
    return (drop_content(),) if found == "metadata" else ()


def secret_processors(
    redacted: bool | None, environ: Mapping[str, str] | None = None
) -> tuple[Processor, ...]:
    """Return what removes secrets and, if ``TRACE_REDACT_PII`` wants that, personal data.

    Args:
        redacted: Whether to remove secrets, or ``None`` for ``TRACE_REDACT``.
        environ: Where to look for variables; the process's environment by default.
    """
    secrets = setting("TRACE_REDACT", redacted, environ)
    personal = setting("TRACE_REDACT_PII", None, environ)
    return (*((redact(),) if secrets else ()), *((redact_pii(),) if personal else ()))


def private(sink: SinkBase, redacted: bool | None) -> SinkBase:
    """Return a sink to which secrets, and what else the environment names, do not get.

    Args:
        sink: The sink. Left alone if it redacts already, or somebody has chosen that it does not.
            Behind a `Background` secrets are removed on its thread.
        redacted: Whether to remove secrets, or ``None`` for ``TRACE_REDACT``, else yes.

    Raises:
        ConfigurationError: A variable makes no sense.
    """
    if sink.redacts or (sink.redacts is False and not redacted):
        return sink
    chain = (*content_processors(None), *secret_processors(redacted))
    if not chain or (isinstance(sink, Background) and sink.wrap_sink(lambda s: Pipeline(chain, s))):
        return sink
    return Pipeline(chain, sink)
