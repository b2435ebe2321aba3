"""What the report counts: the calls of models among spans, and sums of which parts are unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from trace_core import semconv
from trace_core._model.parts import StatusCode, UsageSource
from trace_core._model.span import Span
from trace_core._model.values import Value

UNKNOWN_MODEL: Final = "unknown model"
_MESSAGE_CHARACTERS: Final = 300
_LARGEST: Final = 1e9
"""What is larger is no number of seconds and no status code."""


@attrs.frozen
class Call:
    """A call of a model; what is not known is ``None``.

    Args:
        trace_id: Its trace.
        span_id: Its span.
        name: The span's name.
        start_ms: Milliseconds since the epoch.
        seconds: How long it took; ``None`` if it never ended.
        first_chunk: Seconds until a stream's first chunk.
        model: The model that was asked for.
        error: The kind of error it failed with, such as ``RateLimitError``.
        http_status: The status code of that error.
        message: The first line of that error.
        input: Tokens of the prompt.
        output: Tokens of the answer.
        input_estimated: Whether ``input`` is an estimate.
        output_estimated: Whether ``output`` is an estimate.
        cost: In USD.
        saved: What a cache hit would have cost, in USD.
        cache_hit: Whether LiteLLM's cache answered.
    """

    trace_id: str
    span_id: str
    name: str
    start_ms: int
    seconds: float | None
    first_chunk: float | None
    model: str
    error: str | None
    http_status: int | None
    message: str | None
    input: int | None
    output: int | None
    input_estimated: bool
    output_estimated: bool
    cost: float | None
    saved: float | None
    cache_hit: bool

    @property
    def estimated(self) -> bool:
        """Whether any of its tokens, and so its cost, are estimates."""
        return self.input_estimated or self.output_estimated


def call_of(span: Span) -> Call:
    """Read the figures of a call off its span."""
    usage, cost, attributes = span.usage, span.cost, span.attributes
    failed = span.status.code is StatusCode.ERROR
    return Call(
        trace_id=span.trace_id,
        span_id=span.span_id,
        name=span.name,
        start_ms=span.start_ns // 1_000_000,
        seconds=seconds_of(span),
        first_chunk=_number(attributes.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)),
        model=_model_of(span),
        error=error_kind(span) if failed else None,
        http_status=_whole(attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)) if failed else None,
        message=_first_line(span.status.description) if failed else None,
        input=usage.input if usage else None,
        output=usage.output if usage else None,
        input_estimated=_is_estimated(span, semconv.USAGE_INPUT_SOURCE),
        output_estimated=_is_estimated(span, semconv.USAGE_OUTPUT_SOURCE),
        cost=cost.total if cost else None,
        saved=cost.saved if cost else None,
        cache_hit=bool(attributes.get(semconv.CACHE_HIT)),
    )


def seconds_of(span: Span) -> float | None:
    """Return how long a span took; ``None`` if it never ended."""
    return span.duration_ns / 1e9 if span.end_ns >= span.start_ns else None


def error_kind(span: Span) -> str:
    """Return the name of the error that a span failed with, without the module it is from."""
    kind = span.attributes.get(semconv.ERROR_TYPE) or span.attributes.get(semconv.ERROR_CATEGORY)
    return str(kind).rpartition(".")[2] if kind else "error of unknown kind"


def _model_of(span: Span) -> str:
    names = (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)
    found = (span.attributes.get(name) for name in names)
    return next((str(name) for name in found if name), UNKNOWN_MODEL)


def _is_estimated(span: Span, source: str) -> bool:
    """Tell whether one side's tokens are an estimate: it may have a source of its own."""
    if span.usage is None:
        return False
    return span.attributes.get(source, span.usage.source.value) == UsageSource.ESTIMATED.value


def _first_line(text: str | None) -> str | None:
    return text.strip().partition("\n")[0][:_MESSAGE_CHARACTERS] if text else None


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < _LARGEST else None


def _whole(value: Value) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


@attrs.frozen
class Sum:
    """A sum, and how much of it is unknown.

    Args:
        value: The sum of what is known; ``None`` if nothing is.
        missing: How many calls were answered of which it is not known.
        estimated: Of how many it is an estimate.
        known: Of how many it is known, estimates included.
    """

    value: float | None
    missing: int
    estimated: int
    known: int


def cost_of(calls: Iterable[Call]) -> Sum:
    """Add up what calls cost."""
    return _sum([(call.cost, call.estimated, call) for call in calls])


def saved_by(calls: Iterable[Call]) -> float | None:
    """Add up what cache hits have saved; ``None`` if that is not known of any."""
    known = [call.saved for call in calls if call.saved is not None]
    return sum(known) if known else None


def input_of(calls: Iterable[Call]) -> Sum:
    """Add up the tokens of prompts."""
    return _sum([(call.input, call.input_estimated, call) for call in calls])


def output_of(calls: Iterable[Call]) -> Sum:
    """Add up the tokens of answers."""
    return _sum([(call.output, call.output_estimated, call) for call in calls])


def _sum(parts: Iterable[tuple[float | None, bool, Call]]) -> Sum:
    """Add up what is known. A call that failed is not missing anything: it is rarely billed."""
    found = list(parts)
    known = [(value, guessed) for value, guessed, _ in found if value is not None]
    missing = sum(value is None and call.error is None for value, _, call in found)
    total = sum(value for value, _ in known) if known else None
    return Sum(total, missing, sum(guessed for _, guessed in known), len(known))
