"""A trace in text: the waits between attempts, and what a span has beyond its one line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from trace_core import semconv
from trace_core._log import counted
from trace_core._model.parts import StatusCode
from trace_core._model.span import Span
from trace_core._printable import printable
from trace_core._view import messages, units

_SHORTEST_WAIT_NS: Final = 50_000_000
_FEW_LINES: Final = 12
_SHORT_PARAMETER: Final = 60
_NARROWEST: Final = 20


def waits(spans: Iterable[Span]) -> dict[str, int]:
    """Return how long was waited before each repeated attempt, in nanoseconds by span id.

    Args:
        spans: The spans of one trace.
    """
    ended: dict[str | None, int] = {}
    found: dict[str, int] = {}
    for span in sorted(spans, key=lambda span: span.start_ns):
        before = ended.get(span.parent_id)
        attempt = span.attributes.get(semconv.ATTEMPT)
        if before is not None and isinstance(attempt, int) and attempt > 1:
            pause = span.start_ns - before
            found |= {span.span_id: pause} if pause >= _SHORTEST_WAIT_NS else {}
        ended[span.parent_id] = max(span.end_ns, before or 0)
    return found


def totals(spans: Sequence[Span]) -> str:
    """Describe a whole trace in one line: when, how long, tokens, cost."""
    start = min(span.start_ns for span in spans)
    parts = [units.moment(start)]
    if len(spans) > 1:
        longest = max(span.end_ns for span in spans) - start
        parts += [counted(len(spans), "span"), units.seconds(longest / 1e9)]
        used = [s.usage.total for s in spans if s.usage and s.usage.total is not None]
        paid = [s.cost.total for s in spans if s.cost and s.cost.total is not None]
        parts += [f"{units.tokens(sum(used))} tokens"] if used else []
        parts += [units.money(sum(paid))] if paid else []
    return "  ".join(parts)


def details(span: Span, width: int | None, *, whole: bool = False) -> Iterator[str]:
    """Yield lines about a span, escaped: messages, parameters, times, session and user.

    Args:
        span: The span.
        width: Characters a line may have; ``None`` for any number.
        whole: Do not shorten long messages.
    """
    for message in [*messages.asked(span), *messages.answered(span)]:
        yield from _labelled(message.role, message.text, width, whole=whole)
    if span.status.code is StatusCode.ERROR and span.status.description:
        yield from _labelled("error", span.status.description, width, whole=whole)
    for label, told in (("with", _parameters(span)), ("stream", _stream(span)), ("of", _of(span))):
        if told:
            yield from _labelled(label, " · ".join(told), width, whole=True)


def _parameters(span: Span) -> list[str]:
    found = messages.parameters(span).items()
    return [f"{name} {textwrap.shorten(text, _SHORT_PARAMETER)}" for name, text in found]


def _stream(span: Span) -> list[str]:
    told = span.attributes
    first, chunks = told.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK), told.get(semconv.STREAM_CHUNKS)
    ending = told.get(semconv.STREAM_ENDING) or told.get(semconv.ENDING)
    parts = [f"first chunk after {units.seconds(first)}"] if isinstance(first, (int, float)) else []
    parts += [counted(chunks, "chunk")] if isinstance(chunks, int) else []
    return parts + ([str(ending)] if ending not in (None, "completed") else [])


def _of(span: Span) -> list[str]:
    named = {
        "session": semconv.SESSION_ID,
        "user": semconv.USER_ID,
        "provider": semconv.PROVIDER_NAME,
        "endpoint": semconv.URL_FULL,
    }
    told = span.attributes
    return [f"{label} {told[name]}" for label, name in named.items() if name in told]


def _labelled(label: str, text: str, width: int | None, *, whole: bool) -> Iterator[str]:
    """Yield a text with a label before its first line, wrapped and escaped."""
    lines = text.strip("\n").expandtabs(4).split("\n")
    left = len(lines) - _FEW_LINES
    if left > 0 and not whole:
        lines = [*lines[:_FEW_LINES], f"… {counted(left, 'more line')} (-vv shows them)"]
    shown = f"{printable(label)}:"
    room = None if width is None else max(_NARROWEST, width - len(shown) - 1)
    for line in lines:
        for piece in _wrapped(printable(line), room):
            yield f"{shown} {piece}".rstrip()
            shown = " " * len(shown)


def _wrapped(line: str, width: int | None) -> list[str]:
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, break_on_hyphens=False) or [""]
