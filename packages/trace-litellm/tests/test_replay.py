"""Replaying: what matches what, what callers are told, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

import trace_litellm
from support.provider import Lane, Provider, Scenario
from support.provider import ToolCall as Call
from support.scenarios import (
    CLAUDE,
    EMBED,
    GPT,
    INCLUDE,
    KEY,
    LITELLM,
    MESSAGES,
    NEWER,
    TEXT,
    TOOLS,
    texts,
)
from trace_core import ConfigurationError, MemorySink, Span, Tracer, drop_content, truncate
from trace_litellm import NotRecorded, Replay


def options(lane: Lane, **more: Any) -> dict[str, Any]:
    return {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0, **more}


NOWHERE: dict[str, Any] = {"api_base": "http://127.0.0.1:9", "api_key": "sk-of-the-tests"}
"""Other than recorded, and nobody listens there: where a call is sent does not matter."""


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A lane of a test's own."""
    return provider.lane(f"replay-{request.node.name}")


@pytest.fixture
def recorded(litellm: Any, lane: Lane) -> Any:
    """Make calls, and return the spans of them."""

    def record(*calls: Any) -> list[Span]:
        sink = MemorySink()
        with trace_litellm.instrument(Tracer(sink)):
            for call in calls:
                call()
        return list(sink.spans)

    return record


def ask(litellm: Any, lane: Lane, **more: Any) -> Any:
    return lambda: litellm.completion(GPT, more.pop("messages", MESSAGES), **more, **options(lane))


def said(answer: Any) -> Any:
    return answer.choices[0].message.content


# -- what matches -----------------------------------------------------------------------------


