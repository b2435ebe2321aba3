"""Token counts are marked for what they are: LiteLLM makes some up, and keeps them in its cache."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from support.provider import TEXT, Lane, Provider, Scenario, Usage
from support.scenarios import INCLUDE, KEY, LITELLM, MESSAGES
from trace_core import MemorySink, Span, TokenUsage, Tracer, UsageSource, semconv
from trace_litellm import instrument
from trace_litellm._reading.hidden_params import hidden_params, reported_usage
from trace_litellm._reading.own_counts import (
    KeptCounts,
    is_estimate,
    marked_by_original,
    original_answer,
    remember_estimate,
)
from trace_litellm._streams.events import merge_anthropic

ESTIMATED, PROVIDER = UsageSource.ESTIMATED, UsageSource.PROVIDER
USAGE = Usage(prompt=100, completion=20)


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A lane of the test's own."""
    return provider.lane(request.node.name)


@pytest.fixture
def cache(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM's cache in memory."""
    from litellm.caching.caching import Cache

    monkeypatch.setattr(litellm, "cache", Cache())


@pytest.fixture
def prices(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A price list of the test's own: LiteLLM writes a call's own prices into it."""
    monkeypatch.setattr(litellm, "model_cost", copy.deepcopy(litellm.model_cost))
    yield
    monkeypatch.undo()
    forget = getattr(litellm.utils, "_invalidate_model_cost_lowercase_map", None)
    if forget is not None:  # newer releases keep what they have looked up
        forget()


@contextmanager
def answering(body: dict[str, Any]) -> Iterator[str]:
    """Run a server that answers everything with some JSON, and give its URL."""
    content = json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name http.server looks for
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def read(result: Any) -> None:
    """Read a stream to its end, of whatever kind it is."""
    if hasattr(result, "__next__"):
        list(result)


async def read_async(awaitable: Any) -> None:
    """Await an answer; read its stream to the end."""
    result = await awaitable
    if hasattr(result, "__aiter__"):
        async for _ in result:
            pass


def span_of(call: Callable[[], Any]) -> Span:
    """Make a call, and return its span; what the call raises is no matter."""
    sink = MemorySink()
    with instrument(Tracer(sink)):
        try:
            result = call()
            asyncio.run(read_async(result)) if asyncio.iscoroutine(result) else read(result)
        except Exception as error:
            if "scripted end" not in str(error):
                raise
    return sink.spans[-1]


def sources_of(span: Span) -> tuple[str, str]:
    """Return what the counts of the prompt and of the answer are marked as."""
    assert span.usage is not None
    both = span.usage.source.value
    names = (semconv.USAGE_INPUT_SOURCE, semconv.USAGE_OUTPUT_SOURCE)
    first, second = (str(span.attributes.get(name, both)) for name in names)
    return first, second


def _need(litellm: Any, api: str) -> None:
    """Skip a test of an API that this release has not."""
    name = {"responses": "responses", "messages": "anthropic"}.get(api.partition(" ")[0], "main")
    if not hasattr(litellm, name):
        pytest.skip(f"this release has no litellm.{name}")


def call_of(litellm: Any, lane: Lane, api: str, **more: Any) -> Callable[[], Any]:
    """Return a streamed call of an API, which LiteLLM may serve by another."""
    _need(litellm, api)
    base = {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0, **INCLUDE, **more}
    text = {"prompt": "How are you?", **base}
    instruct = {"model": "text-completion-openai/gpt-3.5-turbo-instruct", **text}
    base_of_messages = {**base, "messages": MESSAGES, "max_tokens": 99}

    def messages(**options: Any) -> Any:
        return litellm.anthropic.messages.acreate(**options)

    small = "groq/openai/gpt-oss-20b"
    calls: dict[str, Callable[[], Any]] = {
        "chat": lambda: litellm.completion("openai/gpt-4o-mini", MESSAGES, **base),
        "chat, async": lambda: litellm.acompletion("openai/gpt-4o-mini", MESSAGES, **base),
        "text": lambda: litellm.text_completion(**instruct),
        "text, async": lambda: litellm.atext_completion(**instruct),
        "text by chat": lambda: litellm.text_completion(model=small, **text),
        "responses": lambda: litellm.responses(input="Hi", model="openai/gpt-4o-mini", **base),
        "responses by chat": lambda: litellm.responses(input="Hi", model=small, **base),
        "chat by responses": lambda: litellm.completion(
            "openai/responses/gpt-4o-mini", MESSAGES, **base
        ),
        "messages by responses": lambda: messages(model="openai/gpt-4o-mini", **base_of_messages),
        "messages by chat": lambda: messages(model=small, **base_of_messages),
    }
    return calls[api]


BRIDGED = (1, 106)
"""Releases from here on serve the APIs by each other as today's do."""
TELLS_USAGE_OF_TEXTS = (1, 65)
_DIRECT = ("chat", "chat, async", "text", "text, async", "responses")
_BY_OTHERS = (
    "text by chat", "responses by chat", "chat by responses", "messages by responses",
    "messages by chat",
)  # fmt: skip
APIS = pytest.mark.parametrize("api", [*_DIRECT, *(_BY_OTHERS if LITELLM >= BRIDGED else ())])


@APIS
@pytest.mark.parametrize("options", [{}, {"stream_options": None}])
def test_a_stream_without_usage_is_estimated(
    litellm: Any, lane: Lane, api: str, options: dict[str, Any]
) -> None:
    """Whoever counts: LiteLLM in what it hands out, or we."""
    lane.script(Scenario(usage=None))
    span = span_of(call_of(litellm, lane, api, **options))
    assert sources_of(span) == ("estimated", "estimated")
    assert span.usage is not None
    assert span.usage.output
    assert span.cost is not None
    assert span.cost.total


@APIS
def test_a_stream_with_usage_is_the_providers(litellm: Any, lane: Lane, api: str) -> None:
    """The same APIs, where there is something to read."""
    if api.startswith("text") and LITELLM < TELLS_USAGE_OF_TEXTS:
        pytest.skip("LiteLLM puts counts of its own in place of the provider's")
    lane.script(Scenario(usage=USAGE))
    usage = span_of(call_of(litellm, lane, api)).usage
    assert usage is not None
    assert (usage.input, usage.output, usage.source) == (100, 20, PROVIDER)


@pytest.mark.skipif(LITELLM < BRIDGED, reason="keeps fewer streams in its cache")
@APIS
@pytest.mark.parametrize("reported", [None, USAGE])
@pytest.mark.usefixtures("cache")
def test_a_kept_answer_is_marked_as_when_it_was_new(
    litellm: Any, lane: Lane, api: str, reported: Usage | None
) -> None:
    """It costs nothing, also where another API serves the call."""
    lane.script(Scenario(usage=reported))
    call = call_of(litellm, lane, api, caching=True)
    new, kept = span_of(call), span_of(call)
    if len(lane.requests) == 2:
        pytest.skip("not kept by this API")
    assert sources_of(kept) == sources_of(new)
    assert kept.attributes[semconv.CACHE_HIT] is True
    assert new.cost is not None
    assert kept.cost is not None
    assert kept.cost.total == 0
    if reported is not None:
        assert kept.cost.saved == pytest.approx(new.cost.total)


@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(LITELLM < BRIDGED, reason="keeps fewer answers in its cache")
def test_a_whole_answer_that_another_api_kept(litellm: Any, lane: Lane) -> None:
    """LiteLLM notes the hit on the chat answer that it makes a text completion of."""
    lane.script(Scenario(usage=USAGE))
    base = {"api_base": lane.openai_base, "api_key": KEY, "caching": True}
    asked = {"model": "deepseek/deepseek-chat", "prompt": "Hi", **base}

    def call() -> Any:
        return litellm.text_completion(**asked)

    new, kept = span_of(call), span_of(call)
    assert len(lane.requests) == 1
    assert kept.attributes[semconv.CACHE_HIT] is True
    assert kept.cost is not None
    assert new.cost is not None
    assert (kept.cost.total, kept.cost.saved) == (0, new.cost.total)


@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(LITELLM < (1, 65), reason="its cache does not work with today's OpenAI SDK")
@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_embeddings_of_which_some_are_kept(
    litellm: Any, provider: Provider, request: pytest.FixtureRequest, kept: int
) -> None:
    """Counted and paid is what the provider was asked; the rest is what was saved."""
    lane = provider.lane(request.node.name)
    lane.script(Scenario(usage=Usage(prompt=1_000)))
    base = {"api_base": lane.openai_base, "api_key": KEY, "caching": True}
    model, texts = "openai/text-embedding-3-small", ["a", "b", "c"]
    made: list[Span] = []
    for asked in (texts[:kept], texts):
        if asked:
            call = partial(litellm.aembedding, model, input=asked, **base)
            made.append(span_of(call))
    new = made[-1]
    assert new.usage is not None
    assert new.cost is not None
    assert new.attributes[semconv.CACHE_HIT] is (kept == 3)
    assert new.cost.total == pytest.approx(0 if kept == 3 else 2e-5)
    assert new.attributes.get("litellm.cached_inputs") == (kept if kept in (1, 2) else None)
    outputs: Any = new.outputs
    assert len(outputs["data"]) == 3
    if kept and LITELLM >= BRIDGED:  # others do not know what the kept ones had cost
        assert new.cost.saved == pytest.approx(2e-5, rel=0.01)
    if kept < 3:
        assert new.usage.input == 1_000
        assert new.usage.source is PROVIDER


@pytest.mark.parametrize("end", ["error", "length"])
@pytest.mark.parametrize("stream", [False, True])
def test_usage_of_a_response_that_failed_or_is_incomplete(
    litellm: Any, lane: Lane, end: str, *, stream: bool
) -> None:
    """LiteLLM raises the event of a failure instead of handing it out; the usage is in it."""
    _need(litellm, "responses")
    lane.script(Scenario(usage=USAGE, finish_reason=end))
    base = {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0, "stream": stream}
    span = span_of(lambda: litellm.responses(input="Hi", model="openai/gpt-4o-mini", **base))
    assert span.usage is not None
    assert (span.usage.input, span.usage.output, span.usage.source) == (100, 20, PROVIDER)
    assert span.cost is not None
    assert span.status.code.name == ("ERROR" if end == "error" else "OK")
    outputs: Any = span.outputs
    assert outputs["status"] == ("failed" if end == "error" else "incomplete")
    assert outputs["output"][0]["content"][0]["text"] == TEXT


@pytest.mark.parametrize("api", ["chat", "messages", "responses"])
def test_the_first_events_count_of_an_answer_is_no_count(
    litellm: Any, lane: Lane, api: str
) -> None:
    """Anthropic's first event says 1; without a later count the answer is estimated."""
    if api != "messages" and LITELLM < BRIDGED:
        pytest.skip("raises KeyError there, or goes another way")
    _need(litellm, api)
    lane.script(Scenario(usage=Usage(prompt=100, told="start"), text="one two three four five"))
    base = {"api_base": lane.url, "api_key": KEY, "stream": True}
    model = "anthropic/claude-haiku-4-5"
    messages = litellm.anthropic.messages.acreate if api == "messages" else None
    calls: dict[str, Callable[[], Any]] = {
        "chat": lambda: litellm.completion(model, MESSAGES, **base),
        "messages": lambda: messages(model=model, messages=MESSAGES, max_tokens=9, **base),
        "responses": lambda: litellm.responses(input="Hi", model=model, **base),
    }
    span = span_of(calls[api])
    assert span.usage is not None
    assert sources_of(span) == ("provider", "estimated")
    assert (span.usage.input, span.usage.output) == (100, 5)
    if span.cost is not None:  # LiteLLM's own bill is for 1 token
        assert span.cost.output == pytest.approx(5 * 5e-6)


def chunk(text: str | None = None, **counts: int) -> SimpleNamespace:
    """Make a chunk as LiteLLM keeps it."""
    choices = [SimpleNamespace(delta=SimpleNamespace(content=text))] if text is not None else []
    return SimpleNamespace(choices=choices, usage=counts or None)


@pytest.mark.parametrize(
    ("chunks", "preliminary"),
    [
        ([chunk("Hi", prompt_tokens=9, completion_tokens=1), chunk(" you")], True),
        ([chunk("Hi", completion_tokens=1), chunk(" you", completion_tokens=2)], False),
        ([chunk("Hi"), chunk("", completion_tokens=2), chunk("")], False),
        ([chunk("Hi", prompt_tokens=9, completion_tokens=0), chunk(" you")], False),
        ([chunk("Hi", completion_tokens=5), chunk(" you", completion_tokens=0)], True),
    ],
)
def test_a_count_that_more_text_followed_is_preliminary(
    chunks: list[Any], *, preliminary: bool
) -> None:
    """Whoever sends it, and however the stream ends."""
    found = reported_usage(SimpleNamespace(chunks=chunks))
    assert found.get("preliminary") is preliminary


def test_a_count_of_one_is_kept_where_it_is_the_last() -> None:
    """An answer of one token is one that says so at its end."""
    start: Any = {"type": "message_start", "message": {"usage": {"output_tokens": 1}}}
    end: Any = {"type": "message_delta", "usage": {"output_tokens": 1}}
    assert merge_anthropic([start, end])["usage"] == {"output_tokens": 1}  # type: ignore[index, call-overload]
    assert merge_anthropic([start])["usage"] == {"output_tokens": None}  # type: ignore[index, call-overload]


def answer(text: str, name: str | None = "id") -> Any:
    """Make an answer."""
    return {"id": name, "choices": ({"message": {"content": text}},)}


def test_what_is_remembered_of_a_stream() -> None:
    """Servers repeat ids; another text is another answer. What is not known is the provider's."""
    kept, asked = KeptCounts(), {"prompt": "q"}
    told, estimated = TokenUsage(1, 1, source=PROVIDER), TokenUsage(1, 1, source=ESTIMATED)
    kept.keep(asked, answer("a"), estimated, {"x": "y"})
    kept.keep(asked, answer("c"), told, {})
    kept.keep(asked, answer("d", None), estimated, {})
    assert kept.as_new(asked, answer("a"), told, {}) == (estimated, {"x": "y"})
    assert kept.as_new({"prompt": "p"}, answer("a"), told, {}) == (told, {})
    for other in (answer("b"), answer("c"), answer("a", "other"), answer("d", None)):
        assert kept.as_new(asked, other, told, {}) == (told, {})


def test_counts_that_the_cache_has_forgotten_are_those_of_the_stream() -> None:
    """Older releases keep a stream without its counts, which are then estimated."""
    kept, asked = KeptCounts(), {"messages": ({"role": "user", "content": "q"},)}
    told, estimated = TokenUsage(100, 20, source=PROVIDER), TokenUsage(9, 1, source=ESTIMATED)
    kept.keep(asked, answer("a"), told, {})
    assert kept.as_new(asked, answer("a"), estimated, {"x": "y"}) == (told, {})
    assert kept.as_new(asked, answer("b"), estimated, {"x": "y"}) == (estimated, {"x": "y"})


@dataclass
class Counts:
    """A usage: equal to others, and without a hash."""

    input_tokens: int


def test_an_estimate_is_known_by_the_object() -> None:
    """Equal counts of another answer are not meant."""
    one, same = Counts(1), Counts(1)
    remember_estimate(one)
    remember_estimate(None)
    assert is_estimate(one)
    assert not is_estimate(same)
    assert not is_estimate(None)


def test_hidden_parameters_of_a_text_completion() -> None:
    """They are a model, which keeps most of them among the fields that it does not name."""
    from pydantic import BaseModel, ConfigDict

    class Hidden(BaseModel):
        model_config = ConfigDict(extra="allow")
        model_id: str

    hidden = Hidden.model_validate({"model_id": "m", "cache_hit": True})
    result = SimpleNamespace(_hidden_params=hidden)
    assert hidden_params(result) == {"model_id": "m", "cache_hit": True}
    for kept in ({"cache_key": None}, {"cache_key": "k", "cache_hit": True}):  # as releases say it
        result._hidden_params = Hidden.model_validate({"model_id": "m", **kept})
        assert hidden_params(result)["cache_hit"] is True


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "text"])
@pytest.mark.usefixtures("cache", "prices")
def test_a_kept_answer_saves_what_the_new_one_cost(
    litellm: Any, lane: Lane, api: str, stream: bool
) -> None:
    """In every release, also at the user's own prices, and where the cache has no counts."""
    if LITELLM < (1, 65):
        pytest.skip("has no working cache")
    lane.script(Scenario(usage=USAGE))
    own = {"input_cost_per_token": 0.01, "output_cost_per_token": 0.02}
    call = call_of(litellm, lane, api, caching=True, stream=stream, **own)
    new, kept = span_of(call), span_of(call)
    if len(lane.requests) == 2:
        pytest.skip("not kept by this release")
    assert kept.attributes[semconv.CACHE_HIT] is True
    assert new.usage is not None
    assert kept.usage is not None
    for usage in (new.usage, kept.usage):  # older releases forget the details that are 0
        assert (usage.input, usage.output, usage.source) == (100, 20, PROVIDER)
    assert new.cost is not None
    assert new.cost.total == pytest.approx(1.4)
    assert kept.cost is not None
    assert kept.cost.total == 0
    assert kept.cost.saved == pytest.approx(1.4)


