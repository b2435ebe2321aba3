"""Never dark: what cannot be patched is traced by LiteLLM's callbacks, one span for each call."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import inspect
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trace_core
import trace_litellm
from support.provider import COMPLETION_TOKENS, PROMPT_TOKENS, TEXT, Lane, Provider, Scenario
from support.scenarios import CLAUDE, EMBED, GPT, INSTRUCT, KEY, LITELLM, MESSAGES, PRICE
from trace_core import MemorySink, Span, StatusCode, Tracer, encode
from trace_core.patching import _swap as patch
from trace_litellm._patching.preflight import find_targets
from trace_litellm._patching.targets import TARGETS
from trace_litellm._run import main

CHAT = ("completion", "acompletion")
ANY_ANSWER = 30.0
"""Seconds after which what should have been told was not."""


class Native:
    """Stands for a function that is no Python function any more, but does what it did."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


def replace(monkeypatch: pytest.MonkeyPatch, name: str, made: Callable[[Any], Any]) -> None:
    """Put something else in every place that a function of LiteLLM's has."""
    [target] = [target for target in TARGETS if target.call_types == {name}]
    for place in {*target.places, f"litellm:{name}"}:
        module, _, attribute = place.partition(":")
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        if callable(getattr(found, attribute, None)):
            monkeypatch.setattr(found, attribute, made(getattr(found, attribute)))


@pytest.fixture
def native(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MemorySink]]:
    """Make functions of LiteLLM's unfit, and then turn tracing on."""

    def turn_on(*names: str) -> MemorySink:
        for name in names:
            replace(monkeypatch, name, Native)
        sink = MemorySink()
        trace_litellm.autolog(sink)
        return sink

    yield turn_on
    trace_litellm.autolog(disable=True)
    assert callbacks_left(litellm) == []


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A provider for one test."""
    return provider.lane(request.node.name.replace("[", "-").replace("]", ""))


def openai(lane: Lane, **more: Any) -> dict[str, Any]:
    return {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0, **more}


def anthropic(lane: Lane) -> dict[str, Any]:
    return {"api_base": lane.url, "api_key": KEY}


def callbacks_left(litellm: Any) -> list[str]:
    """Name the lists of LiteLLM's in which one of our callbacks is."""
    modules = [m for name, m in sys.modules.copy().items() if name.split(".")[0] == "litellm"]
    return [
        f"{module.__name__}.{name}"
        for module in modules
        for name, value in list(vars(module).items())
        if isinstance(value, list)
        and any(type(item).__module__.startswith("trace_") for item in value)
    ]


def told(sink: MemorySink, count: int = 1) -> list[Span]:
    """Wait for what LiteLLM tells on threads of its own."""
    deadline = time.monotonic() + ANY_ANSWER
    while len(sink.spans) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(sink.spans) == count
    return sorted(sink.spans, key=lambda span: span.start_ns)


def awaited(sink: MemorySink, call: Callable[[], Any], count: int = 1) -> Any:
    """Make an async call; its event loop goes on until LiteLLM has told of it."""

    async def main() -> Any:
        try:
            answer = await call()
            if hasattr(answer, "__anext__"):
                async for _ in answer:
                    pass
        except Exception as error:
            answer = error
        deadline = time.monotonic() + ANY_ANSWER
        while len(sink.spans) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return answer

    return asyncio.run(main())


def check(span: Span, *, degraded: bool = True, streamed: bool = False) -> None:
    """A call of chat: what it asked, what it got, of whom, for how much, and in what time."""
    assert span.attributes.get("trace.degraded", False) is degraded
    assert span.name.startswith("chat ")
    assert span.status.code is StatusCode.OK
    inputs: Any = span.inputs
    assert [dict(message) for message in inputs["messages"]] == MESSAGES
    outputs: Any = span.outputs
    content = outputs["choices"][0]["message"]["content"]
    old = degraded and streamed and LITELLM < (1, 65)
    assert content == TEXT or (old and TEXT.startswith(content))
    assert span.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert str(span.attributes["url.full"]).startswith("http://127.0.0.1:")
    assert span.usage is not None
    assert span.cost is not None
    if not old:  # those tell callbacks their own count, and not always all of a stream
        assert (span.usage.input, span.usage.output) == (PROMPT_TOKENS, COMPLETION_TOKENS)
        assert span.cost.total == pytest.approx(PRICE)
    assert 0 < span.duration_ns < ANY_ANSWER * 1e9
    assert (span.attributes.get("trace.stream.ending") == "completed") is streamed
    assert KEY not in encode(span).decode()


