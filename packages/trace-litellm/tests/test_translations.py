"""Answers that LiteLLM translates: what the provider told of tokens and cost is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.provider import Lane, Provider, Scenario, Usage
from support.scenarios import KEY, LITELLM, NEWEST
from trace_core import MemorySink, Span, Tracer, UsageSource, snapshot
from trace_litellm import instrument
from trace_litellm._reading.complete import _told
from trace_litellm._reading.hidden_params import source_params
from trace_litellm._reading.record import CallRecord
from trace_litellm._reading.usage import completed_usage

PRICES = {
    "input_cost_per_token": 1e-3,
    "output_cost_per_token": 2e-3,
    "cache_read_input_token_cost": 1e-4,
}
COST = 20 * 1e-3 + 80 * 1e-4 + 20 * 2e-3
SHOWN = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A lane of the test's own."""
    return provider.lane(request.node.name)


def span_of(call: Callable[[], Any]) -> Span:
    """Make a call, read its stream to the end; return the span of the request to the provider."""

    async def made() -> None:
        result = call()
        result = await result if asyncio.iscoroutine(result) else result
        if hasattr(result, "__aiter__"):
            async for _ in result:
                pass

    sink = MemorySink()
    with instrument(Tracer(sink)):
        asyncio.run(made())
    [span] = [span for span in sink.spans if span.usage is not None]
    return span


@pytest.mark.skipif(LITELLM < (1, 106), reason="serves Google's API in another way")
@pytest.mark.parametrize("where", ["call", "deployment"])
@pytest.mark.parametrize("name", ["agenerate_content", "agenerate_content_stream"])
def test_googles_api_served_by_another_provider(
    litellm: Any, lane: Lane, name: str, where: str
) -> None:
    """The answer in Google's words has no cached tokens; the provider's had, and they are cheap."""
    if name.endswith("stream") and not NEWEST:
        pytest.skip("older releases do not ask the provider for a stream's usage")
    lane.script(Scenario(usage=Usage(prompt=100, completion=20, cached=80)))
    base = {"model": f"openai/mine-{where}", "api_base": lane.openai_base, "api_key": KEY}
    deployment = {"model_name": "group", "litellm_params": base, "model_info": PRICES}
    router = litellm.Router(model_list=[deployment], num_retries=0)
    asked = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    calls: dict[str, Callable[[], Any]] = {
        "call": lambda: getattr(litellm.google_genai, name)(**asked, **base, **PRICES),
        "deployment": lambda: getattr(router, name)(model="group", **asked),
    }
    span = span_of(calls[where])
    assert span.usage is not None
    assert (span.usage.input, span.usage.cache_read, span.usage.output) == (100, 80, 20)
    assert span.cost is not None
    assert span.cost.total == pytest.approx(COST)


@pytest.mark.parametrize(
    ("reported", "cached"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 20}, None),
        ({"prompt_tokens": 100, "completion_tokens": 20, "cache_read_input_tokens": 80}, 80),
        ({"prompt_tokens": 7, "completion_tokens": 20, "cache_read_input_tokens": 5}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
    ],
)
def test_a_translation_has_its_own_counts(reported: dict[str, int], cached: int | None) -> None:
    """The provider's report adds what they leave out, if it is of the same tokens."""
    params = snapshot({"usage": reported, "translated": True})
    outputs = snapshot({"usageMetadata": SHOWN})
    assert isinstance(params, dict)
    usage, _, _ = completed_usage({}, outputs, params, ending=None, failed=False)
    assert usage is not None
    assert (usage.input, usage.output, usage.cache_read) == (100, 20, cached)
    assert usage.source is UsageSource.PROVIDER


def test_what_the_answer_says_itself_comes_first() -> None:
    """And of several answers none is that which was translated."""
    record = CallRecord("id", "google", {}, parent=False)
    record.hidden = {"response_cost": None, "api_base": "here"}
    record.sources = ({"response_cost": 0.5, "translated": True},)
    assert _told(record) == {"response_cost": 0.5, "translated": True, "api_base": "here"}
    record.hidden = {"response_cost": 0.25}
    assert _told(record)["response_cost"] == 0.25
    record.sources *= 2
    assert _told(record) == {"response_cost": 0.25}


def test_an_answer_without_usage() -> None:
    """Nothing is made up for it."""
    assert source_params(object()) == {
        "cache_hit": False, "response_cost": None, "translated": True, "usage": None,
    }  # fmt: skip
