"""Which calls have a span; and what goes wrong in our own code is no matter of the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from threading import Thread
from typing import Any

import pytest
from httpx import AsyncClient, AsyncHTTPTransport, Request, Response

from support.provider import TEXT, Lane, Provider
from support.scenarios import CLAUDE, GPT, KEY, LITELLM, MESSAGES
from trace_core import MemorySink, Tracer
from trace_litellm import instrument
from trace_litellm._calls.hooks import CallHooks
from trace_litellm._patching.preflight import Found
from trace_litellm._patching.targets import TARGETS
from trace_litellm._reading.responses import SDK_RETRY_EVENT

BEGINNING = "trace_litellm._calls.hooks._requests.inputs"
REQUEST = "trace_litellm._calls.call.Call.requested"
OURS = RuntimeError("ours")


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A lane of the test's own."""
    return provider.lane(request.node.name)


def broken(*_: Any, **__: Any) -> Any:
    """Stand for a function of ours with an error in it."""
    raise OURS


def options(lane: Lane) -> dict[str, Any]:
    return {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0}


def call(litellm: Any, lane: Lane, **more: Any) -> Any:
    return litellm.completion(GPT, MESSAGES, **options(lane), **more)


def call_async(litellm: Any, lane: Lane, **more: Any) -> Any:
    return asyncio.run(litellm.acompletion(GPT, MESSAGES, **options(lane), **more))


@pytest.mark.parametrize("made", [call, call_async])
@pytest.mark.parametrize(
    ("where", "message", "spans"),
    [
        (BEGINNING, "tracing LiteLLM's chat", 0),
        (REQUEST, "reading a request to a provider", 1),
    ],
)
def test_an_error_of_ours(
    litellm: Any,
    lane: Lane,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Any, Lane], Any],
    where: str,
    message: str,
    spans: int,
) -> None:
    """It is told with what was being done, and costs a span or a part of it, never the call."""
    monkeypatch.setattr(where, broken)
    sink, told = MemorySink(), []
    with instrument(Tracer(sink, on_error=lambda *trouble: told.append(trouble))):
        answer = made(litellm, lane)
    assert answer.choices[0].message.content == TEXT
    assert set(told) == {(message, OURS)}
    assert len(sink.spans) == spans


class Unwritable:
    """What raises where it is written as a text."""

    def __str__(self) -> str:
        raise OURS


@pytest.mark.parametrize("made", [call, call_async])
def test_an_id_that_cannot_be_written(litellm: Any, lane: Lane, made: Callable[..., Any]) -> None:
    """A call has its one span whatever its ``litellm_call_id`` is."""
    sink, told = MemorySink(), []
    with instrument(Tracer(sink, on_error=lambda *trouble: told.append(trouble))):
        made(litellm, lane, litellm_call_id=Unwritable())
    assert not told
    assert len(sink.spans) == 1


class Unreadable:
    """What raises wherever it is looked at, ``__class__`` included."""

    def __getattribute__(self, name: str) -> Any:
        raise OURS


def test_a_parameter_that_cannot_be_read(litellm: Any, lane: Lane) -> None:
    """It costs itself, whatever LiteLLM makes of it, and not the span."""
    sink, told = MemorySink(), []
    tracer = Tracer(sink, on_error=lambda *trouble: told.append(trouble))
    with instrument(tracer), pytest.raises(Exception):  # noqa: B017, PT011  # LiteLLM's own
        call(litellm, lane, temperature=Unreadable())
    assert not told
    [span] = sink.spans
    assert "Unreadable" in span.inputs["temperature"]  # type: ignore[call-overload, index, operator]