INCLUDE = {"stream": True, "stream_options": {"include_usage": True}}
SETS = pytest.mark.parametrize("names", [CHAT, CHAT[:1], CHAT[1:]], ids="-".join)


@SETS
def test_a_call(names: tuple[str, ...], native: Any, litellm: Any, lane: Lane) -> None:
    """One span, made by whoever can."""
    sink = native(*names)
    litellm.completion(GPT, MESSAGES, **openai(lane))
    check(*told(sink), degraded="completion" in names)


@SETS
def test_an_async_call(names: tuple[str, ...], native: Any, litellm: Any, lane: Lane) -> None:
    """One span, though the async function calls the other."""
    sink = native(*names)
    awaited(sink, lambda: litellm.acompletion(GPT, MESSAGES, **openai(lane)))
    check(*told(sink), degraded="acompletion" in names)


@SETS
def test_a_stream(names: tuple[str, ...], native: Any, litellm: Any, lane: Lane) -> None:
    """One span, with the whole answer and the time to its first chunk."""
    sink = native(*names)
    list(litellm.completion(GPT, MESSAGES, **INCLUDE, **openai(lane)))
    [span] = told(sink)
    check(span, degraded="completion" in names, streamed=True)
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0  # type: ignore[operator]


@SETS
def test_an_async_stream(names: tuple[str, ...], native: Any, litellm: Any, lane: Lane) -> None:
    """The same."""
    sink = native(*names)
    awaited(sink, lambda: litellm.acompletion(GPT, MESSAGES, **INCLUDE, **openai(lane)))
    check(*told(sink), degraded="acompletion" in names, streamed=True)


@SETS
@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_call(
    names: tuple[str, ...], stream: bool, native: Any, litellm: Any, lane: Lane
) -> None:
    """One span, with the exception that the caller gets."""
    lane.script(Scenario(status=429))
    sink = native(*names)
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(GPT, MESSAGES, stream=stream, **openai(lane))
    check_failed(*told(sink), degraded="completion" in names)


@SETS
def test_a_failed_async_call(names: tuple[str, ...], native: Any, litellm: Any, lane: Lane) -> None:
    """The same."""
    lane.script(Scenario(status=429))
    sink = native(*names)
    error = awaited(sink, lambda: litellm.acompletion(GPT, MESSAGES, **openai(lane)))
    assert isinstance(error, litellm.RateLimitError)
    check_failed(*told(sink), degraded="acompletion" in names)


def check_failed(span: Span, *, degraded: bool = True, category: str = "rate_limit") -> None:
    assert span.attributes.get("trace.degraded", False) is degraded
    assert span.status.code is StatusCode.ERROR
    assert span.attributes["trace.error.category"] == category
    [event] = [event for event in span.events if event.name == "exception"]
    assert "litellm" in str(event.attributes["exception.stacktrace"])
    assert span.usage is None
    assert span.inputs["messages"]  # type: ignore[index, call-overload]


def test_a_call_that_fails_before_its_request(native: Any, litellm: Any) -> None:
    """LiteLLM refuses it itself."""
    sink = native(*CHAT)
    with pytest.raises(litellm.BadRequestError):
        litellm.completion("no-such-provider/x", MESSAGES)
    check_failed(*told(sink), category="invalid_request")