def test_strict(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Model, messages and parameters must be the same; where and how it is sent need not."""
    spans = recorded(ask(litellm, lane, temperature=0.0, timeout=30))
    with trace_litellm.replay(spans):
        call = litellm.completion
        assert said(call(model=GPT, messages=MESSAGES, temperature=0, stream=False, **NOWHERE))
        for other in (
            {"temperature": 1},
            {"temperature": 0, "top_p": 0.5},
            {"temperature": 0, "stream": True},
            {},
        ):
            with pytest.raises(NotRecorded):
                call(GPT, MESSAGES, **other, **NOWHERE)
        with pytest.raises(NotRecorded):
            call("openai/gpt-4o", MESSAGES, temperature=0, **NOWHERE)


def test_sync_and_async_are_one(litellm: Any, lane: Lane, recorded: Any) -> None:
    """What was recorded of one answers the other."""
    spans = recorded(ask(litellm, lane))
    with trace_litellm.replay(spans):
        assert said(asyncio.run(litellm.acompletion(GPT, MESSAGES, **NOWHERE))) == TEXT


def test_loose(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Function and texts are enough: another model, a stream, parts instead of a text."""
    spans = recorded(ask(litellm, lane, temperature=0.5))
    parts = [{"role": "user", "content": [{"type": "text", "text": "  hi\n"}]}]
    with trace_litellm.replay(spans, match="loose"):
        assert said(litellm.completion("anthropic/claude-9", parts, **NOWHERE)) == TEXT
        assert texts(litellm.completion(GPT, MESSAGES, stream=True, **NOWHERE)) == TEXT
        with pytest.raises(NotRecorded):
            litellm.completion(GPT, [{"role": "user", "content": "ho"}], **NOWHERE)
        with pytest.raises(NotRecorded):
            litellm.text_completion(model=GPT, prompt="hi", **NOWHERE)


def test_ignore_and_scrub(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Parameters and parts of texts can be left out of the comparison."""
    monday, tuesday = ([{"role": "user", "content": f"It is {day}."}] for day in ("Mon", "Tue"))
    spans = recorded(ask(litellm, lane, messages=monday, seed=1))

    def scrub(text: str) -> str:
        return text.replace("Mon", "DAY").replace("Tue", "DAY")

    with trace_litellm.replay(spans, ignore=["seed"], scrub=scrub):
        assert said(litellm.completion(GPT, tuesday, seed=2, **NOWHERE)) == TEXT


def test_the_same_call_again(litellm: Any, lane: Lane, recorded: Any) -> None:
    """It gets the recorded answers in their order, and then the last one; each block anew."""
    calls = []
    for text in ("one", "two"):
        calls += [lambda t=text: lane.script(Scenario(chunks=(t,))), ask(litellm, lane)]
    spans = recorded(*calls)
    again = trace_litellm.replay(reversed(spans))
    for _ in range(2):
        with again as replayed:
            assert len(replayed.unused) == 2
            answers = [said(litellm.completion(GPT, MESSAGES, **NOWHERE)) for _ in range(3)]
            assert answers == ["one", "two", "two"]
            assert replayed.unused == ()


def test_secrets_in_prompts_match(litellm: Any, lane: Lane, recorded: Any) -> None:
    """They are removed from both sides, and another one in their place matches as well."""
    first, second = (f"sk-proj-{c}8Zk2LmQ9xTv4RsW7yNb3HfJ6dGc1PaE5uKo0iXq" for c in "ab")
    asked = [[{"role": "user", "content": f"Is {key} a key?"}] for key in (first, second, "x")]
    spans = recorded(ask(litellm, lane, messages=asked[0]))
    assert first not in str(spans)
    with trace_litellm.replay(spans):
        for messages in asked:
            assert said(litellm.completion(GPT, messages, **NOWHERE)) == TEXT
        with pytest.raises(NotRecorded):
            litellm.completion(GPT, [{"role": "user", "content": "Was it a key?"}], **NOWHERE)


def test_files_match_by_their_content(litellm: Any, lane: Lane, recorded: Any) -> None:
    """An image in base64 is compared by its digest."""

    def showing(data: str) -> list[Any]:
        url = {"url": "data:image/png;base64," + data * 1_000}
        return [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]

    spans = recorded(ask(litellm, lane, messages=showing("iVBO")))
    with trace_litellm.replay(spans):
        assert said(litellm.completion(GPT, showing("iVBO"), **NOWHERE)) == TEXT
        with pytest.raises(NotRecorded):
            litellm.completion(GPT, showing("iVBP"), **NOWHERE)


def test_mocked_calls_are_left_to_litellm(litellm: Any) -> None:
    """They need no network, and no recording."""
    with trace_litellm.replay([]):
        assert said(litellm.completion(GPT, MESSAGES, mock_response="mine")) == "mine"
        answer = asyncio.run(litellm.acompletion(GPT, MESSAGES, mock_response="mine"))
        assert said(answer) == "mine"


STREAM: dict[str, Any] = {"stream": True}


@pytest.mark.parametrize("more", [{}, STREAM], ids=["whole", "stream"])
def test_calls_recorded_with_a_mock_are_replayed_without(
    litellm: Any, recorded: Any, more: dict[str, Any]
) -> None:
    """So one can record without a key, and drop ``mock_response`` afterwards."""

    def call(**mock: Any) -> str:
        answer = litellm.completion(GPT, MESSAGES, **more, **mock, **NOWHERE)
        if not more:
            return str(said(answer))
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

    spans = recorded(lambda: call(mock_response="made up"))
    with trace_litellm.replay(spans) as replayed:
        assert replayed.unused == ()  # whoever mocks the call again does not ask for it
        assert call() == "made up"
        assert call(mock_response="another") == "another"
    assert replayed.missing == ()


def test_a_mocked_error_is_replayed(litellm: Any, recorded: Any) -> None:
    """As any error is."""

    def call(**mock: Any) -> None:
        with pytest.raises(litellm.RateLimitError):
            litellm.completion(GPT, MESSAGES, **mock, **NOWHERE)

    spans = recorded(lambda: call(mock_response="litellm.RateLimitError"))
    with trace_litellm.replay(spans):
        call()


@pytest.mark.parametrize("mocked_first", [True, False])
def test_what_a_provider_answered_comes_before_a_mock(
    litellm: Any, lane: Lane, recorded: Any, mocked_first: bool
) -> None:
    """The order in which the two were recorded makes no difference."""
    both = [ask(litellm, lane, mock_response="made up"), ask(litellm, lane)]
    spans = recorded(*(both if mocked_first else both[::-1]))
    with trace_litellm.replay(spans):
        for _ in range(2):
            assert said(litellm.completion(GPT, MESSAGES, **NOWHERE)) == TEXT


def test_a_replay_says_what_it_is(tmp_path: Path) -> None:
    """Also that it does nothing outside of a block."""
    file = tmp_path / "calls.jsonl"
    file.touch()
    replayed = trace_litellm.replay(file)
    assert repr(replayed) == f"<Replay of {file}: for a with block, or as a decorator>"
    with replayed:
        assert repr(replayed).endswith(": answers calls>")


# -- what callers are told --------------------------------------------------------------------


def test_what_was_asked_and_what_comes_nearest(litellm: Any, lane: Lane, recorded: Any) -> None:
    """The message shows both, line by line, and what to do; no secret."""
    other = [{"role": "user", "content": "something else entirely"}]
    spans = recorded(ask(litellm, lane, messages=other), ask(litellm, lane, temperature=0.25))
    with trace_litellm.replay(spans) as replayed:
        with pytest.raises(NotRecorded) as caught:
            litellm.completion(GPT, MESSAGES, temperature=0.5, **NOWHERE)
        told = str(caught.value)
        assert '-  "temperature": 0.25' in told
        assert '+  "temperature": 0.5' in told
        assert "something else" not in told
        assert "Record again" in told
        assert NOWHERE["api_key"] not in told
        with pytest.raises(NotRecorded, match="calls recorded: 2 of chat"):
            litellm.embedding(EMBED, ["a"], **NOWHERE)
        assert [str(error).split()[0] for error in replayed.missing] == ["this", "no"]


def test_a_caught_error_is_not_lost(litellm: Any, lane: Lane, recorded: Any) -> None:
    """`Replay.missing` has what a program or a Router swallowed; the Router does not repeat it."""
    group = {"model_name": "g", "litellm_params": {"model": GPT, **NOWHERE}}
    router = litellm.Router(model_list=[group], num_retries=3)
    with trace_litellm.replay(recorded(ask(litellm, lane, seed=4))) as replayed:
        with pytest.raises(NotRecorded):
            router.completion("g", MESSAGES)
        assert len(replayed.missing) == (1 if NEWER else 4)  # old Routers repeat anything


@pytest.mark.parametrize(
    ("process", "why"),
    [(drop_content(), "TRACE_CAPTURE=metadata"), (truncate(32), "truncate")],
    ids=["metadata", "truncated"],
)
def test_incomplete_recordings_are_refused(
    litellm: Any, lane: Lane, recorded: Any, process: Any, why: str
) -> None:
    """At the start, with the reason; or they are skipped, if that is asked for."""
    spans = recorded(ask(litellm, lane), ask(litellm, lane, seed=1))
    mixed = [process(spans[0]), spans[1]]
    with (
        pytest.raises(ConfigurationError, match=f"(?s)1 of 2 recorded calls.*{why}.*skip"),
        trace_litellm.replay(mixed),
    ):
        raise AssertionError("not refused")
    with trace_litellm.replay(mixed, incomplete="skip"):
        assert said(litellm.completion(GPT, MESSAGES, seed=1, **NOWHERE)) == TEXT
    assert litellm.completion(GPT, MESSAGES, **options(lane))


def test_calls_that_were_not_to_be_logged(litellm: Any, lane: Lane, recorded: Any) -> None:
    """LiteLLM's own switches leave nothing to replay, and the error says so."""
    spans = recorded(ask(litellm, lane, turn_off_message_logging=True))
    with (
        pytest.raises(ConfigurationError, match="turn_off_message_logging"),
        trace_litellm.replay(spans),
    ):
        raise AssertionError("not refused")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read the recording .*trace_litellm.record"),
        ("{", "line 1"),
        ('\n\n{"a": 1}', "line 3"),
        ("[]", "line 1"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: str | None, told: str) -> None:
    """The error names file and line."""
    path = tmp_path / "calls.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=told), trace_litellm.replay(path):
        raise AssertionError("was read")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: trace_litellm.replay([], match="lose"),  # type: ignore[arg-type]
        lambda: trace_litellm.replay([], ignore="seed"),
        lambda: trace_litellm.replay([{}]),  # type: ignore[list-item]
        lambda: trace_litellm.replay(7),  # type: ignore[arg-type]
    ],
)
def test_arguments_that_make_no_sense(wrong: Any) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigurationError):
        wrong()


