"""Every scenario gives exactly the spans it must, and leaves the caller's world as it was."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import trace_litellm
from support.comparable import comparable
from support.provider import Provider
from support.scenarios import ANY, CASES, GPT, KEY, MESSAGES, Case, Expect, World
from trace_core import MemorySink, Span, StatusCode, Tracer, encode

RUNNABLE = [case for case in CASES if case.runnable]


def world(litellm: Any, provider: Provider, case: Case, tracer: Tracer, run: str) -> World:
    lane, fallback = provider.lane(f"{case.name}-{run}"), provider.lane(f"{case.name}-{run}-2")
    lane.script(case.script)
    made = World(litellm, lane, fallback, tracer)
    made.early_completion = EARLY["completion"]  # type: ignore[attr-defined]
    if case.name == "router_built_before":
        made.early_router = made.router()  # type: ignore[attr-defined]
    return made


EARLY: dict[str, Any] = {}


@pytest.fixture(scope="session", autouse=True)
def early_reference(litellm: Any) -> None:
    """Take a reference before anything is instrumented, as ``from litellm import completion``."""
    EARLY["completion"] = litellm.completion
    # The first call of a process sets up callbacks of LiteLLM's own; not in a comparison, please.
    litellm.completion(GPT, MESSAGES, mock_response="warm")


RAN: list[tuple[str, Tracer, MemorySink]] = []
"""Every scenario's tracer and spans, for the look at all of them at the end."""


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.name)
def test_scenario(case: Case, litellm: Any, provider: Provider) -> None:
    """The spans are the expected ones; without tracing the caller sees and sends the same."""
    first = state(litellm)
    plain = world(litellm, provider, case, Tracer(MemorySink()), "plain")
    expected = comparable(case.run(plain))
    second = state(litellm)
    own = changes(first, second)
    if own:  # what LiteLLM sets up in one call may go on in the next: once more without tracing
        case.run(world(litellm, provider, case, Tracer(MemorySink()), "again"))
        first, second = second, state(litellm)
        own |= changes(first, second)

    troubles: list[tuple[str, BaseException]] = []
    sink = MemorySink()
    tracer = Tracer(sink, on_error=lambda where, error: troubles.append((where, error)))
    traced = world(litellm, provider, case, tracer, "trace")
    with trace_litellm.instrument(tracer) as instrumentation:
        assert instrumentation.active
        seen = comparable(case.run(traced))
        gc.collect()
        third = state(litellm)

    RAN.append((case.name, tracer, sink))
    assert not troubles, troubles
    assert not tracer.open_spans, [span.name for span in tracer.open_spans]
    assert not instrumentation._hooks.calls.by_id
    assert not instrumentation._hooks.calls.batches
    assert seen == expected
    assert wire(traced) == wire(plain)
    assert changes(second, third) <= own
    assert not [owner for owner in callback_owners(litellm) if owner.startswith("trace_")]
    check(sink.spans, case.spans)
    for span in sink.spans:
        assert KEY not in encode(span).decode(), "a key was recorded"


def test_nothing_is_open_after_all_of_them() -> None:
    """No scenario's span came to be open, or came late, while others ran; no span came twice."""
    if len(RAN) < len(RUNNABLE):
        pytest.skip("not all scenarios ran before this")
    gc.unfreeze()  # what was alive when its test ended
    gc.collect()
    late = [name for name, tracer, _ in RAN if tracer.open_spans]
    assert late == []
    wanted = {case.name: sum(map(count, case.spans)) for case in RUNNABLE}
    assert {name: len(sink.spans) for name, _, sink in RAN} == wanted
    ids = [span.span_id for _, _, sink in RAN for span in sink.spans]
    assert len(ids) == len(set(ids))


def state(litellm: Any) -> dict[str, Any]:
    """Everything in ``vars(litellm)``: which objects, and what is in its containers."""
    return {name: (id(value), inside(value)) for name, value in list(vars(litellm).items())}


def inside(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: id(item) for key, item in value.items()}
    if isinstance(value, (list, set, tuple)):
        return sorted(map(id, value))
    return value if isinstance(value, (bool, int, float, str)) else None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Name what has changed, but what LiteLLM has loaded since: it is lazy."""
    return {
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or before[name] != after[name]
    } - {name for name in after if name not in before}


def callback_owners(litellm: Any) -> list[str]:
    """Where the callbacks come from; LiteLLM's Routers and proxy add some of their own."""
    lists = [value for name, value in vars(litellm).items() if "callback" in name]
    found = [one for value in lists if isinstance(value, list) for one in value]
    return [getattr(one, "__module__", None) or type(one).__module__ for one in found]


