"""Read traces back from MLflow and print them as trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import mlflow
from mlflow.entities import SpanStatusCode

from trace_core import semconv

Span: TypeAlias = Any
"""MLflow's span. Its attributes have no types worth checking."""
_USAGE = "mlflow.chat.tokenUsage"
_COST = "mlflow.llm.cost"
_WIDTH = 72


def print_report(experiment: str, session: str) -> str:
    """Print the traces of a session and what they add up to.

    Args:
        experiment: Name of the experiment.
        session: The session's id.

    Returns:
        The experiment's id.
    """
    found = mlflow.get_experiment_by_name(experiment)
    if found is None:
        raise SystemExit(f"MLflow has no experiment {experiment!r}: nothing was stored")
    traces = mlflow.search_traces(
        locations=[found.experiment_id],
        filter_string=f"metadata.`mlflow.trace.session` = '{session}'",
        order_by=["timestamp_ms ASC"],
        return_type="list",
    )
    for trace in traces:
        _print_trace(trace)
    _print_totals(traces)
    return str(found.experiment_id)


def _print_trace(trace: Any) -> None:
    children: dict[str | None, list[Span]] = {}
    for span in sorted(trace.data.spans, key=lambda span: span.start_time_ns):
        children.setdefault(span.parent_id, []).append(span)
    for line in _lines(children, None, ""):
        print(line)
    print()


def _lines(
    children: Mapping[str | None, list[Span]], parent: str | None, lead: str
) -> Iterator[str]:
    spans = children.get(parent, [])
    for span in spans:
        last = span is spans[-1]
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if parent is None:
            branch = below = ""
        yield from _span_lines(span, lead + branch, lead + below)
        yield from _lines(children, span.span_id, lead + below)


def _span_lines(span: Span, lead: str, below: str) -> Iterator[str]:
    mark = "✗" if _failed(span) else "✓"
    yield f"{lead}{mark} {span.name}  {'  '.join(_numbers(span))}"
    if (text := _answer(span)) is not None:
        yield f"{below}     {text}"


def _numbers(span: Span) -> list[str]:
    """Return what is known of a span, for people: kind, latency, tokens, cost, and how it went."""
    told = span.attributes
    parts = [f"[{span.span_type}]", _duration(span.end_time_ns - span.start_time_ns)]
    first = told.get(semconv.RESPONSE_TIME_TO_FIRST_CHUNK)
    if first is not None:
        parts.append(f"first chunk after {_duration(first * 1e9)}")
    if usage := told.get(_USAGE):
        about = "~" if told.get("trace.usage.source") == "estimated" else ""
        parts.append(f"{about}{usage.get('input_tokens')}→{usage.get('output_tokens')} tokens")
    if cost := told.get(_COST):
        parts.append(f"${cost['total_cost']:.8f}")
    if told.get(semconv.CACHE_HIT):
        parts.append(f"cache hit, saved ${told.get('trace.cost.saved') or 0:.8f}")
    ending = told.get(semconv.STREAM_ENDING)
    if ending not in {None, "completed"}:
        parts.append(f"stream {ending} after {told.get(semconv.STREAM_CHUNKS)} chunks")
    return parts


def _duration(nanoseconds: float) -> str:
    seconds = nanoseconds / 1e9
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _failed(span: Span) -> bool:
    return bool(span.status.status_code == SpanStatusCode.ERROR)


def _answer(span: Span) -> str | None:
    """Return the beginning of what was answered, or of the error."""
    text = span.status.description if _failed(span) else _content(span.outputs)
    if not text:
        return None
    line = " ".join(str(text).split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _content(outputs: Any) -> str | None:
    if isinstance(outputs, str):
        return outputs
    try:
        return f'"{outputs["choices"][0]["message"]["content"]}"'
    except (KeyError, IndexError, TypeError):
        return None


def _print_totals(traces: Sequence[Any]) -> None:
    spans = [span for trace in traces for span in trace.data.spans]
    tokens = sum((trace.info.token_usage or {}).get("total_tokens", 0) for trace in traces)
    cost = sum((trace.info.cost or {}).get("total_cost", 0.0) for trace in traces)
    saved = sum(span.attributes.get("trace.cost.saved") or 0.0 for span in spans)
    errors = sum(map(_failed, spans))
    calls = sum(_USAGE in span.attributes or span.span_type == "CHAT_MODEL" for span in spans)
    print("→ tokens in and out, as the provider counted them; ~ where it did not and we did\n")
    print(
        f"{len(traces)} traces with {len(spans)} spans, {calls} of them calls to a model; "
        f"{tokens} tokens, ${cost:.8f}, ${saved:.8f} saved by the cache; {errors} failed"
    )
