"""Calls to a provider that others wrote: llmock speaks ten providers' HTTP and fails on demand.

What it does was not made to fit our spans. The journal it keeps of its requests and what the
caller saw are what the spans are held to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

import trace_litellm
from trace_core import MemorySink, Span, StatusCode, Tracer, UsageSource

pytest.importorskip("llmock", reason="llmock is not installed: nox -s others runs this")

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tell the weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
MODELS = {
    "openai": "openai/gpt-4o-mini",
    "anthropic": "anthropic/claude-haiku-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "mistral": "mistral/mistral-small-latest",
    "xai": "xai/grok-3-mini",
}
NAMED = {"gemini": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai"}
CUT = ("openai", "anthropic", "gemini")
"""Those whose streams are broken on demand."""


@pytest.fixture
def sink(litellm: Any) -> Iterator[MemorySink]:
    """Trace into memory."""
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)) as on:
        yield sink
        assert not on.tracer.open_spans


def to(llmock: Any, provider: str, **more: Any) -> dict[str, Any]:
    """Point a call at llmock, and let nobody below LiteLLM try again."""
    base = llmock.base_url(provider)
    if provider == "gemini":
        base = f"{base}/v1beta"
    where = {"model": MODELS[provider], "messages": MESSAGES, "api_base": base, "api_key": "k"}
    return {**where, **({"max_retries": 0} if provider != "gemini" else {}), **more}


def only(sink: MemorySink) -> Span:
    [span] = sink.spans
    return span


def spoken(span: Span) -> str:
    [choice] = span.outputs["choices"]  # type: ignore[index,call-overload]
    return str(choice["message"]["content"])


def heard(chunks: list[Any]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@pytest.mark.parametrize("provider", MODELS)
def test_a_call(provider: str, llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """One request, one span: the answer, the tokens and the provider the caller saw."""
    answer = litellm.completion(**to(llmock, provider))
    span = only(sink)
    assert spoken(span) == answer.choices[0].message.content
    assert span.usage is not None
    assert span.usage.source is UsageSource.PROVIDER
    assert (span.usage.input, span.usage.output) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert span.attributes["gen_ai.provider.name"] == NAMED.get(provider, provider)
    assert str(span.attributes["url.full"]).startswith(llmock.url)
    assert len(llmock.requests) == 1


@pytest.mark.parametrize("provider", MODELS)
def test_an_async_stream(provider: str, llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """The span has the text as it came, and the tokens the provider told."""

    async def read() -> list[Any]:
        options = to(llmock, provider, stream=True, stream_options={"include_usage": True})
        return [chunk async for chunk in await litellm.acompletion(**options)]

    chunks = asyncio.run(read())
    span = only(sink)
    assert spoken(span) == heard(chunks)
    assert span.attributes["trace.stream.ending"] == "completed"
    told = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    assert span.usage is not None
    assert span.usage.output == told[-1].completion_tokens
    assert [record.stream for record in llmock.requests] == [True]


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_tools(provider: str, stream: bool, llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """The tool, its arguments and the reason it stopped are those the caller got."""
    llmock.call_tool("get_weather", {"city": "Paris"})
    answer = litellm.completion(**to(llmock, provider, tools=TOOLS, stream=stream))
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    [asked] = answer.choices[0].message.tool_calls
    span = only(sink)
    [told] = span.outputs["choices"][0]["message"]["tool_calls"]  # type: ignore[index,call-overload]
    assert told["function"]["name"] == asked.function.name == "get_weather"
    assert json.loads(told["function"]["arguments"]) == {"city": "Paris"}
    assert span.attributes["gen_ai.response.finish_reasons"] == ("tool_calls",)


@pytest.mark.parametrize("provider", CUT)
@pytest.mark.parametrize(
    ("fault", "category", "status"),
    [
        ({"status": 429, "retry_after": 0.01}, "rate_limit", 429),
        ({"status": 503}, None, None),  # Anthropic's becomes a 500
        ({"status": 401}, "authentication", 401),
    ],
    ids=lambda value: str(value.get("status")) if isinstance(value, dict) else "",
)
def test_refusals(
    provider: str,
    fault: dict[str, Any],
    category: str | None,
    status: int | None,
    llmock: Any,
    litellm: Any,
    sink: MemorySink,
) -> None:
    """Each provider's own error body becomes the category people filter by."""
    llmock.fail(times=None, **fault)
    with pytest.raises(litellm.exceptions.openai.APIError) as caught:
        litellm.completion(**to(llmock, provider))
    span = only(sink)
    assert span.status.code is StatusCode.ERROR
    seen = caught.value.status_code  # type: ignore[attr-defined]
    assert span.attributes["http.response.status_code"] == seen
    assert seen == (status or seen)
    wanted = category or {503: "unavailable", 500: "provider"}[seen]
    assert span.attributes["trace.error.category"] == wanted