def test_a_stream_that_breaks(native: Any, litellm: Any, lane: Lane) -> None:
    """It failed, and had begun."""
    lane.script(Scenario(cut_after=2))
    sink = native(*CHAT)
    with pytest.raises(Exception, match="onnection"):
        list(litellm.completion(GPT, MESSAGES, stream=True, **openai(lane)))
    [span] = told(sink)
    assert span.status.code is StatusCode.ERROR


def test_a_stream_that_nobody_reads_to_its_end(native: Any, litellm: Any, lane: Lane) -> None:
    """LiteLLM tells nothing of it; its span ends with it all the same."""
    sink = native(*CHAT)
    answer = litellm.completion(GPT, MESSAGES, stream=True, **openai(lane))
    next(answer)
    del answer
    assert let_go(litellm, sink).attributes["trace.stream.ending"] == "abandoned"


def let_go(litellm: Any, sink: MemorySink) -> Span:
    """Wait for the span of a call whose stream nobody has any more."""
    litellm.completion(GPT, MESSAGES, mock_response="hello")  # older releases keep the last call
    deadline = time.monotonic() + ANY_ANSWER
    while len(sink.spans) < 2 and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    first, _ = told(sink, 2)
    return first


def test_a_cancelled_call(native: Any, litellm: Any, lane: Lane) -> None:
    """The same."""
    lane.script(Scenario(first_chunk_delay=600.0))
    sink = native(*CHAT)

    async def main() -> None:
        task = asyncio.create_task(litellm.acompletion(GPT, MESSAGES, **openai(lane)))
        while not lane.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    trace_litellm.autolog(disable=True)
    [span] = told(sink)
    assert span.attributes["trace.ending"] in ("abandoned", "interrupted")


def test_embeddings(native: Any, litellm: Any, lane: Lane) -> None:
    """Sync and async."""
    sink = native("embedding", "aembedding")
    litellm.embedding(EMBED, ["a", "b"], **openai(lane))
    told(sink)
    awaited(sink, lambda: litellm.aembedding(EMBED, ["a", "b"], **openai(lane)), 2)
    for span in told(sink, 2):
        assert span.name == "embeddings text-embedding-3-small"
        assert span.kind.value == "EMBEDDING"
        assert span.attributes["trace.degraded"] is True
        assert span.inputs["input"] == ("a", "b")  # type: ignore[index, call-overload]
        assert "0.125" in json.dumps(span.outputs)
        assert span.usage is not None
        assert span.usage.input == PROMPT_TOKENS
        assert span.cost is not None
        assert span.cost.total == pytest.approx(2e-8 * PROMPT_TOKENS)


# LiteLLM calls itself: whichever of its functions cannot be patched, a call has one span.

SELDOM = (1, 75, 8)
"""Older releases do not all of this."""
DELEGATED: dict[str, Callable[[Any, Lane], Any]] = {
    "text": lambda it, lane: it.text_completion(model=INSTRUCT, prompt="hi", **openai(lane)),
    "text over chat": lambda it, lane: it.text_completion(
        model=CLAUDE, prompt="hi", **anthropic(lane)
    ),
    "responses": lambda it, lane: it.responses(model=GPT, input="hi", **openai(lane)),
    "responses over chat": lambda it, lane: it.responses(
        model=CLAUDE, input="hi", **anthropic(lane)
    ),
    "chat over responses": lambda it, lane: it.completion(
        "openai/responses/gpt-4o-mini", MESSAGES, **openai(lane)
    ),
}
OTHERS = ("text_completion", "responses", "rerank", "image_generation")


@pytest.mark.skipif(SELDOM > LITELLM, reason="not in this release")
@pytest.mark.parametrize("names", [CHAT, OTHERS], ids=["chat", "others"])
@pytest.mark.parametrize("kind", DELEGATED)
def test_one_function_that_serves_another(
    kind: str, names: tuple[str, ...], native: Any, litellm: Any, provider: Provider
) -> None:
    """Patched or not, there is one span, of the function that was called or of the other."""
    lane = provider.lane(f"delegated-{kind}-{names[0]}".replace(" ", "-"))
    sink = native(*names)
    DELEGATED[kind](litellm, lane)
    on = trace_litellm.autolog()
    assert on is not None
    on.flush()
    [span] = told(sink)
    assert span.usage is not None
    assert span.usage.output == COMPLETION_TOKENS
    assert span.cost is not None
    assert TEXT in json.dumps(span.outputs)


