"""What replaying raises of its own."""

from __future__ import annotations

from typing import Final

from trace_core import TraceError


class NotRecorded(TraceError):
    """A call has no recorded answer. The message says what comes nearest, and what to do."""

    status_code: Final = 400
    """LiteLLM's Router neither repeats a call for this status nor takes its deployment out."""
