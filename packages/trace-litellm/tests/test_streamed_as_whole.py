"""The tokens and the cost of an answer are the same streamed and whole, however it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.provider import Lane, Provider, Scenario, Usage
from support.scenarios import INCLUDE, KEY, MESSAGES, NEWEST
from trace_core import MemorySink, Span, TokenUsage, Tracer, UsageSource
from trace_litellm import instrument

pytestmark = pytest.mark.skipif(not NEWEST, reason="older releases count and price differently")

FORMATS: dict[str, tuple[str, Callable[[Lane], str]]] = {
    "OpenAI": ("openai/gpt-5-mini", lambda lane: lane.openai_base),
    "OpenAI with audio": ("openai/gpt-audio-mini", lambda lane: lane.openai_base),
    "Anthropic": ("anthropic/claude-sonnet-4-5", lambda lane: lane.url),
    "Google": ("gemini/gemini-2.5-flash", lambda lane: lane.gemini_base("gemini-2.5-flash")),
}
"""A model of each format, priced for all that its usage has, and where its provider is."""
SERIAL = itertools.count()


@st.composite
def usages(draw: st.DrawFn, name: str) -> Usage:
    """Draw what an answer in a format can tell of its tokens, and how a stream tells it."""
    prompt, completion = draw(st.integers(1, 300_000)), draw(st.integers(1, 50_000))
    left = prompt
    parts = []
    for _ in range(4):
        parts.append(draw(st.just(0) | st.integers(0, left)))
        left -= parts[-1]
    cached, heard, created, created_hour = parts
    reasoning = draw(st.just(0) | st.integers(0, completion))
    said = draw(st.just(0) | st.integers(0, completion - reasoning))
    return Usage(
        prompt,
        completion,
        cached=cached,
        reasoning=reasoning if name != "Anthropic" else 0,
        audio=_audio(name, heard, said),
        created=created if name == "Anthropic" else 0,
        created_hour=created_hour if name == "Anthropic" else 0,
        sparse=draw(st.booleans()),
        told=draw(st.sampled_from(["last", "every", "sides", "zeros"])),
    )


def _audio(name: str, heard: int, said: int) -> tuple[int, int] | None:
    return {"OpenAI with audio": (heard, said), "Google": (heard, 0)}.get(name)


def traced(call: Callable[[], Any]) -> tuple[Span, Any]:
    """Make a call, read its stream to the end; return its span and the answer."""
    sink = MemorySink()
    with instrument(Tracer(sink)):
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    [span] = sink.spans
    return span, result


def check(found: TokenUsage | None, told: Usage) -> None:
    """Hold what is on a span to what the provider told; what it did not tell may be missing."""
    assert found is not None
    assert (found.input, found.output, found.total) == (told.prompt, told.completion, told.total)
    heard, said = told.audio or (0, 0)
    parts = {
        "cache_read": told.cached,
        "cache_creation": told.created + told.created_hour,
        "reasoning": told.reasoning,
        "audio_input": heard,
        "audio_output": said,
    }
    assert {name: getattr(found, name) or 0 for name in parts} == parts


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25)
@given(drawn=st.data())
def test_whatever_is_told(
    litellm: Any, provider: Provider, name: str, drawn: st.DataObject
) -> None:
    """Usage with every detail, and the cost that LiteLLM computes of the whole answer."""
    told = drawn.draw(usages(name))
    model, base = FORMATS[name]
    lane = provider.lane(f"as whole {next(SERIAL)}")
    lane.script(Scenario(usage=told))
    unasked = not name.startswith("OpenAI") and drawn.draw(st.booleans())

    def ask(**more: Any) -> Any:
        return litellm.completion(model, MESSAGES, api_base=base(lane), api_key=KEY, **more)

    whole, answer = traced(ask)
    streamed, _ = traced(lambda: ask(**({"stream": True} if unasked else INCLUDE)))
    check(whole.usage, told)
    assert streamed.usage == whole.usage
    assert whole.cost is not None
    assert streamed.cost is not None
    assert whole.cost.total == pytest.approx(litellm.completion_cost(answer, model=model))
    assert attrs.astuple(streamed.cost) == pytest.approx(attrs.astuple(whole.cost))


@pytest.mark.parametrize("name", ["OpenAI", "Anthropic"])
def test_nothing_is_told(litellm: Any, provider: Provider, name: str) -> None:
    """Of a stream, whose usage few ask for, it is estimated; of a whole answer it is missing."""
    model, base = FORMATS[name]
    lane = provider.lane(f"as whole {next(SERIAL)}")
    lane.script(Scenario(usage=None))

    def ask(**more: Any) -> Any:
        return litellm.completion(model, MESSAGES, api_base=base(lane), api_key=KEY, **more)

    whole, _ = traced(ask)
    streamed, _ = traced(lambda: ask(**INCLUDE))
    assert whole.usage == TokenUsage(source=UsageSource.MISSING)
    assert whole.cost is None
    assert streamed.usage is not None
    assert streamed.usage.source is UsageSource.ESTIMATED
    assert streamed.cost is not None