@pytest.mark.skipif(SELDOM > LITELLM, reason="not in this release")
@pytest.mark.parametrize("names", [CHAT, ("anthropic_messages",), ("responses", "aresponses")])
@pytest.mark.parametrize("model", [CLAUDE, GPT, "mistral/mistral-small-latest"])
def test_messages_and_what_serves_them(
    names: tuple[str, ...], model: str, native: Any, litellm: Any, provider: Provider
) -> None:
    """Anthropic's own API, Responses, or chat, the last under an id of its own."""
    lane = provider.lane(f"messages-{names[0]}-{model.partition('/')[0]}")
    options = anthropic(lane) if model == CLAUDE else openai(lane)
    options.pop("max_retries", None)
    sink = native(*names)

    def call() -> Any:
        return litellm.anthropic_messages(model=model, messages=MESSAGES, max_tokens=10, **options)

    awaited(sink, call)
    [span] = told(sink)
    assert span.usage is not None
    assert span.usage.output == COMPLETION_TOKENS


def test_a_call_inside_a_span(native: Any, litellm: Any, lane: Lane) -> None:
    """It is its child: of one of the program's own, and of a Router's."""
    sink = native(*CHAT)
    tracer = Tracer(sink)
    deployment = {"model_name": "group", "litellm_params": {"model": GPT, **openai(lane)}}
    router = litellm.Router(model_list=[deployment])
    with tracer.span("parent") as parent:
        litellm.completion(GPT, MESSAGES, **openai(lane))
    told(sink, 2)
    router.completion("group", MESSAGES)
    spans = told(sink, 4)
    [routed] = [span for span in spans if span.name == "router group"]
    below = [span.parent_id for span in spans if span.name.startswith("chat ")]
    assert below == [parent.span_id, routed.span_id]
    assert spans[-1].attributes["litellm.router.model_group"] == "group"


def test_a_batch(native: Any, litellm: Any, lane: Lane) -> None:
    """Its calls, which LiteLLM makes on threads, are its children."""
    sink = native(*CHAT)
    litellm.batch_completion(GPT, [MESSAGES, MESSAGES], **openai(lane))
    batch, *calls = told(sink, 3)
    assert batch.name.startswith("batch_completion")
    for call in calls:
        assert call.parent_id == batch.span_id
        check(call)


def test_a_batch_and_a_router_that_do_not_fit(
    litellm: Any, monkeypatch: pytest.MonkeyPatch, lane: Lane
) -> None:
    """Each call that they make has its span; inside a span of the program's it is the child."""
    litellm.Router()  # imports what there is of it
    for target in TARGETS:
        module, _, path = target.places[0].partition(":")
        owner, _, name = path.partition(".")
        cls = getattr(sys.modules.get(module), owner, None) if name else None
        if target.family == "router" and inspect.isfunction(vars(cls or object).get(name)):
            monkeypatch.setattr(cls, name, functools.partialmethod(vars(cls)[name]))
    replace(monkeypatch, "batch_completion", Native)
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)) as on:
        routed = {"model": GPT, **openai(lane)}
        router = litellm.Router([{"model_name": "group", "litellm_params": routed}])
        with on.tracer.span("mine") as mine:
            router.completion("group", MESSAGES)
        asyncio.run(router.acompletion("group", MESSAGES))
        litellm.batch_completion(GPT, [MESSAGES, MESSAGES], **openai(lane))
    calls = [span for span in sink.spans if span.name != "mine"]
    assert len(calls) == 4
    for call in calls:
        check(call, degraded=False)
    assert [call.parent_id for call in calls] == [mine.span_id, None, None, None]


