"""Every scenario gives exactly the spans it must, and leaves the caller's world as it was."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import trace_litellm
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


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.name)
def test_scenario(case: Case, litellm: Any, provider: Provider) -> None:
    """The spans are the expected ones; without tracing the caller sees and sends the same."""
    plain = world(litellm, provider, case, Tracer(MemorySink()), "plain")
    expected = comparable(case.run(plain), plain)
    globals_before = own_globals(litellm)

    troubles: list[tuple[str, BaseException]] = []
    sink = MemorySink()
    tracer = Tracer(sink, on_error=lambda where, error: troubles.append((where, error)))
    traced = world(litellm, provider, case, tracer, "trace")
    with trace_litellm.instrument(tracer) as instrumentation:
        assert instrumentation.active
        seen = comparable(case.run(traced), traced)
        gc.collect()

    assert not troubles, troubles
    assert not tracer.open_spans, [span.name for span in tracer.open_spans]
    assert seen == expected
    assert wire(traced) == wire(plain)
    assert own_globals(litellm, globals_before) == globals_before
    assert not [owner for owner in callback_owners(litellm) if owner.startswith("trace_")]
    check(sink.spans, case.spans)
    for span in sink.spans:
        assert KEY not in encode(span).decode(), "a key was recorded"


def own_globals(litellm: Any, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """Identity of everything in ``vars(litellm)``, but what it itself has added since: it is lazy."""
    return {
        name: id(value)
        for name, value in vars(litellm).items()
        if callable(value)
        and (before is None or name in before or not str(value.__module__).startswith("litellm"))
    }


def callback_owners(litellm: Any) -> list[str]:
    """Where the callbacks come from; LiteLLM's Routers and proxy add some of their own."""
    lists = [value for name, value in vars(litellm).items() if "callback" in name]
    found = [one for value in lists if isinstance(value, list) for one in value]
    return [getattr(one, "__module__", None) or type(one).__module__ for one in found]


def comparable(seen: Any, w: World) -> Any:
    """Make what a caller saw comparable: without ids, times and what counts requests."""
    if isinstance(seen, BaseException):
        return type(seen), scrub(str(seen))
    if isinstance(seen, (list, tuple)):
        return [comparable(one, w) for one in seen]
    if hasattr(seen, "model_dump"):
        return type(seen), scrub(json.dumps(seen.model_dump(), default=str, sort_keys=True))
    if isinstance(seen, dict):
        return scrub(json.dumps(seen, default=str, sort_keys=True))
    return seen


def scrub(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID", text)
    text = re.sub(
        r"((?:cmpl|chatcmpl|modr|resp|msg|req|run|rerank|gemini)[-_])[A-Za-z0-9_=-]+", r"\1ID", text
    )
    text = re.sub(r"[0-9a-f]{32}", "BOUNDARY", text)
    text = re.sub(r"-(plain|trace)", "-LANE", text)
    text = re.sub(r"\d+\.\d+(e-?\d+)?", "F", text)
    return re.sub(r"\d{3,}", "N", text)


def wire(w: World) -> list[tuple[str, str]]:
    """What went over the wire, in any order: concurrent calls arrive as they like."""
    requests = [*w.lane.requests, *w.fallback.requests]
    return sorted((scrub(r.path), scrub(r.body.decode("utf-8", "replace"))) for r in requests)


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