def wire(w: World) -> list[Any]:
    """What went over the wire, in any order: concurrent calls arrive as they like."""
    requests = [*w.lane.requests, *w.fallback.requests]
    return sorted(
        (r.path, sorted(r.query.items()), sent_headers(r), sent_body(r)) for r in requests
    )


def sent_headers(request: Any) -> list[tuple[str, str]]:
    """Every header, byte for byte, but the boundary of a form."""
    return sorted((k, re.sub(r"boundary=.*", "", v)) for k, v in request.headers.items())


def sent_body(request: Any) -> bytes:
    """The body, byte for byte, but for the boundary of a form."""
    boundary = re.search(r"boundary=(\S+)", request.headers.get("content-type", ""))
    return request.body.replace(boundary[1].encode(), b"") if boundary else request.body


def check(spans: Sequence[Span], expected: Sequence[Expect]) -> None:
    ids = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_id not in ids]
    check_level(roots, expected, spans)
    assert len(spans) == sum(map(count, expected))


def count(expect: Expect) -> int:
    return 1 + sum(map(count, expect.below))


def check_level(found: Sequence[Span], expected: Sequence[Expect], every: Sequence[Span]) -> None:
    found = sorted(found, key=lambda span: span.start_ns)
    if len(found) > 1 and len({e.name for e in expected}) > 1:
        found = sorted(found, key=lambda s: (s.attributes.get("trace.attempt", 0), s.start_ns))
    assert [span.name for span in found] == [expect.name for expect in expected]
    for span, expect in zip(found, expected, strict=True):
        check_span(span, expect)
        below = [s for s in every if s.parent_id == span.span_id]
        assert all(s.trace_id == span.trace_id for s in below)
        check_level(below, expect.below, every)


def check_span(span: Span, expect: Expect) -> None:
    assert span.kind.value == expect.kind
    assert span.duration_ns > 0
    assert (span.status.code is StatusCode.ERROR) == (expect.error is not None), span.status
    if expect.error is not ANY:
        assert span.attributes.get("trace.error.category") == expect.error
    usage = span.usage and (span.usage.input, span.usage.output, span.usage.source.value)
    if expect.usage is not ANY:
        assert usage == expect.usage
    check_cost(span, expect.cost)
    for name, value in expect.attributes.items():
        assert span.attributes.get(name) == value, name
    assert tuple(e.name for e in span.events if e.name != "exception") == expect.events
    if expect.text is not None:
        assert expect.text in json.dumps(span.outputs, ensure_ascii=False).replace('\\"', '"')
    if expect.error is not None:
        check_error(span)
    elif span.kind.value == "LLM" and not expect.name.startswith("chat mine"):
        check_where(span)
    if span.attributes.get("trace.stream.ending") is not None:
        check_stream(span)


def check_cost(span: Span, cost: Any) -> None:
    known = span.cost.total if span.cost is not None else None
    if cost is ANY:
        return
    if cost is ...:
        assert known is not None
        assert known > 0
    elif cost is None:
        assert known is None
    else:
        assert known == pytest.approx(cost)


def check_error(span: Span) -> None:
    assert span.status.description
    if span.attributes.get("trace.stream.ending") == "completed":
        return  # told by the stream's last event: nothing was raised
    [event] = [e for e in span.events if e.name == "exception"]
    stack = event.attributes["exception.stacktrace"]
    assert isinstance(stack, str)
    assert "litellm" in stack


def check_where(span: Span) -> None:
    assert span.attributes["gen_ai.provider.name"]
    assert span.attributes["gen_ai.request.model"]
    if "mock_response" not in span.inputs:  # type: ignore[operator]
        assert str(span.attributes["url.full"]).startswith("http://127.0.0.1:")
        assert "?" not in str(span.attributes["url.full"])
    assert span.inputs


def check_stream(span: Span) -> None:
    """Every stream says how it came: chunks, the first one, the gaps, and how fast."""
    told = span.attributes
    chunks = told["trace.stream.chunks"]
    assert isinstance(chunks, int)
    assert ("gen_ai.response.time_to_first_chunk" in told) == (chunks > 0)
    assert ("trace.stream.gap.max" in told) == (chunks > 1)
    if chunks > 1:
        assert 0 < told["trace.stream.gap.p95"] <= told["trace.stream.gap.max"]  # type: ignore[operator]
        assert told["trace.stream.gap.max"] < span.duration_ns / 1e9  # type: ignore[operator]
    counted = span.usage is not None and bool(span.usage.output) and span.kind.value == "LLM"
    assert ("trace.stream.tokens_per_second" in told) == (counted and chunks > 1)
