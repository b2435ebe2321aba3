"""Images, audio and rankings: their tokens, and what they cost at prices of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.provider import Lane, Provider, Scenario, Usage
from support.scenarios import KEY, LITELLM
from trace_core import MemorySink, Span, SpanKind, TokenUsage, Tracer, UsageSource, snapshot
from trace_litellm import instrument
from trace_litellm._reading.units import Units, cost_by_units
from trace_litellm._reading.usage import prompt_usage, usage_of

USAGE = Usage(prompt=100, completion=20)
TWO_IMAGES = {"data": [{"url": "a"}, {"url": "b"}]}
SEARCHED = {"meta": {"billed_units": {"search_units": 3}}}


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A lane of the test's own."""
    return provider.lane(request.node.name)


def span_of(call: Callable[[], Any]) -> Span:
    """Make a call, and return its span."""
    sink = MemorySink()
    with instrument(Tracer(sink)):
        call()
    return sink.spans[-1]


def call_of(litellm: Any, lane: Lane, api: str, **more: Any) -> Callable[[], Any]:
    """Return a call of an API whose model LiteLLM has no price of."""
    base = {"model": "openai/by-unit", "api_base": lane.openai_base, "api_key": KEY, **more}
    ranking = {**base, "model": "cohere/by-unit", "api_base": f"{lane.openai_base}/rerank"}
    audio = ("a.wav", b"RIFF")
    calls: dict[str, Callable[[], Any]] = {
        "image": lambda: litellm.image_generation(prompt="p", n=2, size="10x20", **base),
        "edit": lambda: litellm.image_edit(image=b"\x89PNG\r\n\x1a\n", prompt="p", **base),
        "transcription": lambda: litellm.transcription(file=audio, **base),
        "speech": lambda: litellm.speech(input="hello", voice="alloy", **base),
        "rerank": lambda: litellm.rerank(query="q", documents=["a", "b"], **ranking),
    }
    return calls[api]


@pytest.mark.skipif(LITELLM < (1, 80), reason="sends such prices to the provider")
@pytest.mark.parametrize(
    ("api", "prices", "expected"),
    [
        ("image", {"output_cost_per_image": 0.5}, 1.0),
        ("image", {"input_cost_per_image": 0.5}, 1.0),
        ("image", {"input_cost_per_pixel": 0.01}, 4.0),
        ("image", {"output_cost_per_image": 0.0}, 0.0),
        ("transcription", {"input_cost_per_second": 0.5}, 0.75),
        ("speech", {"input_cost_per_character": 0.01}, 0.05),
        ("rerank", {"input_cost_per_query": 0.5}, 0.5),
    ],
)
def test_prices_of_a_call_by_unit(
    litellm: Any, lane: Lane, api: str, prices: dict[str, float], expected: float
) -> None:
    """LiteLLM takes them with the call, and then says nothing of what it cost."""
    lane.script(Scenario(usage=None))
    cost = span_of(call_of(litellm, lane, api, **prices)).cost
    assert cost is not None
    assert cost.total == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "hidden", "prices", "expected"),
    [
        (SpanKind.IMAGE, {}, TWO_IMAGES, {}, {"input_cost_per_pixel": 1.0}, None),
        (SpanKind.IMAGE, {"size": "auto"}, TWO_IMAGES, {}, {"input_cost_per_pixel": 1.0}, None),
        (SpanKind.IMAGE, {"size": "2x3"}, {}, {}, {"input_cost_per_pixel": 1.0}, None),
        (SpanKind.IMAGE, {"size": "2x3"}, TWO_IMAGES, {}, {"output_cost_per_pixel": 1.0}, 12.0),
        (SpanKind.AUDIO, {}, {"text": "x"}, {}, {"input_cost_per_second": 1.0}, None),
        (SpanKind.AUDIO, {}, {"duration": 2.5}, {}, {"output_cost_per_second": 2.0}, 5.0),
        (
            SpanKind.AUDIO, {}, {"duration": 1}, {"audio_transcription_duration": 4.0},
            {"input_cost_per_second": 1.0, "output_cost_per_second": 9.0}, 4.0,
        ),
        (SpanKind.AUDIO, {"input": ["a"]}, {}, {}, {"input_cost_per_character": 1.0}, None),
        (SpanKind.RERANKER, {}, SEARCHED, {}, {"input_cost_per_query": 0.5}, 1.5),
        (SpanKind.RERANKER, {}, {"meta": None}, {}, {"input_cost_per_query": 0.5}, None),
        (SpanKind.LLM, {}, TWO_IMAGES, {}, {"output_cost_per_image": 0.5}, None),
        (SpanKind.IMAGE, {}, TWO_IMAGES, {}, {"input_cost_per_token": 0.5}, None),
    ],
)  # fmt: skip
def test_what_is_counted(
    kind: SpanKind, inputs: Any, outputs: Any, hidden: Any, prices: Any, expected: float | None
) -> None:
    """Only what the call or the answer tells."""
    units = Units(kind, inputs, snapshot(outputs), hidden)
    assert cost_by_units(units, prices) == expected


@pytest.mark.skipif(LITELLM < (1, 80), reason="its image edits have no usage, or take no bytes")
@pytest.mark.parametrize("api", ["image", "edit"])
def test_tokens_of_images(litellm: Any, lane: Lane, api: str) -> None:
    """LiteLLM names the tokens of an edit as the provider does, and has zeros by its own names."""
    lane.script(Scenario(usage=USAGE))
    usage = span_of(call_of(litellm, lane, api)).usage
    assert usage is not None
    assert (usage.input, usage.output, usage.source) == (100, 20, UsageSource.PROVIDER)


def test_a_zero_is_no_count_where_another_name_has_one() -> None:
    """Whichever of the names comes first."""
    both = {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 50, "output_tokens": 9}
    assert usage_of(snapshot({"usage": both})) == TokenUsage(50, 9, 59)
    half = {"prompt_tokens": 50, "completion_tokens": 0, "input_tokens": 0, "output_tokens": 0}
    assert usage_of(snapshot({"usage": half})) == TokenUsage(50, 0, 50)


@pytest.mark.parametrize(
    "counts", [{}, {"input_tokens": 30}, {"input_tokens": 30, "output_tokens": 0}]
)
def test_the_tokens_of_a_ranking_are_the_prompts(counts: dict[str, int]) -> None:
    """Some providers report their sum alone; the documents that come back were not generated."""
    ranked = {
        "results": [{"index": 0, "document": {"text": "a"}}],
        "meta": {"billed_units": {"total_tokens": 30}, "tokens": counts},
    }
    assert prompt_usage(snapshot(ranked), failed=False) == TokenUsage(30, 0, 30)


def test_a_ranking_without_tokens() -> None:
    """They are missing, not 0; a failed call has none to miss."""
    ranked = snapshot({"results": [{"index": 0, "document": {"text": "a"}}]})
    assert prompt_usage(ranked, failed=False) == TokenUsage(source=UsageSource.MISSING)
    assert prompt_usage(None, failed=True) is None
