"""Keeps OpenTelemetry's instrumentations from recording how spans are delivered."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Final

_INSTRUMENTATIONS: Final = "opentelemetry.instrumentation.utils"
"""The module that every instrumentation of OpenTelemetry imports."""


def uninstrumented() -> AbstractContextManager[object]:
    """Return a context in which instrumented libraries record nothing, where there are any.

    A program whose httpx or SQLAlchemy is instrumented would get a trace of its own for each batch
    that a sink sends. OpenTelemetry's own exporters are kept out in the same way.
    """
    found = getattr(sys.modules.get(_INSTRUMENTATIONS), "suppress_instrumentation", None)
    context: AbstractContextManager[object] = nullcontext() if found is None else found()
    return context