def test_a_call_that_is_made_again(native: Any, litellm: Any, lane: Lane) -> None:
    """A span for each try that LiteLLM tells of; the last one has the answer."""
    lane.script(Scenario(status=500, fail_times=1))
    sink = native(*CHAT)
    litellm.completion(CLAUDE, MESSAGES, num_retries=2, **anthropic(lane))
    first, last = told(sink, 2)
    check_failed(first, category="provider")
    assert last.status.code is StatusCode.OK
    assert TEXT in json.dumps(last.outputs)


@pytest.mark.skipif(SELDOM > LITELLM, reason="older releases do not try again here")
def test_an_async_call_that_is_made_again(native: Any, litellm: Any, lane: Lane) -> None:
    """LiteLLM's callbacks are told nothing of the answer, its own retries are."""
    lane.script(Scenario(status=500, fail_times=1))
    sink = native(*CHAT)
    awaited(
        sink, lambda: litellm.acompletion(CLAUDE, MESSAGES, num_retries=2, **anthropic(lane)), 2
    )
    first, last = told(sink, 2)
    check_failed(first, category="provider")
    assert last.status.code is StatusCode.OK
    assert TEXT in json.dumps(last.outputs)


def test_what_must_not_be_logged(native: Any, litellm: Any, lane: Lane) -> None:
    """Neither by LiteLLM's callbacks: no span, or one without content."""
    sink = native(*CHAT)
    litellm.completion(GPT, MESSAGES, **{"no-log": True}, **openai(lane))
    hidden = {"metadata": {"headers": {"x-litellm-enable-message-redaction": True}}}
    litellm.completion(GPT, MESSAGES, **hidden, **openai(lane))
    [span] = told(sink)
    assert "redacted-by-litellm" in json.dumps(span.inputs)
    assert TEXT not in json.dumps(span.outputs)


def test_metadata_of_the_caller(native: Any, litellm: Any, lane: Lane) -> None:
    """Session, user, tags; nothing that LiteLLM adds."""
    sink = native(*CHAT)
    notes = {"session_id": "s1", "tags": ["a"], "team": "red"}
    litellm.completion(GPT, MESSAGES, user="u1", temperature=0.3, metadata=notes, **openai(lane))
    [span] = told(sink)
    assert span.attributes["session.id"] == "s1"
    assert span.attributes["user.id"] == "u1"
    assert span.attributes["trace.tags"] == ("a",)
    assert span.attributes["gen_ai.request.temperature"] == 0.3
    extra = [name for name in span.attributes if name.startswith("trace.metadata.")]
    assert extra == ["trace.metadata.team"]


# Turning it on and off.


def test_nothing_is_registered_when_all_fits(litellm: Any) -> None:
    """Not before, not while, not after."""
    on = trace_litellm.autolog(MemorySink())
    assert callbacks_left(litellm) == []
    litellm.completion(GPT, MESSAGES, mock_response="hello")
    assert callbacks_left(litellm) == []
    assert on is not None
    on.uninstrument()
    assert callbacks_left(litellm) == []


def test_the_callback_is_the_only_change(native: Any, litellm: Any) -> None:
    """It is in LiteLLM's own list, once, also after a second `autolog`; then nowhere."""
    before = list(litellm.callbacks)
    native(*CHAT)
    trace_litellm.autolog()
    assert [one for one in litellm.callbacks if one not in before] == [litellm.callbacks[-1]]
    litellm.completion(GPT, MESSAGES, mock_response="hello")
    assert len(callbacks_left(litellm)) > 1, "LiteLLM copies it from list to list"
    trace_litellm.autolog(disable=True)
    assert litellm.callbacks == before
    assert callbacks_left(litellm) == []


def test_a_program_that_replaces_the_list(native: Any, litellm: Any, lane: Lane) -> None:
    """Another `autolog` puts the callback back; a call is not told twice."""
    sink = native(*CHAT)
    litellm.completion(GPT, MESSAGES, mock_response="hello")
    told(sink)
    litellm.callbacks = [one for one in litellm.callbacks if "trace_" not in type(one).__module__]
    trace_litellm.autolog()
    litellm.completion(GPT, MESSAGES, **openai(lane))
    told(sink, 2)


