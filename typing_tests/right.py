"""How the packages are used, which must check: nothing here is ever run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from trace_core import (
    Background,
    MemorySink,
    OpenSpan,
    SinkBase,
    Span,
    SpanKind,
    Tracer,
    Value,
    as_sink,
    attributes,
    durable,
    load_sink,
    pipeline,
    redact,
    sample,
    tee,
)
from trace_litellm import Instrumentation, autolog, instrument


class Mine(SinkBase):
    """A sink with nothing but what is required."""

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch."""


class Bare:
    """An object with the three methods, and no base class."""

    def write(self, spans: Sequence[Span], /) -> None:
        """Write a batch."""

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Flush."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Close."""


def count(spans: Sequence[Span]) -> None:
    """Be a sink that is a function."""


def drop_tools(span: Span) -> Span | None:
    """Be a processor."""
    return None if span.kind is SpanKind.TOOL else span


sinks: list[SinkBase] = [
    Mine(),
    as_sink(Bare()),
    as_sink(count),
    durable(Mine()),
    load_sink("memory"),
]
everything = Background(
    tee(pipeline(redact(), sample(0.5), drop_tools, sink=Mine()), Bare(), count)
)
tracer = Tracer(everything)
tracing: Instrumentation = autolog("mlflow,console")
autolog(disable=True)
with instrument(tracer) as again, attributes(session_id="s", tags={"team": "search"}):
    again.flush(5.0)


@tracer.trace
def add(one: int, two: int) -> int:
    """Be a function that keeps its type."""
    return one + two


@tracer.trace(kind=SpanKind.AGENT)
async def answer(question: str) -> str:
    """Be a coroutine function that keeps its type."""
    return question


@tracer.trace
def items() -> Iterator[str]:
    """Be a generator that keeps its type."""
    yield "one"


@tracer.trace
async def later() -> AsyncIterator[int]:
    """Be an async generator that keeps its type."""
    yield 1


total: int = add(1, 2)
first: str = next(items())


async def main() -> None:
    """Use what is async."""
    text: str = await answer("why")
    async with tracer.span("block", inputs=text) as span:
        opened: OpenSpan = span
        opened.set(outputs={"a": (1, 2.0, None)})
    async for number in later():
        opened.event("number", {"next": number + 1})


spans: Sequence[Span] = MemorySink().spans
value: Value = spans[0].outputs
tokens: int | None = spans[0].usage.input if spans[0].usage else None