@pytest.mark.skipif(LITELLM < (1, 65, 8), reason="has no such API")
def test_a_call_in_what_outlives_the_call_around_it(
    litellm: Any, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback's own call has a span; what LiteLLM still does for the ended call has none."""
    left: list[tuple[Context, str]] = []

    class Late(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc, name-defined]
        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            left.append((copy_context(), kwargs["litellm_call_id"]))

    sink, told = MemorySink(), []
    with instrument(Tracer(sink, on_error=lambda *trouble: told.append(trouble))):
        monkeypatch.setattr(litellm, "callbacks", [Late()])
        asked = {"messages": MESSAGES, "max_tokens": 10, "api_base": lane.url, "api_key": KEY}
        asyncio.run(litellm.anthropic_messages(model=CLAUDE, **asked))
        (context, ended), *_ = left
        context.run(call, litellm, lane)
        context.run(litellm.completion, GPT, MESSAGES, litellm_call_id=ended, **options(lane))
    assert not told
    around, later = sink.spans
    assert (around.name, later.name) == (f"messages {CLAUDE}", f"chat {GPT}")
    assert later.parent_id == around.context.span_id


@pytest.mark.skipif(LITELLM < (1, 106), reason="serves Google's API in another way")
def test_calls_served_by_another_api_at_the_same_time(
    litellm: Any, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens in one is recorded on that one: here, that a request is sent again."""
    refused = Response(500, headers={"retry-after-ms": "1"})

    class Transport(AsyncHTTPTransport):
        def __init__(self) -> None:
            super().__init__()
            self.others = asyncio.Event()
            self.refused = False

        async def handle_async_request(self, request: Request) -> Response:
            if b"first" not in await request.aread():
                self.others.set()
            elif not self.refused:
                self.refused = True
                await self.others.wait()
                return refused
            return await super().handle_async_request(request)

    async def main() -> None:
        monkeypatch.setattr(litellm, "aclient_session", AsyncClient(transport=Transport()))
        await asyncio.gather(ask("first"), ask("second"))

    async def ask(text: str) -> None:
        contents = [{"role": "user", "parts": [{"text": text}]}]
        options = {"api_base": lane.openai_base, "api_key": KEY}
        await litellm.google_genai.agenerate_content(model=GPT, contents=contents, **options)

    sink = MemorySink()
    with instrument(Tracer(sink)):
        asyncio.run(main())
    sent_again = {
        str(span.inputs).count("first"): [event.name for event in span.events]
        for span in sink.spans
    }
    assert sent_again == {0: [], 1: [SDK_RETRY_EVENT]}


@pytest.mark.parametrize("way", ["here", "on a thread of its own", "by an id of its own"])
def test_a_handler_of_the_callers_that_tells_its_request(
    litellm: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As LiteLLM's own do; by position, if it likes."""

    class Handler(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def completion(self, *_: Any, messages: Any, logging_obj: Any, **__: Any) -> Any:
            details = {"additional_args": {"api_base": "http://mine/v1"}}
            tell = Thread(target=logging_obj.pre_call, args=(messages, KEY), kwargs=details)
            if way == "by an id of its own":
                logging_obj.litellm_call_id = "another"
            if way == "on a thread of its own":
                tell.start()
                tell.join()
            else:
                tell.run()
            return litellm.ModelResponse()

    handlers = [{"provider": "mine", "custom_handler": Handler()}]
    monkeypatch.setattr(litellm, "custom_provider_map", handlers)
    sink, told = MemorySink(), []
    with instrument(Tracer(sink, on_error=lambda *trouble: told.append(trouble))):
        litellm.completion("mine/one", MESSAGES)
    assert not told
    [span] = sink.spans
    assert span.attributes["url.full"] == "http://mine/v1"


@pytest.mark.parametrize("by_name", [False, True])
def test_parameters_in_a_mapping(*, by_name: bool) -> None:
    """A Router's method gets the caller's in one, as whatever argument."""
    [target] = {target for target in TARGETS if target.places[0].endswith("RustCore._drive")}
    found = Found(target, (), ("self", "plan", "request", "overrides"))
    request = {"model": "group", "temperature": 0.5}
    args, kwargs = (
        ((object(), "plan"), {"request": request})
        if by_name
        else ((object(), "plan", request, {"model": "other"}), {})
    )
    sink = MemorySink()
    opened = CallHooks(Tracer(sink), lambda *_: None).begin(found, args, kwargs)
    assert opened is not None
    opened.returned(None)
    [span] = sink.spans
    assert span.inputs == request


def test_what_tells_a_request_returns_what_it_did() -> None:
    """LiteLLM's function returns nothing today."""
    hooks = CallHooks(Tracer(MemorySink()), lambda *_: None)
    assert hooks.before_request(lambda *args, **_: args, ("logging",), {}) == ("logging",)


class OwnEnd(BaseException):
    """No `Exception`, as some programs have them."""


@pytest.mark.parametrize("end", [ValueError, SystemExit, GeneratorExit, OwnEnd])
@pytest.mark.parametrize("fails", [False, True])
def test_a_value_that_raises_does_not_reach_the_caller(
    litellm: Any, end: type[BaseException], *, fails: bool
) -> None:
    """Of a request, an answer or an exception: the caller has what LiteLLM gives or raises."""

    class Ends:
        def __repr__(self) -> str:
            raise end

        @property
        def status_code(self) -> int:
            raise end

    class EndsError(Ends, RuntimeError):
        def __str__(self) -> str:
            raise end

    class Answer(Ends):
        def __getattr__(self, name: str) -> Any:
            raise end

    error, answer = EndsError(), Answer()

    def original(*_: Any, **__: Any) -> Any:
        if fails:
            raise error
        return answer

    memory = MemorySink()
    hooks = CallHooks(Tracer(memory, redacted=False), lambda *_: None)
    target = next(target for target in TARGETS if target.name == "chat")
    hook = hooks.hook_of(Found(target, (), ("model", "messages")), is_async=False)
    given = {"model": "x", "messages": [Ends()], "metadata": Ends(), "user": Ends()}
    if fails:
        with pytest.raises(EndsError) as raised:
            hook(original, (), given)
        assert raised.value is error
    else:
        assert hook(original, (), given) is answer
    assert len(memory.spans) == 1