def test_many_callbacks(
    native: Any, litellm: Any, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM takes no more than 30 into its lists, and a Router brings several."""
    from litellm.integrations.custom_logger import CustomLogger

    for name in ("success_callback", "failure_callback", "_async_success_callback"):
        monkeypatch.setattr(litellm, name, [CustomLogger() for _ in range(30)])
    sink = native(*CHAT)
    litellm.completion(GPT, MESSAGES, **openai(lane))
    check(*told(sink))


def test_it_is_said_once(
    native: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which functions, and what is lost."""
    monkeypatch.setattr("trace_core._log._said", {})
    with caplog.at_level(logging.WARNING):
        native(*CHAT, "batch_completion", "moderation")
        trace_litellm.autolog()
    [line] = [r.getMessage() for r in caplog.records if "cannot patch" in r.getMessage()]
    assert "traced by LiteLLM's callbacks" in line
    assert "answers: acompletion, completion" in line
    assert "only the calls that they make: batch_completion;" in line
    assert "not traced: moderation" in line


def test_the_command_says_it(
    litellm: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``trace-litellm doctor``, which leaves everything as it was."""
    code = {f: f.__code__ for found in find_targets().found for f in found.functions}
    main(["doctor", "--offline"])
    assert "callbacks" not in capsys.readouterr().out
    assert all(function.__code__ is before for function, before in code.items())
    replace(monkeypatch, "acompletion", Native)
    main(["doctor", "--offline"])
    printed = capsys.readouterr().out
    assert "traced by LiteLLM's callbacks" in printed
    assert "acompletion" in printed


def test_a_swap_that_fails(litellm: Any, monkeypatch: pytest.MonkeyPatch, lane: Lane) -> None:
    """The callback takes over for that function alone; the others are patched."""
    real = patch.swap
    closure = inspect.unwrap(litellm.embedding, stop=lambda f: "original_function" in
                             getattr(getattr(f, "__code__", None), "co_freevars", ()))  # fmt: skip

    def swap(function: Any, hook: Any, **more: Any) -> Any:
        if function in (closure, litellm.embedding):
            raise ValueError("no such code")
        return real(function, hook, **more)

    monkeypatch.setattr(patch, "swap", swap)
    sink = MemorySink()
    troubles: list[str] = []
    tracer = Tracer(sink, on_error=lambda where, error: troubles.append(where))
    with trace_litellm.instrument(tracer) as on:
        assert on.active
        litellm.embedding(EMBED, ["a"], **openai(lane))
        litellm.completion(GPT, MESSAGES, **openai(lane))
        spans = told(sink, 2)
    assert [span.attributes.get("trace.degraded") for span in spans] == [True, None]
    assert all(where.startswith("patching ") for where in troubles)
    assert callbacks_left(litellm) == []


def test_another_signature_does_not_fit(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under ``@client`` and takes its model by another name is not what we know."""

    def completion(engine: str, prompt: list[Any], **_: Any) -> None:
        """Take other parameters."""

    replace(monkeypatch, "completion", lambda _: litellm.utils.client(completion))
    findings = find_targets()
    assert ["completion"] in [sorted(target.call_types) for target in findings.misfits]
    assert "completion" not in {n for one in findings.found for n in one.target.call_types}


def test_one_that_is_missing_does_not_fit(monkeypatch: pytest.MonkeyPatch, litellm: Any) -> None:
    """Every release has a core function."""
    replace(monkeypatch, "embedding", lambda _: None)
    misfits = {name for target in find_targets().misfits for name in target.call_types}
    assert "embedding" in misfits
    assert misfits <= {"embedding", "aembedding"}


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ("ReportedCall", "reading what LiteLLM tells its callbacks"),
        ("Takeover.follow", "following a call"),
    ],
)
def test_what_listens_never_harms_a_call(
    native: Any, litellm: Any, lane: Lane, monkeypatch: pytest.MonkeyPatch, ours: str, message: str
) -> None:
    """An error of ours is reported, and costs a span."""
    native(*CHAT)
    on = trace_litellm.autolog()
    assert on is not None
    troubles: list[tuple[str, BaseException]] = []
    seen = threading.Event()
    error = RuntimeError("ours")

    def on_error(*trouble: Any) -> None:
        troubles.append(trouble)
        seen.set()

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(f"trace_litellm._calls.takeover.{ours}", broken)
    trace_litellm.autolog(disable=True)
    with trace_litellm.instrument(Tracer(MemorySink(), on_error=on_error)):
        answer = litellm.completion(GPT, MESSAGES, **openai(lane))
        assert answer.choices[0].message.content == TEXT
        assert seen.wait(ANY_ANSWER)
    assert set(troubles) == {(message, error)}