def test_long_vectors(litellm: Any, lane: Lane, recorded: Any) -> None:
    """`autolog` does not record them: that is told, or others are made up, always the same."""
    (span,) = recorded(lambda: litellm.embedding(EMBED, ["a", "b"], **options(lane)))
    left_out = {"kind": "vector", "length": 1536, "sha256": "0" * 64}
    data = tuple({**one, "embedding": left_out} for one in span.outputs["data"])
    cut = attrs.evolve(span, outputs={**span.outputs, "data": data})
    with trace_litellm.replay([cut]), pytest.raises(NotRecorded, match='vectors="made"'):
        litellm.embedding(EMBED, ["a", "b"], **NOWHERE)
    with trace_litellm.replay([cut], vectors="made"):
        one, two = (litellm.embedding(EMBED, ["a", "b"], **NOWHERE) for _ in range(2))
    vector = one.data[0]["embedding"]
    assert len(vector) == 1536
    assert sum(x * x for x in vector) == pytest.approx(1)
    assert one.data == two.data


# -- streams ----------------------------------------------------------------------------------

STREAMS: dict[str, tuple[Scenario, dict[str, Any]]] = {
    "text": (Scenario(), {}),
    "usage": (Scenario(), INCLUDE),
    "tools": (Scenario(tool_calls=(Call("weather"), Call("weather"))), {"tools": TOOLS}),
    "reasoning": (Scenario(reasoning="I think so"), INCLUDE),
    "choices": (Scenario(), {"n": 2, **INCLUDE}),
}


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("name", STREAMS)
def test_streams_chunk_by_chunk(
    litellm: Any, lane: Lane, recorded: Any, name: str, model: str
) -> None:
    """As many chunks as there were, of the same class; put together they are the same answer."""
    script, parameters = STREAMS[name]
    if model == CLAUDE and name == "choices":
        pytest.skip("Anthropic gives one")
    if name == "reasoning" and LITELLM < (1, 65, 8):
        pytest.skip("this release knows no reasoning")
    lane.script(script)
    base = options(lane) if model == GPT else {"api_base": lane.url, "api_key": KEY}
    asked = {"stream": True, **parameters}
    live: list[Any] = []
    spans = recorded(lambda: live.extend(litellm.completion(model, MESSAGES, **asked, **base)))
    with trace_litellm.replay(spans):
        stream = litellm.completion(model, MESSAGES, **asked, **NOWHERE)
        assert isinstance(stream, litellm.CustomStreamWrapper)
        replayed = list(stream)

        async def read() -> list[Any]:
            answer = await litellm.acompletion(model, MESSAGES, **asked, **NOWHERE)
            return [chunk async for chunk in answer]

        assert len(asyncio.run(read())) == len(live)
    assert len(replayed) == len(live)
    assert {type(chunk) for chunk in replayed} == {type(chunk) for chunk in live}
    whole, before = (litellm.stream_chunk_builder(chunks) for chunks in (replayed, live))
    for one, other in zip(whole.choices, before.choices, strict=True):
        assert one.message.model_dump(exclude_none=True) == other.message.model_dump(
            exclude_none=True
        )
        assert one.finish_reason == other.finish_reason
    if "stream_options" in parameters and name != "choices":  # old releases lose the usage of two
        assert whole.usage.total_tokens == before.usage.total_tokens


