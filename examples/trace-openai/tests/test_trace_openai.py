"""Calls of the openai SDK are traced, whole and streamed, and stay what they are."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

import trace_openai
from support.provider import CHUNKS, TEXT, Lane, Provider, Scenario, ToolCall, Usage
from trace_core import MemorySink, Span, SpanKind, StatusCode, Tracer, semconv
from trace_core.testing import AdapterContract, no_open_spans
from trace_openai._answers import fill_in
from trace_openai._requests import server_of

KEY = "sk-loopback-0123456789abcdef"
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
TELL: dict[str, Any] = {"model": "gpt-4o-mini", "input": "hi"}
FULL: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    return provider.lane(request.node.name)


def client(lane: Lane) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=lane.openai_base, max_retries=0)


class Async:
    """An asynchronous client, made inside the event loop that uses it."""

    def __init__(self, lane: Lane, *path: str, **asked: Any) -> None:
        self._lane, self._path, self._asked = lane, path, asked

    async def __call__(self) -> Any:
        found: Any = openai.AsyncOpenAI(api_key=KEY, base_url=self._lane.openai_base, max_retries=0)
        for name in self._path:
            found = getattr(found, name)
        return await found(**self._asked)


class City(BaseModel):
    """What the model is asked to answer with."""

    city: str


class TestContract(AdapterContract):
    """The tests that every adapter must pass."""

    secret = KEY

    @pytest.fixture(autouse=True)
    def _lane(self, lane: Lane) -> None:
        self.lane = lane

    def adapter(self, tracer: Tracer) -> Any:
        return trace_openai.instrument(tracer)

    def calls(self) -> Any:
        chat, responses = client(self.lane).chat.completions, client(self.lane).responses
        headers = {"Authorization": f"Bearer {KEY}"}
        return {
            "chat": lambda: chat.create(**ASK, extra_headers=headers),
            "chat stream": lambda: chat.create(**ASK, **FULL),
            "async chat": Async(self.lane, "chat", "completions", "create", **ASK),
            "async chat stream": Async(self.lane, "chat", "completions", "create", **ASK, **FULL),
            "responses": lambda: responses.create(**TELL),
            "responses stream": lambda: responses.create(**TELL, stream=True),
            "async responses": Async(self.lane, "responses", "create", **TELL),
            "async responses stream": Async(self.lane, "responses", "create", **TELL, stream=True),
        }

    def comparable(self, value: Any) -> Any:
        return re.sub(r"(chatcmpl|resp|msg|call|fc)[-_][\w-]+", "id", value.model_dump_json())

    def failures(self) -> Any:
        self.lane.script(*[Scenario(status=429)] * 20)
        chat = client(self.lane).chat.completions
        return {
            "chat": lambda: chat.create(**ASK),
            "async responses": Async(self.lane, "responses", "create", **TELL),
        }


def traced(make: Any) -> Span:
    """Run something with tracing on and return its only span."""
    sink = MemorySink()
    tracer = Tracer(sink, on_error=fail)
    with trace_openai.instrument(tracer), no_open_spans(tracer):
        make()
    (span,) = sink.spans
    return span


def fail(where: str, error: BaseException) -> None:
    raise AssertionError(where) from error


def test_what_a_span_of_chat_says(lane: Lane) -> None:
    """Names of the conventions, usage, the whole answer."""
    lane.script(Scenario(usage=Usage(cached=4, reasoning=2), finish_reason="length"))
    asked = {"temperature": 0.5, "max_completion_tokens": 9, "stop": "x", "n": 1, "seed": 3}
    span = traced(lambda: client(lane).chat.completions.create(**ASK, **asked))
    assert (span.name, span.kind) == ("chat gpt-4o-mini", SpanKind.LLM)
    assert span.scope.name == "trace_openai"
    assert span.inputs == {**ASK, "messages": tuple(ASK["messages"]), **asked}
    assert span.outputs["choices"][0]["message"]["content"] == TEXT
    assert (span.usage.input, span.usage.output, span.usage.total) == (11, 7, 18)
    assert (span.usage.cache_read, span.usage.reasoning) == (4, 2)
    assert span.attributes | {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "openai",
        semconv.REQUEST_MODEL: "gpt-4o-mini",
        semconv.RESPONSE_MODEL: "gpt-4o-mini",
        semconv.REQUEST_TEMPERATURE: 0.5,
        semconv.REQUEST_MAX_TOKENS: 9,
        semconv.REQUEST_STOP_SEQUENCES: ("x",),
        semconv.REQUEST_SEED: 3,
        semconv.RESPONSE_FINISH_REASONS: ("length",),
        semconv.SERVER_ADDRESS: "127.0.0.1",
    } == dict(span.attributes)
    assert semconv.REQUEST_CHOICE_COUNT not in span.attributes


def test_a_stream_adds_up_to_the_answer(lane: Lane) -> None:
    """Text, tool calls and usage of a stream are those of the answer that is not streamed."""
    tools = (ToolCall("weather"), ToolCall("time", '{"zone": "CET"}', "call_2"))
    lane.script(Scenario(text="One moment.", tool_calls=tools))
    chat = client(lane).chat.completions
    whole = traced(lambda: chat.create(**ASK, n=2))
    streamed = traced(lambda: list(chat.create(**ASK, n=2, **FULL)))
    pick = [
        [(c["finish_reason"], c["message"]["content"]) for c in span.outputs["choices"]]
        for span in (whole, streamed)
    ]
    assert pick[0] == pick[1]
    calls = [
        [call["function"] for c in s.outputs["choices"] for call in c["message"]["tool_calls"]]
        for s in (whole, streamed)
    ]
    assert calls[0] == calls[1]
    assert whole.usage == streamed.usage
    assert streamed.attributes[semconv.REQUEST_STREAM] is True
    assert streamed.attributes[semconv.STREAM_ENDING] == "completed"
    assert streamed.attributes[semconv.STREAM_CHUNKS] > 3


def test_a_streamed_response_is_the_whole_one(lane: Lane) -> None:
    """The last event has the response; a stream that is cut has what has arrived."""
    responses = client(lane).responses
    whole = traced(lambda: responses.create(**TELL))
    streamed = traced(lambda: list(responses.create(**TELL, stream=True)))
    text = whole.outputs["output"][0]["content"][0]["text"]
    assert text == TEXT == streamed.outputs["output"][0]["content"][0]["text"]
    assert whole.usage == streamed.usage
    assert whole.name == "responses gpt-4o-mini"

    def break_off() -> None:
        for event in responses.create(**TELL, stream=True):
            if event.type == "response.output_text.delta":
                break

    cut = traced(break_off)
    assert cut.outputs["output"][0]["content"][0]["text"] == CHUNKS[0]
    assert cut.outputs["output"][0]["status"] == "incomplete"
    assert cut.attributes[semconv.STREAM_ENDING] == "abandoned"


def test_a_stream_that_fails(lane: Lane) -> None:
    """An error in the middle of a stream is the caller's, and the span's."""
    lane.script(Scenario(cut_after=2))

    def read() -> None:
        with pytest.raises(Exception, match=r".") as caught:
            list(client(lane).chat.completions.create(**ASK, stream=True))
        assert isinstance(caught.value, (openai.APIError, ConnectionError)) or "peer" in str(
            caught.value
        )

    span = traced(read)
    assert span.status.code is StatusCode.ERROR
    assert span.attributes[semconv.STREAM_ENDING] == "failed"
    assert span.outputs["choices"][0]["message"]["content"] == "".join(CHUNKS[:2])


def test_parsed_answers(lane: Lane) -> None:
    """``parse`` has one span too, and gives what it gives."""
    lane.script(Scenario(text='{"city": "Paris"}'))
    got: list[Any] = []
    chat = client(lane).chat.completions
    span = traced(lambda: got.append(chat.parse(**ASK, response_format=City)))
    assert got[0].choices[0].message.parsed == City(city="Paris")
    assert span.outputs["choices"][0]["message"]["content"] == '{"city": "Paris"}'
    span = traced(lambda: got.append(client(lane).responses.parse(**TELL, text_format=City)))
    assert got[1].output_parsed == City(city="Paris")
    assert span.usage.total == 18


def test_the_helper_for_streams(lane: Lane) -> None:
    """``chat.completions.stream`` reads our proxy: one span, and its own final completion."""
    got: list[Any] = []

    def read() -> None:
        with client(lane).chat.completions.stream(**ASK) as stream:
            stream.until_done()
            got.append(stream.get_final_completion())

    span = traced(read)
    assert got[0].choices[0].message.content == TEXT
    assert span.outputs["choices"][0]["message"]["content"] == TEXT
    assert span.attributes[semconv.STREAM_ENDING] == "completed"


@pytest.mark.parametrize("how", ["chat", "responses"])
def test_raw_responses(lane: Lane, how: str) -> None:
    """The caller gets the raw response itself, with the headers; the span has the answer."""
    of = client(lane)
    make = of.chat.completions if how == "chat" else of.responses
    asked = ASK if how == "chat" else TELL
    got: list[Any] = []
    span = traced(lambda: got.append(make.with_raw_response.create(**asked)))
    assert "content-type" in got[0].headers
    assert span.outputs["id"] == got[0].parse().id
    assert span.usage.total == 18
    assert semconv.DEGRADED not in span.attributes

    async def raw() -> Any:
        other = openai.AsyncOpenAI(api_key=KEY, base_url=lane.openai_base, max_retries=0)
        make = other.chat.completions if how == "chat" else other.responses
        return await make.with_raw_response.create(**asked)

    assert traced(lambda: asyncio.run(raw())).usage.total == 18


def test_bodies_that_the_program_reads_itself(lane: Lane) -> None:
    """They are left to it; the span has the request and says that there is no more."""
    chat = client(lane).chat.completions
    got: list[Any] = []

    def lines() -> None:
        with chat.with_streaming_response.create(**ASK, stream=True) as response:
            got.extend(line for line in response.iter_lines() if line)

    def parsed() -> None:
        got.append(list(chat.with_raw_response.create(**ASK, stream=True).parse()))

    def read() -> None:
        with chat.with_streaming_response.create(**ASK) as response:
            got.append(json.loads(response.read()))

    for make in (lines, parsed, read):
        got.clear()
        span = traced(make)
        assert got, make
        assert span.attributes[semconv.DEGRADED] is True
        assert span.outputs is None
        assert span.inputs["model"] == "gpt-4o-mini"


def test_a_response_that_failed_at_the_provider() -> None:
    """The SDK returns it as any; its span has failed."""
    failed = {"code": "server_error", "message": "The model is out of order."}
    body = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "failed",
        "error": failed, "output": [], "parallel_tool_calls": False, "tool_choice": "auto",
        "tools": [],
    }  # fmt: skip
    span = Tracer(MemorySink()).start("responses m", kind="LLM")
    span.outputs = body
    fill_in(span)
    span.end()
    assert span.status is not None
    assert span.status.description == failed["message"]
    assert span.attributes[semconv.ERROR_TYPE] == "server_error"


def test_azure_is_another_provider() -> None:
    """Calls by the client for Azure name that provider, and where it is."""
    azure = openai.AzureOpenAI(
        api_key=KEY, azure_endpoint="https://mine.openai.azure.com", api_version="2024-10-21"
    )
    assert server_of(azure.chat.completions) == {
        semconv.PROVIDER_NAME: "azure.ai.openai",
        semconv.SERVER_ADDRESS: "mine.openai.azure.com",
        semconv.SERVER_PORT: 443,
    }


PROGRAM = """
import sys
from trace_core import MemorySink, Tracer
import trace_openai