def test_a_handler_of_the_callers_that_tells_its_request(
    native: Any, litellm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As LiteLLM's own do; by position, if it likes. The end of a stream nobody reads is seen."""

    class Handler(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def streaming(self, *_: Any, messages: Any, logging_obj: Any, **__: Any) -> Iterator[Any]:
            logging_obj.pre_call(messages, KEY)
            return iter(())

    handlers = [{"provider": "mine", "custom_handler": Handler()}]
    monkeypatch.setattr(litellm, "custom_provider_map", handlers)
    sink = native(*CHAT)
    litellm.completion("mine/one", MESSAGES, stream=True)
    assert let_go(litellm, sink).attributes["trace.stream.ending"] == "abandoned"


def test_an_error_of_ours_in_a_retry(
    native: Any, litellm: Any, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is made again all the same."""
    lane.script(Scenario(status=500, fail_times=1))
    native(*CHAT)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("trace_litellm._calls.takeover.ReportedCall", broken)
    answer = litellm.completion(CLAUDE, MESSAGES, num_retries=2, **anthropic(lane))
    assert answer.choices[0].message.content == TEXT


def test_calls_that_are_never_told_the_end_of(
    native: Any, litellm: Any, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are let go of, the oldest first."""
    monkeypatch.setattr("trace_litellm._calls.takeover._MOST", 2)
    sink = native(*CHAT)
    streams = [litellm.completion(GPT, MESSAGES, stream=True, **openai(lane)) for _ in range(4)]
    spans = told(sink, 2)
    assert {span.attributes["trace.stream.ending"] for span in spans} == {"abandoned"}
    del streams


PROGRAM = """
import asyncio, importlib, sys
import litellm
import trace_litellm

class Native:
    def __init__(self, function):
        self.function = function
    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

for module in ("litellm.chat_completions.dispatch", "litellm", "litellm.main"):
    try:
        found = importlib.import_module(module)
    except ImportError:
        continue
    for name in ("completion", "acompletion"):
        setattr(found, name, Native(getattr(found, name)))
trace_litellm.autolog("jsonl:spans.jsonl")
call = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
where = {"api_base": sys.argv[1], "api_key": "sk-1", "max_retries": 0}
litellm.completion(**call, **where)
asyncio.run(litellm.acompletion(**call, **where))
"""


@pytest.mark.slow
def test_a_program_that_ends_at_once(tmp_path: Path, lane: Lane) -> None:
    """Its calls are stored, though LiteLLM may not have told of them yet."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRACE_")}
    subprocess.run(
        [sys.executable, "-c", PROGRAM, lane.openai_base],
        cwd=tmp_path,
        env={**environment, "TRACE_SPOOL_DIR": str(tmp_path / "spool")},
        check=True,
        timeout=300,
        capture_output=True,
    )
    spans = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    assert len(spans) == 2
    for span in spans:
        assert span["outputs"]["choices"][0]["message"]["content"] == TEXT
        assert span["usage"]["output"] == COMPLETION_TOKENS
        assert span["attributes"]["trace.degraded"] is True
        assert trace_core.semconv.ENDING not in span["attributes"]