def test_a_cut_stream_ends_as_it_ended(litellm: Any, lane: Lane, recorded: Any) -> None:
    """What had arrived, then the same exception; again at each replay."""
    lane.script(Scenario(cut_after=2))

    def read(**where: Any) -> tuple[str, str]:
        got: list[Any] = []
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of a class of the release's
            for chunk in litellm.completion(GPT, MESSAGES, stream=True, **where):
                got.append(chunk)  # noqa: PERF402  # to have what came before the exception
        return texts(got), f"{type(caught.value).__name__}: {caught.value}"

    seen: list[Any] = []
    spans = recorded(lambda: seen.append(read(**options(lane))))
    with trace_litellm.replay(spans):
        assert [read(**NOWHERE) for _ in range(2)] == seen * 2


def test_a_stream_that_was_left(litellm: Any, lane: Lane, recorded: Any) -> None:
    """It can be read as far as it was read before; then it says so."""

    def leave(**where: Any) -> None:
        for chunk in litellm.completion(GPT, MESSAGES, stream=True, **where):
            if texts([chunk]):
                break

    spans = recorded(lambda: leave(**options(lane)))
    with trace_litellm.replay(spans):
        leave(**NOWHERE)
        with pytest.raises(NotRecorded, match="nobody read the stream further"):
            list(litellm.completion(GPT, MESSAGES, stream=True, **NOWHERE))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_an_agents_loop(litellm: Any, lane: Lane, recorded: Any, model: str, stream: bool) -> None:
    """Replayed answers, sent back as messages, ask the recorded next question."""
    if model == CLAUDE and stream and LITELLM < (1, 65, 8):
        pytest.skip("this release cannot put a streamed tool call of Anthropic's together")
    base = options(lane) if model == GPT else {"api_base": lane.url, "api_key": KEY}

    def loop(**where: Any) -> list[Any]:
        messages: list[Any] = list(MESSAGES)
        while len(messages) < 6:
            more = len(messages) < 4
            lane.script(Scenario(tool_calls=(Call("weather"),), reasoning="hm") if more else TALK)
            answer = litellm.completion(model, messages, tools=TOOLS, stream=stream, **where)
            if stream:
                answer = litellm.stream_chunk_builder(list(answer), messages=messages)
            messages.append(answer.choices[0].message)
            calls = answer.choices[0].message.tool_calls or ()
            messages += [{"role": "tool", "tool_call_id": c.id, "content": "sun"} for c in calls]
        return [message if isinstance(message, dict) else message.content for message in messages]

    live: list[Any] = []
    spans = recorded(lambda: live.extend(loop(**base)))
    with trace_litellm.replay(spans) as replayed:
        assert loop(**NOWHERE) == live
    assert replayed.unused == ()


