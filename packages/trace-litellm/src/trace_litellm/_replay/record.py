"""`record`: the block whose calls are recorded, to be replayed."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from trace_core import ConfigurationError, JsonLinesSink
from trace_litellm._instrument import traced_by
from trace_litellm._replay import players


@contextmanager
def record(path: str | os.PathLike[str]) -> Generator[None]:
    """Record LiteLLM's calls into a file, for `replay`.

    The file is made anew. It holds spans as `autolog` makes them, and the same is kept out of it:
    secrets are removed, and the environment's ``TRACE_REDACT``, ``TRACE_REDACT_PII`` and
    ``TRACE_CAPTURE`` hold. Long vectors and images in base64 are kept. Tracing that is on goes on.

    Args:
        path: The file.

    Yields:
        Nothing.

    Raises:
        ConfigurationError: LiteLLM cannot be traced, another tracer was turned on in the block,
            calls are being replayed, or the file is a folder.
        OSError: The file cannot be written.
    """
    if players.in_force():
        raise ConfigurationError("calls are being replayed here, so there is nothing to record")
    file = Path(path)
    sink = JsonLinesSink(file)
    file.unlink(missing_ok=True)
    sink.write(())
    try:
        with traced_by(sink) as tracing:
            yield
            if not tracing.active:
                raise ConfigurationError(
                    "another tracer was turned on inside record(), which ended the recording; "
                    "call autolog() or instrument() before it"
                )
    finally:
        sink.close()
