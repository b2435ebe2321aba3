"""What LiteLLM serves in Rust is traced as what it serves in Python."""

from __future__ import annotations

import asyncio
import json
from importlib.util import find_spec
from typing import Any

import pytest

import trace_litellm
from support.provider import COMPLETION_TOKENS, PROMPT_TOKENS, TEXT, Lane, Provider, Scenario
from support.scenarios import CLAUDE, KEY, LITELLM, MESSAGES
from trace_core import MemorySink, Span, StatusCode, UsageSource

pytestmark = [
    pytest.mark.skipif(LITELLM < (1, 95, 1), reason="all in Python"),
    pytest.mark.skipif(find_spec("litellm.rust_bridge") is None, reason="all in Python"),
    pytest.mark.posix,  # where fcntl cannot be imported, LiteLLM serves the first call in Python
]
OF_HTTPX = "gzip, deflate"
"""The ``accept-encoding`` of LiteLLM's client in Python."""


@pytest.fixture(params=["0", "1"], ids=["python", "rust"])
def in_rust(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Have LiteLLM serve what it can in Python, then in Rust."""
    monkeypatch.setenv("LITELLM_RUST", request.param)
    return bool(request.param == "1")


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A provider for one test."""
    return provider.lane(request.node.name.replace("[", "-").replace("]", ""))


def ask(litellm: Any, lane: Lane, **more: Any) -> tuple[list[Span], Any]:
    """Send Anthropic's own API a message; return the spans, and the answer or the exception."""
    sink = MemorySink()
    trace_litellm.autolog(sink)

    async def main() -> Any:
        options = {"api_base": lane.url, "api_key": KEY, "max_tokens": 10, **more}
        answer = await litellm.anthropic_messages(model=CLAUDE, messages=MESSAGES, **options)
        return [chunk async for chunk in answer] if more.get("stream") else answer

    try:
        answer = asyncio.run(main())
    except Exception as error:
        answer = error
    trace_litellm.autolog(disable=True)
    return list(sink.spans), answer


def check(spans: list[Span], lane: Lane, *, in_rust: bool) -> Span:
    """One span, of one request, by the client it should be; the endpoint is on it."""
    [request] = lane.requests
    assert (request.headers.get("accept-encoding") != OF_HTTPX) is in_rust
    [span] = spans
    assert span.name == f"messages {CLAUDE}"
    assert "trace.degraded" not in span.attributes
    assert span.attributes["gen_ai.provider.name"] == "anthropic"
    assert str(span.attributes["url.full"]).endswith("/v1/messages")
    return span


def test_messages(litellm: Any, lane: Lane, in_rust: bool) -> None:
    """What was said, its tokens and its cost."""
    spans, _ = ask(litellm, lane)
    span = check(spans, lane, in_rust=in_rust)
    assert TEXT in json.dumps(span.outputs)
    assert span.usage is not None
    assert (span.usage.input, span.usage.output) == (PROMPT_TOKENS, COMPLETION_TOKENS)
    assert span.cost is not None
    assert span.cost.total


def test_a_stream_of_messages(litellm: Any, lane: Lane, in_rust: bool) -> None:
    """The same, and how it came."""
    spans, answer = ask(litellm, lane, stream=True)
    if isinstance(answer, ModuleNotFoundError):
        pytest.skip("LiteLLM wants its proxy's packages for that")
    span = check(spans, lane, in_rust=in_rust)
    assert TEXT in json.dumps(span.outputs)
    assert span.attributes["trace.stream.ending"] == "completed"
    assert span.usage is not None
    assert span.usage.output == COMPLETION_TOKENS
    assert span.usage.source is UsageSource.PROVIDER
    assert span.cost is not None


def test_refused_messages(litellm: Any, lane: Lane, in_rust: bool) -> None:
    """The exception that the caller gets."""
    lane.script(Scenario(status=429))
    spans, error = ask(litellm, lane)
    assert error.status_code == 429
    [request, *_] = lane.requests
    assert (request.headers.get("accept-encoding") != OF_HTTPX) is in_rust
    [span] = spans
    assert span.status.code is StatusCode.ERROR
    assert span.attributes["trace.error.category"] == "rate_limit"