TALK = Scenario()


@pytest.mark.parametrize(
    "kind",
    [
        "subprocess.Popen", "openai.__main__.main", "litellm.os.system", "exec", "",
        "StopIteration", "pydantic_core._pydantic_core.ValidationError", "UnicodeDecodeError",
        "litellm.exceptions.NoLongerThere",
    ],
)  # fmt: skip
def test_errors_of_other_classes(litellm: Any, lane: Lane, recorded: Any, kind: str) -> None:
    """A file does not get to choose what is imported or called: LiteLLM's general error is raised."""
    lane.script(Scenario(status=429))

    def refused() -> None:
        with pytest.raises(litellm.RateLimitError):
            ask(litellm, lane)()

    (span,) = recorded(refused)
    (event,) = span.events
    other = attrs.evolve(event, attributes={**event.attributes, "exception.type": kind})
    with (
        trace_litellm.replay([attrs.evolve(span, events=(other,))]),
        pytest.raises(litellm.APIError) as caught,
    ):
        litellm.completion(GPT, MESSAGES, **NOWHERE)
    assert kind in str(caught.value)
    assert "scripted failure 429" in str(caught.value)


# -- tracing, threads, blocks -----------------------------------------------------------------


def codes(litellm: Any) -> list[Any]:
    names = ("completion", "acompletion", "embedding", "moderation", "rerank", "responses")
    functions = [getattr(litellm, name) for name in names if hasattr(litellm, name)]
    return [(f.__code__, dict(vars(f))) for f in functions]


@pytest.mark.parametrize("order", ["before", "inside", "across", "both ended"])
def test_replayed_calls_are_traced(litellm: Any, lane: Lane, recorded: Any, order: str) -> None:
    """In whatever order tracing and replaying begin and end; marked, and at no cost."""
    spans = recorded(ask(litellm, lane))
    clean = codes(litellm)
    sink, replayed = MemorySink(), trace_litellm.replay(spans)
    tracer = Tracer(sink)
    if order != "inside":
        tracing = trace_litellm.instrument(tracer)
    with replayed:
        if order == "inside":
            tracing = trace_litellm.instrument(tracer)
        litellm.completion(GPT, MESSAGES, **NOWHERE)
        if order in ("across", "both ended"):
            tracing.uninstrument()
            assert said(litellm.completion(GPT, MESSAGES, **NOWHERE)) == TEXT
    if order in ("before", "inside"):
        litellm.completion(GPT, MESSAGES, mock_response="live")
        tracing.uninstrument()
    assert codes(litellm) == clean
    span, *others = sink.spans
    assert span.attributes["trace.replayed"] is True
    assert span.outputs["choices"] == spans[0].outputs["choices"]
    assert span.cost.total == 0
    assert span.cost.saved == pytest.approx(spans[0].cost.total)
    assert [one.attributes.get("trace.replayed") for one in others] in ([], [None])