sink = MemorySink()
adapter = trace_openai.instrument(Tracer(sink))
assert "openai" not in sys.modules
from openai.resources.chat.completions import Completions
import openai

client = openai.OpenAI(api_key="sk-x", base_url=sys.argv[1])
openai.resources  # lazy
client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
client.responses.create(model="m", input="hi")
print(*(span.name for span in sink.spans), len(adapter.patched), sep=",")
"""


def test_openai_imported_afterwards(lane: Lane) -> None:
    """A program may turn tracing on before it imports the SDK."""
    run = (sys.executable, "-c", PROGRAM, lane.openai_base)
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "chat m,responses m,8", done.stderr


@pytest.mark.slow
def test_litellm_traced_as_well_counts_a_call_once(lane: Lane) -> None:
    """LiteLLM calls OpenAI by the SDK: one span, LiteLLM's; a direct call has its own."""
    litellm = pytest.importorskip("litellm")
    trace_litellm = pytest.importorskip("trace_litellm")
    sink = MemorySink()
    tracer = Tracer(sink, on_error=fail)
    asked = {**ASK, "model": "openai/gpt-4o-mini", "api_base": lane.openai_base, "api_key": KEY}
    with trace_litellm.instrument(tracer), trace_openai.instrument(tracer):
        litellm.completion(**asked)
        for _ in litellm.completion(**asked, stream=True):
            pass

        async def both() -> None:
            await litellm.acompletion(**asked)
            async for _ in await litellm.acompletion(**asked, stream=True):
                pass

        asyncio.run(both())
        assert {span.scope.name for span in sink.spans} == {"trace_litellm"}
        assert len(sink.spans) == 4
        with tracer.span("mine", kind="LLM"):  # a span of the program's own records no call
            client(lane).chat.completions.create(**ASK)
    names = [(span.scope.name, span.name) for span in sink.spans[4:]]
    assert names == [("trace_openai", "chat gpt-4o-mini"), ("trace_core", "mine")]


def test_two_adapters_leave_the_sdk_as_it_was() -> None:
    """After both are off, the SDK's functions have their own code again."""
    from openai.resources.chat.completions import Completions

    code = Completions.create.__wrapped__.__code__  # type: ignore[attr-defined]
    with (
        trace_openai.instrument(Tracer(MemorySink())),
        trace_openai.instrument(Tracer(MemorySink())),
    ):
        assert Completions.create.__wrapped__.__code__ is not code  # type: ignore[attr-defined]
    assert Completions.create.__wrapped__.__code__ is code  # type: ignore[attr-defined]


def test_the_readme_runs(lane: Lane, tmp_path: Path) -> None:
    """What the README shows works as it stands."""
    page = (Path(__file__).parent.parent / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    settings = {
        "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": lane.openai_base, "TRACE_SPOOL_DIR": str(tmp_path)
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **settings}, check=True
    )
    (line,) = (tmp_path / "traces.jsonl").read_text().splitlines()
    assert json.loads(line)["name"] == "chat gpt-4o-mini"
