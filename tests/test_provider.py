"""The loopback provider, driven through the real LiteLLM: it must speak what the clients expect."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
from importlib import metadata

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
import openai
import pytest

from support import provider as fake
from support.provider import Provider, Scenario, ToolCall, Usage

LITELLM = tuple(int(part) for part in metadata.version("litellm").split(".")[:2])
pytestmark = pytest.mark.skipif(
    LITELLM < (1, 90), reason="older LiteLLM versions read Gemini and images in ways of their own"
)

MESSAGES = [{"role": "user", "content": "Hi"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
DIALECTS = ("openai", "anthropic", "gemini")
OFF = {"num_retries": 0, "max_retries": 0, "timeout": 10}


@pytest.fixture(scope="module")
def provider():
    """One provider for the module; models tell the tests apart."""
    with Provider() as running:
        yield running


def _where(provider, dialect="openai", model=""):
    bases = {"openai": provider.openai_base, "anthropic": provider.url}
    base = bases.get(dialect) or provider.gemini_base(model)
    return {"api_base": base, "api_key": "sk-x", **OFF}


@pytest.fixture
def ask(provider, request):
    """Complete with a scenario that belongs to this test alone."""

    def complete(dialect, *scenarios, **options):
        model = f"m{abs(hash(request.node.name)):x}"
        provider.script(model, *scenarios)
        options = {"messages": MESSAGES, **_where(provider, dialect, model), **options}
        return litellm.completion(f"{dialect}/{model}", **options)

    return complete


def _drain(stream):
    """Read a stream to its end, be it good or bad: the chunks, and the error if any."""
    chunks = []
    try:
        for chunk in stream:
            chunks.append(chunk)  # noqa: PERF402  # what came before the error counts
    except openai.OpenAIError as error:
        return chunks, error
    return chunks, None


def _text(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@pytest.mark.parametrize("dialect", DIALECTS)
class TestChat:
    def test_an_answer_has_text_and_usage(self, ask, dialect):
        """The plain answer arrives with the documented numbers."""
        answer = ask(dialect, Scenario(usage=Usage(cached=4)))
        assert answer.choices[0].message.content == fake.TEXT
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.prompt_tokens == fake.PROMPT_TOKENS
        assert answer.usage.completion_tokens == fake.COMPLETION_TOKENS
        assert answer.usage.total_tokens == fake.TOTAL_TOKENS
        assert answer.usage.prompt_tokens_details.cached_tokens == 4

    @pytest.mark.parametrize("split_bytes", [None, 7])
    def test_a_stream_has_the_same(self, ask, dialect, split_bytes):
        """Streamed, whole events or fragments of seven bytes, text and usage are the same."""
        scenario = Scenario(split_bytes=split_bytes)
        chunks = list(ask(dialect, scenario, stream=True, stream_options={"include_usage": True}))
        assert _text(chunks) == fake.TEXT
        assert chunks[-1].usage.total_tokens == fake.TOTAL_TOKENS
        assert "stop" in [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]

    def test_an_asynchronous_stream(self, provider, dialect):
        """The asynchronous transport, another HTTP client, understands it as well."""

        async def run():
            stream = await litellm.acompletion(
                f"{dialect}/async",
                messages=MESSAGES,
                stream=True,
                **_where(provider, dialect, "async"),
            )
            return [chunk async for chunk in stream]

        assert _text(asyncio.run(run())) == fake.TEXT

    @pytest.mark.parametrize("stream", [False, True])
    def test_tools(self, ask, dialect, stream):
        """Two tool calls arrive with their arguments, streamed or not."""
        calls = (ToolCall("weather"), ToolCall("weather", '{"city": "Rome"}', "call_2"))
        answer = ask(dialect, Scenario(tool_calls=calls), tools=TOOLS, stream=stream)
        if stream:
            answer = litellm.stream_chunk_builder(list(answer))
        got = answer.choices[0].message.tool_calls
        assert [json.loads(call.function.arguments)["city"] for call in got] == ["Paris", "Rome"]
        assert answer.choices[0].finish_reason == "tool_calls"

    @pytest.mark.parametrize("stream", [False, True])
    def test_reasoning(self, ask, dialect, stream):
        """Thoughts are kept apart from the text."""
        answer = ask(dialect, Scenario(reasoning="Let me think."), stream=stream)
        if stream:
            answer = litellm.stream_chunk_builder(list(answer))
        assert answer.choices[0].message.reasoning_content == "Let me think."
        assert answer.choices[0].message.content == fake.TEXT

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, litellm.BadRequestError),
            (401, litellm.AuthenticationError),
            (429, litellm.RateLimitError),
            (500, openai.APIError),
        ],
    )
    def test_a_status_becomes_the_right_exception(self, ask, dialect, status, error):
        """Error bodies have the provider's format, so LiteLLM finds the message."""
        with pytest.raises(error, match=f"scripted failure {status}"):
            ask(dialect, Scenario(status=status))

    def test_failing_once(self, provider, dialect):
        """After ``fail_times`` requests all is well."""
        provider.script("once", Scenario(status=503, fail_times=1))
        options = {"messages": MESSAGES, **_where(provider, dialect, "once")}
        with pytest.raises(openai.APIStatusError):
            litellm.completion(f"{dialect}/once", **options)
        answer = litellm.completion(f"{dialect}/once", **options)
        assert answer.choices[0].message.content == fake.TEXT

    def test_a_cut_connection(self, ask, dialect):
        """An answer that is cut in half is an error."""
        with pytest.raises(openai.OpenAIError):
            ask(dialect, Scenario(cut_after=0))

    def test_a_cut_stream(self, ask, dialect):
        """The connection drops after two chunks, which the client has seen by then."""
        chunks, error = _drain(ask(dialect, Scenario(cut_after=2), stream=True))
        assert _text(chunks) == "Hello from"
        assert error is not None

    def test_a_truncated_stream(self, ask, dialect):
        """A stream may end cleanly and yet not be complete; newer releases tell that it is not."""
        chunks, _ = _drain(ask(dialect, Scenario(truncate_after=3), stream=True))
        assert _text(chunks) == "Hello from the"