def test_the_hidden_parameters(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Cost, provider and ids are where programs look for them."""
    spans = recorded(ask(litellm, lane))
    with trace_litellm.replay(spans):
        answer = litellm.completion(GPT, MESSAGES, **NOWHERE)
    hidden = answer._hidden_params
    assert hidden["response_cost"] == pytest.approx(spans[0].cost.total)
    assert hidden["custom_llm_provider"] == "openai"
    assert litellm.completion_cost(answer) == pytest.approx(spans[0].cost.total)


def test_references_taken_before(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Whoever holds a function of LiteLLM's gets the recorded answer."""
    from litellm import acompletion, completion

    with trace_litellm.replay(recorded(ask(litellm, lane))):
        assert said(completion(GPT, MESSAGES, **NOWHERE)) == TEXT
        assert said(asyncio.run(acompletion(GPT, MESSAGES, **NOWHERE))) == TEXT


def test_blocks_in_blocks(litellm: Any, lane: Lane, recorded: Any) -> None:
    """The innermost is asked first, then the others; each ends by itself."""
    outer = recorded(ask(litellm, lane), ask(litellm, lane, seed=1))
    lane.script(Scenario(chunks=("inner",)))
    inner = recorded(ask(litellm, lane))
    clean = codes(litellm)
    with trace_litellm.replay(outer) as one:
        with trace_litellm.replay(inner) as two:
            assert said(litellm.completion(GPT, MESSAGES, **NOWHERE)) == "inner"
            assert said(litellm.completion(GPT, MESSAGES, seed=1, **NOWHERE)) == TEXT
            with pytest.raises(NotRecorded):
                litellm.completion(GPT, MESSAGES, seed=2, **NOWHERE)
        assert said(litellm.completion(GPT, MESSAGES, **NOWHERE)) == TEXT
    assert (len(one.missing), len(two.missing)) == (0, 1)
    assert codes(litellm) == clean


def test_blocks_beside_each_other(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Tasks and threads that entered blocks of their own get their own answers."""
    tapes = []
    for text in ("a", "b"):
        lane.script(Scenario(chunks=(text,)))
        tapes.append(recorded(ask(litellm, lane)))
    clean = codes(litellm)

    async def task(number: int) -> Any:
        with trace_litellm.replay(tapes[number]):
            await asyncio.sleep(0.01)
            return said(await litellm.acompletion(GPT, MESSAGES, **NOWHERE))

    async def main() -> list[Any]:
        return await asyncio.gather(*(task(number % 2) for number in range(10)))

    assert asyncio.run(main()) == ["a", "b"] * 5
    meet = threading.Barrier(2)

    def thread(number: int) -> Any:
        with trace_litellm.replay(tapes[number]):
            meet.wait()
            answer = said(litellm.completion(GPT, MESSAGES, **NOWHERE))
            meet.wait()
            return answer

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(thread, range(2))) == ["a", "b"]
    assert codes(litellm) == clean


def test_threads_share_the_block_around_them(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Each recorded answer is given once, however many ask at the same time."""
    calls = []
    for number in range(20):
        calls += [lambda n=number: lane.script(Scenario(chunks=(str(n),))), ask(litellm, lane)]
    with trace_litellm.replay(recorded(*calls)) as replayed, ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(litellm.completion, GPT, MESSAGES, **NOWHERE) for _ in range(20)]
        answers = sorted(int(said(job.result())) for job in jobs)
    assert answers == list(range(20))
    assert replayed.unused == ()


def test_as_a_decorator(litellm: Any, lane: Lane, recorded: Any) -> None:
    """Of functions of every kind; each call begins anew."""
    again = trace_litellm.replay(recorded(ask(litellm, lane)))
    assert isinstance(again, Replay)
    clean = codes(litellm)

    @again
    def sync(model: str) -> Any:
        return said(litellm.completion(model, MESSAGES, **NOWHERE))

    @again
    async def later(model: str) -> Any:
        return said(await litellm.acompletion(model, MESSAGES, **NOWHERE))

    @again
    def many() -> Any:
        yield sync(GPT)
        yield said(litellm.completion(GPT, MESSAGES, **NOWHERE))

    @again
    async def many_later() -> Any:
        yield said(await litellm.acompletion(GPT, MESSAGES, **NOWHERE))

    async def main() -> list[Any]:
        assert [item async for item in many_later()] == [TEXT]
        return await asyncio.gather(later(GPT), later(model=GPT))

    assert list(many()) == [TEXT, TEXT]
    with pytest.raises(ConfigurationError, match="classes"):
        again(Replay)

    assert sync(GPT) == TEXT
    assert asyncio.run(main()) == [TEXT, TEXT]
    assert sync.__name__ == "sync"
    assert codes(litellm) == clean


def test_an_error_in_the_block(litellm: Any) -> None:
    """It passes, and LiteLLM is as it was."""
    clean = codes(litellm)
    with pytest.raises(ZeroDivisionError), trace_litellm.replay([]):
        _ = 1 / 0
    assert codes(litellm) == clean


# -- recording --------------------------------------------------------------------------------


def test_recording_keeps_the_privacy_settings(
    litellm: Any, lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets never get into the file; with TRACE_CAPTURE=metadata, what was said does not."""
    path = tmp_path / "folder" / "calls.jsonl"
    secret = [{"role": "user", "content": "my key is sk-proj-zzzzk2LmQ9xTv4RsW7yNb3HfJ6dGc1"}]
    with trace_litellm.record(path):
        litellm.completion(GPT, secret, **options(lane))
    assert "zzzz" not in path.read_text()
    assert KEY not in path.read_text()
    monkeypatch.setenv("TRACE_CAPTURE", "metadata")
    with trace_litellm.record(path):
        litellm.completion(GPT, MESSAGES, **options(lane))
    (line,) = path.read_text().splitlines()
    assert "inputs" not in json.loads(line)


def test_recording_while_tracing(litellm: Any, lane: Lane, tmp_path: Path) -> None:
    """Both get the spans, and tracing goes on afterwards with the same tracer."""
    sink, path = MemorySink(), tmp_path / "calls.jsonl"
    with trace_litellm.instrument(Tracer(sink)) as tracing:
        with tracing.tracer.span("mine"), trace_litellm.record(path):
            litellm.completion(GPT, MESSAGES, **options(lane))
        litellm.completion(GPT, MESSAGES, **options(lane))
        assert trace_litellm.instrument(tracing.tracer) is tracing
        call, mine, _ = sink.spans
        assert call.parent_id == mine.span_id
        assert len(path.read_text().splitlines()) == 1
    with trace_litellm.replay(path):
        assert said(litellm.completion(GPT, MESSAGES, **NOWHERE)) == TEXT


def test_recording_that_another_tracer_ends(litellm: Any, lane: Lane, tmp_path: Path) -> None:
    """It is told at the end of the block, and the other tracer stays."""
    clean = codes(litellm)
    with (
        pytest.raises(ConfigurationError, match="before it"),
        trace_litellm.record(tmp_path / "calls.jsonl"),
    ):
        trace_litellm.autolog(MemorySink())
    assert codes(litellm) != clean
    trace_litellm.autolog(disable=True)
    assert codes(litellm) == clean


def test_recording_a_replay(tmp_path: Path) -> None:
    """It is refused: what it would record is recorded already."""
    with (
        trace_litellm.replay([]),
        pytest.raises(ConfigurationError, match="being replayed"),
        trace_litellm.record(tmp_path / "calls.jsonl"),
    ):
        raise AssertionError("recorded")


def test_long_vectors_are_recorded(litellm: Any, lane: Lane, tmp_path: Path) -> None:
    """`record` keeps what `autolog` leaves out."""
    path = tmp_path / "calls.jsonl"
    with trace_litellm.record(path):
        live = litellm.embedding(EMBED, ["a"], dimensions=600, **options(lane))
    with trace_litellm.replay(path):
        assert litellm.embedding(EMBED, ["a"], dimensions=600, **NOWHERE).data == live.data