@pytest.mark.parametrize(
    ("answer", "sources"),
    [
        ({"prompt_eval_count": 100, "eval_count": 20}, (PROVIDER, None)),
        ({"eval_count": 20}, (ESTIMATED, ("estimated", "provider"))),
        ({"usage": {"prompt_tokens": 100}}, (ESTIMATED, ("provider", "estimated"))),
        ({"total_duration": 100, "done": True}, (ESTIMATED, None)),
    ],
)
def test_a_count_that_the_provider_did_not_send(answer: dict[str, Any], sources: Any) -> None:
    """It is LiteLLM's own: what the provider sent names no such count."""
    usage = TokenUsage(100, 20, 120, source=PROVIDER)
    marked, sides = marked_by_original(usage, json.dumps(answer))
    assert (marked.input, marked.output, marked.source) == (100, 20, sources[0])
    names = (semconv.USAGE_INPUT_SOURCE, semconv.USAGE_OUTPUT_SOURCE)
    assert (tuple(sides[name] for name in names) if sides else None) == sources[1]


def test_only_providers_that_litellm_counts_for_are_looked_at() -> None:
    """And only what they sent as JSON: LiteLLM may have put a word of its own in its place."""
    sent = {"original_response": '{"done": true}'}
    assert original_answer("ollama_chat", sent) == '{"done": true}'
    assert original_answer("openai", sent) is None
    assert original_answer("ollama_chat", None) is None
    for other in (None, "redacted-by-litellm", {"done": True}):
        assert original_answer("ollama_chat", {"original_response": other}) is None


@pytest.mark.parametrize(
    "counts", [{}, {"eval_count": 20}, {"eval_count": 20, "prompt_eval_count": 9}]
)
def test_an_answer_of_ollama(litellm: Any, counts: dict[str, int]) -> None:
    """Its server leaves out the count of a prompt that it has in its cache."""
    message = {"role": "assistant", "content": "one two three"}
    with answering({"model": "mine", "message": message, "done": True, **counts}) as base:
        span = span_of(lambda: litellm.completion("ollama_chat/mine", MESSAGES, api_base=base))
    words = ["provider" if name in counts else "estimated" for name in _OLLAMA]
    assert sources_of(span) == tuple(words)


_OLLAMA = ("prompt_eval_count", "eval_count")
