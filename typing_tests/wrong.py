"""Each marked line must fail to check: an ignored error that is not there is an error itself."""

from __future__ import annotations

from collections.abc import Sequence

from trace_core import (
    Background,
    MemorySink,
    SinkBase,
    Span,
    SpanKind,
    Tracer,
    as_sink,
    pipeline,
    sample,
    tee,
)
from trace_litellm import autolog, instrument


class NoWrite(SinkBase):
    """A sink that cannot write."""


class OneSpan(SinkBase):
    """A sink that takes a span where a batch comes."""

    def write(self, span: Span, /) -> None:  # type: ignore[override]
        """Write a span."""


class WrongFlush(SinkBase):
    """A sink whose flush returns nothing."""

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch."""

    def flush(self, timeout: float = 5.0, /) -> None:  # type: ignore[override]
        """Forget to say whether it worked."""


def rename(span: Span) -> str:
    """Return something else than a span."""
    return span.name


NoWrite()  # type: ignore[abstract]
as_sink(42)  # type: ignore[arg-type]
Background("mlflow")  # type: ignore[arg-type]
pipeline(rename, sink=MemorySink())  # type: ignore[arg-type]
pipeline(sample(0.5))  # type: ignore[call-arg]
tee(MemorySink(), None)  # type: ignore[arg-type]
Tracer()  # type: ignore[call-arg]
Tracer(MemorySink(), clock="now")  # type: ignore[arg-type]
Tracer(MemorySink()).span("name", kind=SpanKind.LLM, colour="red")  # type: ignore[call-arg]
autolog(sinks="mlflow")  # type: ignore[call-overload]
autolog(3.14)  # type: ignore[call-overload]
instrument(MemorySink())  # type: ignore[arg-type]
