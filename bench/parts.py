"""Which part of tracing takes how many instructions, of one ``completion`` of 2 KB.

    python bench/instructions.py --parts      # a table, in two minutes

LiteLLM's own part is left out: its functions answer at once, so that the counts are exact. On the
caller's thread each part is counted alone. What follows is counted as a chain: spans that have
ended are taken one step further each time, and a part is what its step adds. Each span is used
once, so that ids are new with each call and the rest is not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, pairwise
from types import SimpleNamespace
from typing import Any, TypeAlias

from cases import ANSWER, MODEL, litellm, text
from tracers import Discard

import trace_litellm
from trace_core import (
    OpenSpan,
    Span,
    SpanKind,
    Tracer,
    durable,
    limit_payloads,
    redact,
)
from trace_core._sinks.base import SinkBase
from trace_core._spool.frames import pack
from trace_core._spool.records import to_record
from trace_core._tracing.freeze import completed
from trace_core.patching import swap_all
from trace_litellm._patching.preflight import find_plain
from trace_litellm._patching.targets import PRE_CALL
from trace_litellm._reading.endpoints import FAMILIES
from trace_litellm._reading.hidden_params import hidden_params
from trace_litellm._reading.requests import inputs

Part: TypeAlias = "tuple[Callable[[], Any], Callable[[], Any]]"
"""What is done once, and what comes to rest after it was done often."""
ALONE = ("the request copied", "the answer copied", "a span opened, made current and ended")
REST_OF_CALLER = "hooks, ids, nesting, privacy, the record of the call, its hand-over"
CHAIN = (
    "usage, cost, provider and endpoint from the copies",
    "the frozen span, with its checks",
    "`limit_payloads`",
    "`redact`",
    "the span as JSON",
    "its frame with a CRC-32",
)
"""Each with all before it, on one thread."""
REST_OF_OTHERS = "threads, queue, append, delivery and acknowledgement"
_TURN_SECONDS = 0.005


class Ended(SinkBase):
    """A sink that keeps spans as their callers leave them."""

    def __init__(self) -> None:
        self.spans: list[OpenSpan] = []

    def write(self, spans: Sequence[Span], /) -> None:
        """Take nothing: `write_later` has it already."""

    def write_later(self, ended: OpenSpan, /) -> None:
        """Keep the span."""
        self.spans.append(ended)


class Calls:
    """Calls of ``litellm.completion`` in which LiteLLM does nothing but what hooks see."""

    def __init__(self) -> None:
        asked = {"model": MODEL, "messages": text(2_000, 2)}
        self.answer = answer = litellm.completion(**asked, mock_response=ANSWER)
        self.ask = partial(litellm.completion, **asked)
        number = count()
        log = SimpleNamespace(model_call_details={"custom_llm_provider": "openai"})
        pre_call = find_plain(PRE_CALL)
        assert pre_call is not None

        def answered(_original: Any, _args: Any, _kwargs: Any) -> Any:
            pre_call(log, additional_args={"api_base": "https://api.openai.com/v1/"})
            answer.id = f"chatcmpl-0f3c0b1a-5d0c-4e8e-9a53-{next(number):012}"
            return answer

        hooks = {litellm.completion: answered, pre_call: lambda _original, _args, _kwargs: None}
        self._swaps, failed = swap_all(hooks, inner=True)
        assert not failed

    def close(self) -> None:
        """Let LiteLLM answer itself again."""
        for one in self._swaps:
            one.remove()

    def ask_slowly(self) -> None:
        """Make a call, and let the other threads do what it gives them."""
        self.ask()
        time.sleep(_TURN_SECONDS)

    def traced(self, sink: SinkBase) -> Callable[[], Any]:
        """Trace calls from now on, and return what stops that."""
        return trace_litellm.instrument(Tracer(sink, redacted=True)).uninstrument

    def ended(self, number: int) -> Iterator[OpenSpan]:
        """Make so many calls, and return their spans, of which nothing is read yet."""
        sink = Ended()
        sink.redacts = True
        stop = self.traced(sink)
        for _ in range(number):
            self.ask()
        stop()
        return iter(sink.spans)


def parts(number: int) -> Iterator[Part]:
    """Yield all parts: two of whole calls, those of `ALONE`, those of `CHAIN`.

    Args:
        number: How often each is done at the most.
    """
    calls = Calls()
    try:
        yield from _parts(calls, number)
    finally:
        calls.close()


def _parts(calls: Calls, number: int) -> Iterator[Part]:
    yield calls.ask_slowly, _nothing
    sink = durable(Discard(), spool_dir=tempfile.mkdtemp(), environ={})
    stop = calls.traced(sink)
    yield calls.ask_slowly, lambda: sink.flush(60)
    stop()
    yield from ((act, _nothing) for act in _alone(calls))
    limit, clean = limit_payloads(), redact()
    steps: tuple[Callable[[OpenSpan], Any], ...] = (
        lambda span: span.complete(span),  # type: ignore[misc]
        _frozen,
        lambda span: limit(_frozen(span)),
        lambda span: clean(limit(_frozen(span))),
        lambda span: to_record(clean(limit(_frozen(span)))),
        lambda span: pack(clean(limit(_frozen(span)))),
    )
    for step in steps:
        yield partial(_do_next, step, calls.ended(number)), _nothing


def _nothing() -> None:
    """Nothing has to come to rest."""


def _do_next(step: Callable[[OpenSpan], Any], spans: Iterator[OpenSpan]) -> None:
    step(next(spans))


def _frozen(span: OpenSpan) -> Span:
    finished = completed(span)
    assert finished is not None
    return finished


def _alone(calls: Calls) -> tuple[Callable[[], Any], ...]:
    tracer, copy = Tracer(Ended(), redacted=False), FAMILIES["chat"].copy

    def open_and_end() -> None:
        span = tracer.open("chat", SpanKind.LLM, None, {})
        leave = tracer.activate(span)
        leave()
        span.end()

    return (
        lambda: inputs((), (), calls.ask.keywords),
        lambda: (hidden_params(calls.answer), copy(calls.answer)),
        open_and_end,
    )


def table(counted: Sequence[tuple[int, int]]) -> str:
    """Draw up all parts.

    Args:
        counted: Instructions of each part of `parts`, on its thread and on all others.
    """
    untraced, traced, *more = counted
    alone, chain = [one for one, _ in more[: len(ALONE)]], [one for one, _ in more[len(ALONE) :]]
    caller, others = traced[0] - untraced[0], traced[1] - untraced[1]
    steps = [after - before for before, after in pairwise((0, *chain))]
    rows = (
        *zip(ALONE, alone, strict=True),
        (REST_OF_CALLER, caller - sum(alone)),
        ("**the caller's thread**", caller),
        *zip(CHAIN, steps, strict=True),
        (REST_OF_OTHERS, others - sum(steps)),
        ("**all other threads**", others),
    )
    lines = [f"| {name} | {number:,} |" for name, number in rows]
    return "\n".join(("| | instructions |", "| --- | ---: |", *lines))