class TestOpenAI:
    def test_several_choices(self, ask):
        """Choices can be told apart."""
        answer = ask("openai", Scenario(), n=3)
        assert [c.message.content for c in answer.choices] == [
            fake.TEXT,
            f"{fake.TEXT} #1",
            f"{fake.TEXT} #2",
        ]

    def test_several_streamed_choices(self, provider):
        """Streamed choices are interleaved, each with its own index, text and end."""
        client = openai.OpenAI(base_url=provider.openai_base, api_key="x")
        texts = {0: "", 1: ""}
        with client.chat.completions.create(
            model="choices", messages=MESSAGES, stream=True, n=2
        ) as stream:
            for chunk in stream:
                texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        assert texts == {0: fake.TEXT, 1: f"{fake.TEXT} #1"}

    def test_usage_only_if_asked_for(self, provider):
        """Like the original: no usage in a stream that did not ask."""
        client = openai.OpenAI(base_url=provider.openai_base, api_key="x")
        chunks = list(client.chat.completions.create(model="plain", messages=MESSAGES, stream=True))
        assert not any(chunk.usage for chunk in chunks)
        assert all(chunk.choices for chunk in chunks)

    def test_headers(self, ask):
        """The request id and rate limits are there, and a scenario can replace them."""
        answer = ask("openai", Scenario(headers={"x-request-id": "mine"}))
        headers = answer._hidden_params["additional_headers"]
        assert headers["llm_provider-x-request-id"] == "mine"
        assert headers["x-ratelimit-remaining-requests"] == fake.RATE_LIMIT_REMAINING

    def test_retry_after(self, ask):
        """The header of a refusal reaches the exception."""
        with pytest.raises(litellm.RateLimitError) as caught:
            ask("openai", Scenario(status=429, retry_after=1.5))
        assert caught.value.litellm_response_headers["retry-after"] == "1.5"

    @pytest.mark.parametrize("fault", ["sse_error_after", "malformed_after", "stall_after"])
    def test_a_broken_stream(self, ask, fault):
        """An error event, broken JSON or silence comes after the chunks before it."""
        scenario = Scenario(**{fault: 2}, stall_seconds=30)
        chunks, error = _drain(ask("openai", scenario, stream=True, timeout=0.5))
        assert _text(chunks) == "Hello from"
        assert error is not None

    def test_delays(self, ask):
        """The first chunk and those after it can be late."""
        start = time.perf_counter()
        stream = ask("openai", Scenario(first_chunk_delay=0.2, chunk_delay=0.02), stream=True)
        next(stream)
        first = time.perf_counter() - start
        list(stream)
        assert first >= 0.2
        assert time.perf_counter() - start >= 0.2 + 0.02 * len(fake.CHUNKS)

    def test_one_scenario_after_the_other(self, ask, provider):
        """A conversation with a tool: first the call, then the text."""
        assert ask("openai", Scenario(tool_calls=(ToolCall("t"),)), Scenario(text="done"))
        model = provider.requests[-1].model
        for _ in range(2):
            answer = litellm.completion(f"openai/{model}", MESSAGES, **_where(provider))
            assert answer.choices[0].message.content == "done"