def test_a_prompt_too_long(llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """An overflow is told from other bad requests by its code, where LiteLLM does not tell it."""
    llmock.context_overflow()
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**to(llmock, "openai"))
    assert only(sink).attributes["trace.error.category"] == "context_window"


@pytest.mark.parametrize("provider", CUT)
@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
def test_a_broken_stream(
    provider: str, fault: str, llmock: Any, litellm: Any, sink: MemorySink
) -> None:
    """The span ends as the stream did for the caller, with what had come until then."""
    llmock.reply("one two three four five six seven eight nine ten")
    getattr(llmock, fault)(after_chunks=4)
    seen: list[Any] = []
    failure: Exception | None = None
    try:
        seen.extend(litellm.completion(**to(llmock, provider, stream=True)))
    except Exception as error:
        failure = error
    span = only(sink)
    ending = span.attributes["trace.stream.ending"]
    assert ending == ("completed" if failure is None else "failed")
    assert (span.status.code is StatusCode.ERROR) == (failure is not None)
    if seen:
        assert spoken(span) == heard(seen)
        assert heard(seen) in "one two three four five six seven eight nine ten"
    if fault == "disconnect":
        assert failure is not None
        assert span.attributes["trace.error.category"] == "mid_stream"


def test_a_stalled_stream(llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """A stream that stops coming ends by the caller's timeout."""
    llmock.reply("one two three four").stall(after_chunks=3, seconds=5)

    def read() -> None:
        for _ in litellm.completion(**to(llmock, "openai", stream=True, timeout=1)):
            pass

    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        read()
    span = only(sink)
    assert span.attributes["trace.stream.ending"] == "failed"
    assert "one" in spoken(span)


def test_retries(llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """Two attempts that were turned away and one that was answered, as llmock's journal has it."""
    llmock.fail(503, times=2)
    litellm.completion(**to(llmock, "anthropic", num_retries=3))
    [top] = [span for span in sink.spans if span.parent_id is None]
    attempts = sorted(
        (span for span in sink.spans if span.parent_id == top.span_id), key=lambda s: s.start_ns
    )
    statuses = [record.status for record in llmock.requests]
    assert statuses == [503, 503, 200]
    failed = [span.status.code is StatusCode.ERROR for span in attempts]
    assert failed == [status >= 400 for status in statuses]


def test_an_embedding(llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """The vector is the caller's; llmock tells 0 tokens, which is to say that it tells none."""
    answer = litellm.embedding(
        "openai/text-embedding-3-small", ["a"], api_base=llmock.base_url("openai"), api_key="k"
    )
    span = only(sink)
    [vector] = span.outputs["data"]  # type: ignore[index,call-overload]
    assert list(vector["embedding"]) == answer.data[0]["embedding"]
    assert answer.usage.prompt_tokens == 0
    assert span.usage is not None
    assert span.usage.source is UsageSource.MISSING


@pytest.mark.parametrize("stream", [False, True])
def test_responses(stream: bool, llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """OpenAI's Responses, whole and in events."""
    pytest.importorskip("mcp")
    answer = litellm.responses(
        model=MODELS["openai"],
        input="hi",
        stream=stream,
        api_base=llmock.base_url("openai"),
        api_key="k",
    )
    if stream:
        answer = list(answer)[-1].response
    span = only(sink)
    assert span.usage is not None
    assert span.usage.output == answer.usage.output_tokens
    said = answer.output[0].content[0].text
    assert said in json.dumps(span.outputs, ensure_ascii=False, default=dict)


def test_many_at_once_with_chaos(llmock: Any, litellm: Any, sink: MemorySink) -> None:
    """Sixty calls at once, a third failing: as many spans, each with its own caller's outcome."""
    llmock.fail(503, times=20)

    async def main() -> list[Any]:
        calls = [
            litellm.acompletion(
                **{**to(llmock, provider), "messages": [{"role": "user", "content": f"n{number}"}]}
            )
            for number in range(20)
            for provider in CUT
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert len(sink.spans) == len(outcomes) == len(llmock.requests) == 60
    assert len({span.trace_id for span in sink.spans}) == 60
    failed = [span for span in sink.spans if span.status.code is StatusCode.ERROR]
    assert len(failed) == sum(isinstance(one, Exception) for one in outcomes) == 20
    answers = sorted(one.choices[0].message.content for one in outcomes if hasattr(one, "choices"))
    good = [span for span in sink.spans if span.status.code is not StatusCode.ERROR]
    assert sorted(map(spoken, good)) == answers