class TestOtherEndpoints:
    @pytest.mark.parametrize("stream", [False, True])
    def test_text_completion(self, provider, stream):
        """The old completions endpoint."""
        answer = litellm.text_completion(
            "Hi", "text-completion-openai/t", stream=stream, **_where(provider)
        )
        texts = [c.choices[0].text or "" for c in answer] if stream else [answer.choices[0].text]
        assert "".join(texts) == fake.TEXT

    def test_responses(self, provider):
        """The Responses API, whole."""
        provider.script("r", Scenario(reasoning="Hm.", tool_calls=(ToolCall("t"),), text="Hi"))
        answer = litellm.responses(input="Hi", model="openai/r", **_where(provider))
        assert [item.type for item in answer.output] == ["reasoning", "message", "function_call"]
        assert answer.usage.total_tokens == fake.TOTAL_TOKENS

    def test_streamed_responses(self, provider):
        """The Responses API, streamed: the sequence of events is the real one."""
        stream = litellm.responses(
            input="Hi", model="openai/gpt-4o-mini", stream=True, **_where(provider)
        )
        events = list(stream)
        kinds = [str(getattr(event.type, "value", event.type)) for event in events]
        assert kinds == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            *["response.output_text.delta"] * len(fake.CHUNKS),
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert events[-1].response.usage.total_tokens == fake.TOTAL_TOKENS

    def test_anthropic_messages(self, provider):
        """Anthropic's own format, through LiteLLM's pass-through and back."""

        async def run():
            return await litellm.anthropic_messages(
                model="anthropic/pass",
                messages=MESSAGES,
                max_tokens=9,
                api_base=provider.url,
                api_key="x",
            )

        answer = asyncio.run(run())
        assert answer["content"][0]["text"] == fake.TEXT
        assert answer["usage"]["input_tokens"] == fake.PROMPT_TOKENS

    def test_embeddings(self, provider):
        """One vector per input, in floats or base64."""
        where = _where(provider)
        for encoding in ("float", "base64"):
            answer = litellm.embedding(
                "openai/e", input=["a", "b"], encoding_format=encoding, **where
            )
            assert len(answer.data) == 2
        assert answer.usage.prompt_tokens == fake.PROMPT_TOKENS

    def test_moderation(self, provider):
        """Moderation; asked for directly, since older LiteLLM versions ignore ``api_base``."""
        client = openai.OpenAI(base_url=provider.openai_base, api_key="x")
        assert client.moderations.create(input="x").results[0].flagged is False

    def test_the_rest(self, provider):
        """Images, audio and reranking answer in a form LiteLLM takes."""
        where = _where(provider)
        image = litellm.image_generation("a cat", model="openai/dall-e-3", **where)
        assert image.data[0].url
        edited = litellm.image_edit(
            image=io.BytesIO(b"\x89PNG"), prompt="x", model="openai/gpt-image-1", **where
        )
        assert edited.data[0].b64_json == fake.IMAGE_BASE64
        speech = litellm.speech(model="openai/tts-1", input="x", voice="alloy", **where)
        assert speech.content == fake.AUDIO
        heard = litellm.transcription("openai/whisper-1", file=("a.mp3", b"ID3"), **where)
        assert heard.text == fake.TEXT
        assert provider.requests_for("whisper-1")
        ranked = litellm.rerank(
            model="cohere/rr", query="q", documents=["a", "b"], api_base=provider.url, api_key="x"
        )
        assert [r["relevance_score"] for r in ranked.results] == [0.875, 0.5]


class TestProvider:
    def test_requests_are_recorded(self, provider, ask):
        """Path, headers, query and body of each request are kept."""
        ask("openai", Scenario())
        last = provider.requests[-1]
        assert last.path == "/v1/chat/completions"
        assert last.headers["authorization"] == "Bearer sk-x"
        assert last.json["messages"] == MESSAGES
        assert json.loads(last.body) == last.json
        assert provider.requests_for(last.model) == [last]

    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_lanes(self, provider, dialect):
        """On a lane a model may have its real name, and so a cost, next to others of that name."""
        model = {
            "openai": "gpt-4o-mini",
            "anthropic": "claude-sonnet-4-5",
            "gemini": "gemini-2.5-flash",
        }[dialect]
        lane = provider.lane(f"{dialect} lane")
        lane.script(Scenario(text="one"), Scenario(text="two"))
        options = {"messages": MESSAGES, **_where(lane, dialect, model)}
        answers = [litellm.completion(f"{dialect}/{model}", **options) for _ in range(2)]
        assert [answer.choices[0].message.content for answer in answers] == ["one", "two"]
        assert answers[0]._hidden_params["response_cost"] > 0
        assert [request.model for request in lane.requests] == [model] * 2
        assert not lane.requests[0].path.startswith("/lanes")

    def test_no_thread_stays(self):
        """Leaving the provider ends its threads, even in a stall or with an idle client."""
        before = set(threading.enumerate())
        with Provider() as provider:
            provider.script("slow", Scenario(stall_after=1, stall_seconds=600))
            stream = litellm.completion("openai/slow", MESSAGES, stream=True, **_where(provider))
            next(stream)
            start = time.perf_counter()
        assert time.perf_counter() - start < 300, "waited for the end of the stall"
        names = {t.name for t in set(threading.enumerate()) - before}
        assert not any(name.startswith("provider") for name in names)

    def test_concurrent_tests_do_not_meet(self, provider):
        """Scenarios belong to a model, so many at once get each their own."""

        async def one(number):
            provider.script(f"c{number}", Scenario(text=f"answer {number}"))
            return await litellm.acompletion(
                f"openai/c{number}", messages=MESSAGES, **_where(provider)
            )

        async def run():
            return await asyncio.gather(*map(one, range(10)))

        texts = [answer.choices[0].message.content for answer in asyncio.run(run())]
        assert texts == [f"answer {number}" for number in range(10)]
