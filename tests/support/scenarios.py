"""Every way LiteLLM is called, and the spans each must give. One list, run with and without tracing.

A scenario makes real calls over HTTP to the loopback provider, on a lane of its own. What its
function returns is what the caller saw, made comparable: it must be the same with tracing on.
"""

# the name of a scenario says what it is

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import trace_core
from support.provider import COMPLETION_TOKENS, PROMPT_TOKENS, TEXT, Lane, Scenario, ToolCall, Usage

MESSAGES = [{"role": "user", "content": "hi"}]
KEY = "sk-PLANTED0123456789abcdefghijklmnop"
GPT = "openai/gpt-4o-mini"
LITELLM = tuple(int(part) for part in version("litellm").split(".")[:3])
IN_RUST = os.environ.get("LITELLM_RUST") == "1"
NEWER = LITELLM >= (1, 83, 14)
NEWEST = LITELLM >= (1, 108, 7)
CLAUDE = "anthropic/claude-haiku-4-5" if NEWER else "anthropic/claude-3-haiku-20240307"
FLASH = "gemini-2.5-flash" if NEWER else "gemini-2.0-flash"
GEMINI = f"gemini/{FLASH}"
"""Models that the price list of the installed release knows."""
PRICED = ... if LITELLM >= (1, 60, 9) else None
"""What Gemini costs: older releases have no price for it."""
EMBED = "openai/text-embedding-3-small"
INSTRUCT = "openai/gpt-3.5-turbo-instruct"
PRICE = 0.15e-6 * PROMPT_TOKENS + 0.6e-6 * COMPLETION_TOKENS
TOLD = (PROMPT_TOKENS, COMPLETION_TOKENS, "provider")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


ANY = object()


@dataclass(frozen=True)
class Expect:
    """One span, and those below it.

    Attributes:
        name: Its name.
        kind: Its kind.
        usage: Input and output tokens and where they come from; ``None``: no usage at all;
            `ANY`: whatever the release says.
        cost: In USD; ``None``: not known; ``...``: any, but known; `ANY`: whatever the release
            says.
        error: The error category; ``None``: the span is OK; `ANY`: it failed.
        text: What must be found in its outputs.
        attributes: Attributes it must have, among others.
        events: Names of its events, but that of an exception.
        below: The spans below it, in order of their start.
    """

    name: str
    kind: str = "LLM"
    usage: Any = TOLD
    cost: Any = PRICE
    error: str | None = None
    text: str | None = TEXT
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    below: tuple[Expect, ...] = ()


@dataclass
class World:
    """What a scenario works with.

    Attributes:
        litellm: The module.
        lane: The provider, scripted by the scenario.
        tracer: For spans around the calls; writes nowhere when tracing is off.
        fallback: A second lane.
    """

    litellm: Any
    lane: Lane
    fallback: Lane
    tracer: trace_core.Tracer

    def openai(self, **more: Any) -> dict[str, Any]:
        return {"api_base": self.lane.openai_base, "api_key": KEY, "max_retries": 0, **more}

    def other(self, **more: Any) -> dict[str, Any]:
        return {"api_base": self.fallback.openai_base, "api_key": KEY, "max_retries": 0, **more}

    def anthropic(self, **more: Any) -> dict[str, Any]:
        return {"api_base": self.lane.url, "api_key": KEY, **more}

    def gemini(self, **more: Any) -> dict[str, Any]:
        base = self.lane.gemini_base(FLASH)
        return {"api_base": base, "api_key": KEY, **more}

    def router(self, **more: Any) -> Any:
        """A Router with a failing group ``bad`` and a good one ``good``, on two lanes."""
        self.lane.script(Scenario(status=500))
        groups = [
            {"model_name": "bad", "litellm_params": {"model": GPT, **self.openai()}},
            {"model_name": "good", "litellm_params": {"model": GPT, **self.other()}},
            {"model_name": "embed", "litellm_params": {"model": EMBED, **self.other()}},
        ]
        options = {"num_retries": 0, "fallbacks": [{"bad": ["good"]}], **more}
        return self.litellm.Router(model_list=groups, **options)


@dataclass(frozen=True)
class Case:
    """A scenario.

    Attributes:
        name: Its name.
        run: Makes the calls; returns what the caller saw.
        spans: The spans at the top, in order of their start.
        script: How the provider answers.
        since: The oldest LiteLLM release that has it.
        needs: Modules that it cannot do without.
    """

    name: str
    run: Callable[[World], Any]
    spans: tuple[Expect, ...]
    script: Scenario = Scenario()
    since: tuple[int, int, int] = (1, 53, 9)
    needs: tuple[str, ...] = ()

    @property
    def runnable(self) -> bool:
        """Whether the installed release has it, and what it needs besides."""
        return self.since <= LITELLM and all(find_spec(name) for name in self.needs)


CASES: list[Case] = []


def case(
    *spans: Expect,
    script: Scenario | None = None,
    since: tuple[int, int, int] = (1, 53, 9),
    needs: tuple[str, ...] = (),
) -> Callable[[Callable[[World], Any]], Callable[[World], Any]]:
    """Register a function as a scenario."""

    def register(run: Callable[[World], Any]) -> Callable[[World], Any]:
        CASES.append(Case(run.__name__, run, spans, script or Scenario(), since, needs))
        return run

    return register


def raised(call: Callable[[], Any]) -> Any:
    """Return the exception that a call raises."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def texts(chunks: Any) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def first_text(chunks: Any) -> str:
    """Read a stream until there is text, and let go of it."""
    for chunk in chunks:
        if texts([chunk]):
            return texts([chunk])
    raise AssertionError("nothing came")


@contextmanager
def serving(litellm: Any, handler: Any) -> Iterator[None]:
    """Have a handler of the user's serve the provider ``mine``."""
    before = list(litellm.custom_provider_map)
    litellm.custom_provider_map = [{"provider": "mine", "custom_handler": handler}]
    try:
        yield
    finally:
        litellm.custom_provider_map = before


def chat(**more: Any) -> Expect:
    return Expect(f"chat {more.pop('model', GPT)}", **more)


def stream(ending: str = "completed", **more: Any) -> Expect:
    attributes = {"trace.stream.ending": ending, **more.pop("attributes", {})}
    return chat(attributes=attributes, **more)


ESTIMATED = (8, 7, "estimated")


# -- chat completions ---------------------------------------------------------------------------


@case(chat(attributes={"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}))
def completion(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, **w.openai())


@case(chat())
def acompletion(w: World) -> Any:
    return asyncio.run(w.litellm.acompletion(GPT, MESSAGES, **w.openai()))


@case(
    chat(
        attributes={
            "gen_ai.request.temperature": 0.3,
            "gen_ai.request.max_tokens": 9,
            "gen_ai.request.seed": 7,
            "gen_ai.request.stop_sequences": ("x",),
        }
    )
)
def completion_parameters(w: World) -> Any:
    return w.litellm.completion(
        model=GPT, messages=MESSAGES, temperature=0.3, max_tokens=9, seed=7, stop="x", **w.openai()
    )


@case(chat(text="weather"), script=Scenario(tool_calls=(ToolCall("weather"),)))
def completion_tools(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, tools=TOOLS, **w.openai())


@case(chat(text=" #1"))
def completion_two_choices(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, n=2, **w.openai())


@case(chat(text="I think"), script=Scenario(reasoning="I think so"), since=(1, 60, 9))
def completion_reasoning(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, **w.openai())


@case(chat(cost=...), script=Scenario(usage=Usage(cached=4)))
def completion_cached_tokens(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, **w.openai())


@case(chat(usage=(None, None, "missing"), cost=None), script=Scenario(usage=None))
def completion_without_usage(w: World) -> Any:
    return len(w.litellm.completion(GPT, MESSAGES, **w.openai()).choices)


@case(chat(model="openai/never-heard-of-it", cost=None))
def completion_unknown_model(w: World) -> Any:
    return w.litellm.completion("openai/never-heard-of-it", MESSAGES, **w.openai())


@case(chat(model="openai/priced-by-me", cost=PROMPT_TOKENS * 1e-3 + COMPLETION_TOKENS * 2e-3))
def completion_custom_price(w: World) -> Any:
    prices = {"input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3}
    return w.litellm.completion("openai/priced-by-me", MESSAGES, **prices, **w.openai())


@case(chat(model=CLAUDE, cost=..., attributes={"gen_ai.provider.name": "anthropic"}))
def completion_anthropic(w: World) -> Any:
    return w.litellm.completion(CLAUDE, MESSAGES, **w.anthropic())


@case(chat(model=GEMINI, cost=PRICED, attributes={"gen_ai.provider.name": "gcp.gemini"}))
def completion_gemini(w: World) -> Any:
    return w.litellm.completion(GEMINI, MESSAGES, **w.gemini())


@case(chat(usage=(10, 20, "provider"), cost=..., text="mocked"))
def completion_mock_response(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, mock_response="mocked")


@case(chat())
def early_reference(w: World) -> Any:
    return w.early_completion(GPT, MESSAGES, **w.openai())  # type: ignore[attr-defined]


@case(chat())
def main_module_reference(w: World) -> Any:
    return w.litellm.main.completion(GPT, MESSAGES, **w.openai())


@case(chat(attributes={"litellm.call_id": "my-own-id"}))
def own_call_id(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, litellm_call_id="my-own-id", **w.openai())


@case(
    chat(
        attributes={
            "session.id": "s1",
            "user.id": "u1",
            "trace.tags": ("a", "b"),
            "trace.metadata.team": "red",
        }
    )
)
def metadata(w: World) -> Any:
    notes = {"session_id": "s1", "tags": ["a", "b"], "team": "red"}
    return w.litellm.completion(GPT, MESSAGES, user="u1", metadata=notes, **w.openai())


@case(chat(attributes={"session.id": "s2", "user.id": "u2"}))
def inherited_attributes(w: World) -> Any:
    with trace_core.attributes(session_id="s2", user_id="u2"):
        return w.litellm.completion(GPT, MESSAGES, **w.openai())


# -- chat streams -------------------------------------------------------------------------------


@case(stream(usage=ESTIMATED, cost=..., attributes={"gen_ai.response.finish_reasons": ("stop",)}))
def stream_sync(w: World) -> Any:
    return texts(w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai()))


@case(stream(usage=ESTIMATED, cost=...))
def stream_async(w: World) -> Any:
    async def main() -> str:
        answer = await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai())
        return texts([chunk async for chunk in answer])

    return asyncio.run(main())


INCLUDE = {"stream": True, "stream_options": {"include_usage": True}}


@case(stream())
def stream_usage(w: World) -> Any:
    return texts(w.litellm.completion(GPT, MESSAGES, **INCLUDE, **w.openai()))


@case(stream())
def stream_usage_async(w: World) -> Any:
    async def main() -> str:
        answer = await w.litellm.acompletion(GPT, MESSAGES, **INCLUDE, **w.openai())
        return texts([chunk async for chunk in answer])

    return asyncio.run(main())


@case(stream(model="openai/mine"))
def stream_priced_as_another_model(w: World) -> Any:
    priced = {"model_info": {"base_model": "gpt-4o-mini"}}
    return texts(w.litellm.completion("openai/mine", MESSAGES, **priced, **INCLUDE, **w.openai()))


@case(
    stream(model="openai/o3", cost=1e-6 * PROMPT_TOKENS + 4e-6 * COMPLETION_TOKENS),
    since=(1, 106, 2),
)
def stream_service_tier(w: World) -> Any:
    tier = {"service_tier": "flex"}
    return texts(w.litellm.completion("openai/o3", MESSAGES, **tier, **INCLUDE, **w.openai()))


@case(
    stream(
        text='{"city": "Paris"}', attributes={"gen_ai.response.finish_reasons": ("tool_calls",)}
    ),
    script=Scenario(tool_calls=(ToolCall("weather"),)),
)
def stream_tools(w: World) -> Any:
    answer = w.litellm.completion(GPT, MESSAGES, tools=TOOLS, **INCLUDE, **w.openai())
    return len(list(answer))


@case(stream(text=" #1"))
def stream_two_choices(w: World) -> Any:
    return len(list(w.litellm.completion(GPT, MESSAGES, n=2, **INCLUDE, **w.openai())))


@case(stream(text="I think so"), script=Scenario(reasoning="I think so"), since=(1, 60, 9))
def stream_reasoning(w: World) -> Any:
    return texts(w.litellm.completion(GPT, MESSAGES, **INCLUDE, **w.openai()))


@case(stream(model=CLAUDE, cost=...))
def stream_anthropic(w: World) -> Any:
    return texts(w.litellm.completion(CLAUDE, MESSAGES, stream=True, **w.anthropic()))


@case(stream(model=CLAUDE, cost=...))
def stream_anthropic_usage(w: World) -> Any:
    """1.65.8 shows callers a count of the prompt that is in the first chunk only."""
    return texts(w.litellm.completion(CLAUDE, MESSAGES, **INCLUDE, **w.anthropic()))


@case(stream(model=GEMINI, cost=PRICED))
def stream_gemini(w: World) -> Any:
    return texts(w.litellm.completion(GEMINI, MESSAGES, stream=True, **w.gemini()))


@case(stream("abandoned", usage=(8, 1, "estimated"), cost=..., text="Hello"))
def stream_break(w: World) -> Any:
    seen = []
    for chunk in w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai()):
        seen.append(chunk)
        if texts(seen):
            break
    gc.collect()
    return texts(seen)


@case(
    stream(
        "abandoned", model=CLAUDE, usage=(PROMPT_TOKENS, 30, "estimated"), cost=..., text="many"
    ),
    script=Scenario(chunks=(" many",) * 40),
    since=(1, 83, 14),
)
def stream_anthropic_break(w: World) -> Any:
    """The count in the first event is not that of what has arrived."""
    answer = w.litellm.completion(CLAUDE, MESSAGES, stream=True, **w.anthropic())
    for number, _ in enumerate(answer, start=1):
        if number == 30:
            break
    del answer


@case(stream("abandoned", usage=(8, 1, "estimated"), cost=..., text="Hello"))
def stream_break_async(w: World) -> Any:
    async def main() -> str:
        seen = []
        async for chunk in await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai()):
            seen.append(chunk)
            if texts(seen):
                break
        return texts(seen)

    seen = asyncio.run(main())
    gc.collect()
    return seen


@case(stream("abandoned", usage=(None, None, "missing"), cost=None, text=None))
def stream_never_read(w: World) -> Any:
    w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai())
    gc.collect()


@case(stream("closed", usage=(8, 1, "estimated"), cost=..., text="Hello"), since=(1, 83, 14))
def stream_aclose(w: World) -> Any:
    async def main() -> str:
        answer = await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai())
        seen: list[Any] = []
        while not texts(seen):
            seen.append(await answer.__anext__())
        await answer.aclose()
        return texts(seen)

    return asyncio.run(main())


FOR_EVER = 600.0
"""Seconds that outlast any test: what is cancelled must not be over before, however busy it is."""


@case(
    stream("cancelled", error="cancelled", usage=(8, 2, "estimated"), cost=..., text="Hello from"),
    script=Scenario(stall_after=2, stall_seconds=FOR_EVER),
)
def stream_cancelled(w: World) -> Any:
    async def main() -> str:
        seen: list[Any] = []

        async def read() -> None:
            answer = await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai())
            async for chunk in answer:
                seen.append(chunk)

        task = asyncio.create_task(read())
        while texts(seen) != "Hello from":
            await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return texts(seen)
        raise AssertionError("not cancelled")

    return asyncio.run(main())


CUT_OFF = "mid_stream" if NEWER else ANY
"""The category of a stream that breaks: older releases have no class of their own for that."""


@case(
    stream("failed", error=CUT_OFF, usage=(8, 2, "estimated"), cost=..., text="Hello from"),
    script=Scenario(cut_after=2),
)
def stream_cut(w: World) -> Any:
    answer = w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai())
    return type(raised(lambda: list(answer))).__name__


@case(
    stream("failed", error="mid_stream", usage=(8, 2, "estimated"), cost=..., text="Hello from"),
    script=Scenario(cut_after=2),
    since=(1, 95, 1),
)
def stream_cut_async(w: World) -> Any:
    async def main() -> str:
        answer = await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai())
        try:
            async for _ in answer:
                pass
        except Exception as error:
            return type(error).__name__
        raise AssertionError("nothing was raised")

    return asyncio.run(main())


@case(
    stream("failed", error=CUT_OFF, usage=(8, 2, "estimated"), cost=..., text="Hello from"),
    script=Scenario(sse_error_after=2),
)
def stream_error_event(w: World) -> Any:
    answer = w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai())
    return type(raised(lambda: list(answer))).__name__


TRUNCATED = {"ending": "failed", "error": "mid_stream"} if NEWEST else {}


@case(
    stream(**TRUNCATED, usage=ESTIMATED, cost=..., text="Hello from"),
    script=Scenario(truncate_after=5),
)
def stream_truncated(w: World) -> Any:
    try:
        return texts(w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai()))
    except Exception as error:  # of releases that tell an end from a cut
        return error


@case(chat(usage=None, cost=None, error="rate_limit", text=None), script=Scenario(status=429))
def stream_refused(w: World) -> Any:
    return raised(lambda: w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai()))


@case(stream("abandoned", usage=(None, None, "missing"), cost=None, text=None))
def stream_never_read_async(w: World) -> Any:
    async def main() -> None:
        await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai())

    asyncio.run(main())
    gc.collect()


@case(stream("abandoned", usage=(8, 1, "estimated"), cost=..., text="Hello"))
def stream_reader_fails(w: World) -> Any:
    """The caller's own error, raised while it reads, is none of the stream's."""

    def read() -> None:
        for chunk in w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai()):
            if texts([chunk]):
                raise ValueError("the reader's own")

    error = raised(read)
    seen = type(error), str(error), error.__context__
    del error
    gc.collect()
    return seen


@case(stream(text=" #1"))
def stream_two_choices_async(w: World) -> Any:
    return asyncio.run(_count_chunks(w, n=2))


@case(
    stream(
        text='{"city": "Paris"}', attributes={"gen_ai.response.finish_reasons": ("tool_calls",)}
    ),
    script=Scenario(tool_calls=(ToolCall("weather"),)),
)
def stream_tools_async(w: World) -> Any:
    return asyncio.run(_count_chunks(w, tools=TOOLS))


@case(stream(text="I think so"), script=Scenario(reasoning="I think so"), since=(1, 60, 9))
def stream_reasoning_async(w: World) -> Any:
    return asyncio.run(_count_chunks(w))


async def _count_chunks(w: World, **more: Any) -> int:
    answer = await w.litellm.acompletion(GPT, MESSAGES, **INCLUDE, **more, **w.openai())
    return len([chunk async for chunk in answer])


@case(
    stream(model=CLAUDE, cost=..., text="I think so"),
    script=Scenario(reasoning="I think so"),
    since=(1, 65, 8),
)
def stream_anthropic_thinking(w: World) -> Any:
    return texts(w.litellm.completion(CLAUDE, MESSAGES, stream=True, **w.anthropic()))


@case(
    stream(model=CLAUDE, cost=..., text='{"city": "Paris"}'),
    script=Scenario(tool_calls=(ToolCall("weather"),)),
)
def stream_anthropic_tools(w: World) -> Any:
    answer = w.litellm.completion(CLAUDE, MESSAGES, stream=True, tools=TOOLS, **w.anthropic())
    return len(list(answer))


async def _read(w: World, **more: Any) -> str:
    """Read a stream to its failure, and name that."""
    try:
        answer = await w.litellm.acompletion(GPT, MESSAGES, stream=True, **more, **w.openai())
        async for _ in answer:
            pass
    except Exception as error:
        return type(error).__name__
    raise AssertionError("nothing was raised")


def unread(category: str, ending: str | None = None) -> Expect:
    """A stream that failed before anything of it was read."""
    attributes = {} if ending is None else {"trace.stream.ending": ending}
    return chat(usage=ANY, cost=ANY, error=category, text=None, attributes=attributes)


@case(unread(ANY), script=Scenario(cut_after=0))
def stream_cut_at_once(w: World) -> Any:
    def read() -> None:
        list(w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai()))

    return type(raised(read)).__name__


@case(unread(ANY), script=Scenario(cut_after=0), since=(1, 95, 1))
def stream_cut_at_once_async(w: World) -> Any:
    return asyncio.run(_read(w))


@case(chat(usage=None, cost=None, error="rate_limit", text=None), script=Scenario(status=429))
def stream_refused_async(w: World) -> Any:
    return asyncio.run(_read(w))


@case(
    stream("failed", error=CUT_OFF, usage=(8, 2, "estimated"), cost=..., text="Hello from"),
    script=Scenario(sse_error_after=2),
)
def stream_error_event_async(w: World) -> Any:
    return asyncio.run(_read(w))


STALLED = Scenario(stall_after=2, stall_seconds=6)


def timed_out() -> Expect:
    """A stream whose next chunk did not come in time: the releases call that by two names."""
    return stream("failed", error=ANY, usage=(8, 2, "estimated"), cost=..., text="Hello from")


@case(timed_out(), script=STALLED)
def stream_timeout(w: World) -> Any:
    def read() -> None:
        list(w.litellm.completion(GPT, MESSAGES, stream=True, timeout=1, **w.openai()))

    return type(raised(read)).__name__


@case(timed_out(), script=STALLED)
def stream_timeout_async(w: World) -> Any:
    return asyncio.run(_read(w, timeout=1))


@case(
    stream("cancelled", error="cancelled", usage=None, cost=None, text=None),
    script=Scenario(first_chunk_delay=FOR_EVER),
)
def stream_cancelled_before_anything_came(w: World) -> Any:
    async def main() -> str:
        answer = await w.litellm.acompletion(GPT, MESSAGES, stream=True, **w.openai())

        async def read() -> None:
            async for chunk in answer:
                assert not texts([chunk])

        task = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        raise AssertionError("not cancelled")

    return asyncio.run(main())


# -- errors -------------------------------------------------------------------------------------


def failing(category: str, status: int | None = None, **more: Any) -> Expect:
    attributes = {} if status is None else {"http.response.status_code": status}
    return chat(usage=None, cost=None, error=category, text=None, attributes=attributes, **more)


def _error_case(name: str, category: str, status: int, script: Scenario) -> None:
    def run(w: World) -> Any:
        return raised(lambda: w.litellm.completion(GPT, MESSAGES, **w.openai()))

    run.__name__ = f"error_{name}"
    case(failing(category, status), script=script)(run)


def _body(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


_error_case("500", "provider", 500, Scenario(status=500))
_error_case("429", "rate_limit", 429, Scenario(status=429, retry_after=1))
_error_case("401", "authentication", 401, Scenario(status=401))
if LITELLM >= (1, 60):  # the oldest goes by the text, which is of the SDK's release
    _error_case("404", "not_found", 404, Scenario(status=404))
_error_case("400", "invalid_request", 400, Scenario(status=400))
_error_case(
    "context_window",
    "context_window",
    400,
    Scenario(
        status=400,
        error_body=_body(
            "This model's maximum context length is 10 tokens.", "context_length_exceeded"
        ),
    ),
)


@case(failing("provider", 500), script=Scenario(status=500))
def error_async(w: World) -> Any:
    return raised(lambda: asyncio.run(w.litellm.acompletion(GPT, MESSAGES, **w.openai())))


@case(failing("timeout", 408), script=Scenario(first_chunk_delay=3))
def error_timeout(w: World) -> Any:
    return type(
        raised(lambda: w.litellm.completion(GPT, MESSAGES, timeout=0.5, **w.openai()))
    ).__name__


@case(failing("cancelled"), script=Scenario(first_chunk_delay=FOR_EVER))
def error_cancelled(w: World) -> Any:
    async def main() -> str:
        call = w.litellm.acompletion(GPT, MESSAGES, **w.openai())
        task = asyncio.create_task(call)
        while not w.lane.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        raise AssertionError("not cancelled")

    return asyncio.run(main())


@case(failing("invalid_request", 400, model="no-such-provider/x"))
def error_unknown_provider(w: World) -> Any:
    return raised(lambda: w.litellm.completion("no-such-provider/x", MESSAGES))


# -- nesting ------------------------------------------------------------------------------------


def under(*below: Expect, name: str = "parent") -> Expect:
    return Expect(name, "CHAIN", None, None, text=None, below=below)


def parent(w: World) -> Any:
    return w.tracer.span("parent", kind=trace_core.SpanKind.CHAIN)


@case(under(chat()))
def nested_sync(w: World) -> Any:
    with parent(w):
        return w.litellm.completion(GPT, MESSAGES, **w.openai())


@case(under(*[chat()] * 20))
def nested_gather(w: World) -> Any:
    async def main() -> int:
        with parent(w):
            calls = [w.litellm.acompletion(GPT, MESSAGES, **w.openai()) for _ in range(20)]
            return len(await asyncio.gather(*calls))

    return asyncio.run(main())


@case(under(chat(), chat()))
def nested_threads(w: World) -> Any:
    with parent(w), ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(
                contextvars.copy_context().run,
                lambda: w.litellm.completion(GPT, MESSAGES, **w.openai()),
            )
            for _ in range(2)
        ]
        return [job.result() for job in jobs]


@case(chat(), chat())
def bare_threads(w: World) -> Any:
    def call() -> None:
        w.litellm.completion(GPT, MESSAGES, **w.openai())

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@case(under(stream(usage=ESTIMATED, cost=...), chat()))
def nested_call_between_chunks(w: World) -> Any:
    """A call made while a stream is read is the stream's sibling, not its child."""
    with parent(w):
        answer = w.litellm.completion(GPT, MESSAGES, stream=True, **w.openai())
        next(answer)
        w.litellm.completion(GPT, MESSAGES, **w.openai())
        return texts(answer)


@case(
    Expect(
        "chat mine/x",
        usage=(None, None, "missing"),
        cost=None,
        text="wrapped",
        below=(chat(),),
    ),
)
def custom_handler_calls_litellm(w: World) -> Any:
    litellm = w.litellm

    class Mine(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def completion(self, *args: Any, **kwargs: Any) -> Any:
            litellm.completion(GPT, MESSAGES, **w.openai())
            answer = litellm.ModelResponse(model="x")
            answer.choices[0].message.content = "wrapped"
            return answer

    with serving(litellm, Mine()):
        return litellm.completion("mine/x", MESSAGES).choices[0].message.content


EMPTY_CHUNK = {"is_finished": False, "finish_reason": "", "usage": None, "index": 0}


@case(
    stream(
        "abandoned",
        model="mine/x",
        usage=ANY,
        cost=ANY,
        text="Hello",
        below=(stream("abandoned", usage=(8, 1, "estimated"), cost=..., text="Hello"),),
    ),
)
def custom_handler_streams_litellm(w: World) -> Any:
    """Broken off, the stream below is over too, though the handler has not let go of it."""
    litellm = w.litellm
    kept = w.kept = []  # type: ignore[attr-defined]

    class Mine(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def streaming(self, *args: Any, **kwargs: Any) -> Any:
            kept.append(litellm.completion(GPT, MESSAGES, stream=True, **w.openai()))
            return ({**EMPTY_CHUNK, "text": texts([chunk])} for chunk in kept[0])

    with serving(litellm, Mine()):
        return first_text(litellm.completion("mine/x", MESSAGES, stream=True))


@case(
    stream(
        "abandoned",
        model="mine/x",
        usage=ANY,
        cost=ANY,
        text="Hello",
        below=(stream("abandoned", usage=(8, 1, "estimated"), cost=..., text="Hello"),),
    ),
)
def custom_handler_calls_as_it_streams(w: World) -> Any:
    """A handler that is a generator makes its call when the first chunk is asked for."""
    litellm = w.litellm

    class Mine(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def streaming(self, *args: Any, **kwargs: Any) -> Any:
            for chunk in litellm.completion(GPT, MESSAGES, stream=True, **w.openai()):
                yield {**EMPTY_CHUNK, "text": texts([chunk])}

    with serving(litellm, Mine()):
        return first_text(litellm.completion("mine/x", MESSAGES, stream=True))


# -- retries, fallbacks, batches ----------------------------------------------------------------


def attempts(*below: Expect, name: str = f"chat {GPT}", error: str | None = None) -> Expect:
    text = None if error else TEXT
    return Expect(name, "CHAIN", None, None, error, text, below=below)


def attempt(number: int, **more: Any) -> Expect:
    return chat(attributes={"trace.attempt": number}, **more)


def failed(number: int, category: str = "provider") -> Expect:
    return attempt(number, usage=None, cost=None, error=category, text=None)


def claude_attempt(number: int, **more: Any) -> Expect:
    return attempt(number, model=CLAUDE, **{"cost": ..., **more})


def claude_failed(number: int) -> Expect:
    return claude_attempt(number, usage=None, cost=None, error="provider", text=None)


RETRIED = attempts(claude_failed(1), claude_failed(2), claude_attempt(3), name=f"chat {CLAUDE}")


@case(RETRIED, script=Scenario(status=500, fail_times=2))
def retries(w: World) -> Any:
    """With Anthropic, because for OpenAI ``num_retries`` also goes to the SDK, unseen."""
    return w.litellm.completion(CLAUDE, MESSAGES, num_retries=3, **w.anthropic())


@case(RETRIED, script=Scenario(status=500, fail_times=2), since=(1, 75, 8))
def retries_async(w: World) -> Any:
    call = w.litellm.acompletion(CLAUDE, MESSAGES, num_retries=3, **w.anthropic())
    return asyncio.run(call)


@case(
    attempts(
        *(claude_failed(number) for number in (1, 2, 3)),
        name=f"chat {CLAUDE}",
        error="provider",
    ),
    script=Scenario(status=500),
)
def retries_in_vain(w: World) -> Any:
    return raised(lambda: w.litellm.completion(CLAUDE, MESSAGES, num_retries=2, **w.anthropic()))


def sent_again(times: int, **more: Any) -> Expect:
    """A call whose request the OpenAI SDK sends again by itself."""
    attributes = {"litellm.sdk_retries": times, "litellm.requests": 1, **more.pop("attributes", {})}
    return chat(attributes=attributes, events=("litellm.sdk_retry",) * times, **more)


BUSY = Scenario(status=500, fail_times=2, retry_after=0.01)


@case(sent_again(2), script=BUSY)
def sdk_retries(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, **w.openai(max_retries=2))


@case(sent_again(2), script=BUSY)
def sdk_retries_async(w: World) -> Any:
    return asyncio.run(w.litellm.acompletion(GPT, MESSAGES, **w.openai(max_retries=2)))


@case(
    sent_again(1, usage=None, cost=None, error="rate_limit", text=None),
    script=Scenario(status=429, retry_after=0.01),
)
def sdk_retries_in_vain(w: World) -> Any:
    return raised(lambda: w.litellm.completion(GPT, MESSAGES, **w.openai(max_retries=1)))


@case(sent_again(1), script=Scenario(cut_after=0, fail_times=1))
def sdk_retry_of_a_cut(w: World) -> Any:
    return w.litellm.completion(GPT, MESSAGES, **w.openai(max_retries=1))


@case(
    attempts(
        sent_again(
            2, usage=None, cost=None, error="provider", text=None, attributes={"trace.attempt": 1}
        ),
        failed(2),
        attempt(3),
    ),
    script=Scenario(status=500, fail_times=4, retry_after=0.01),
    since=(1, 60, 9),
)
def sdk_retries_in_retries(w: World) -> Any:
    """LiteLLM hands ``num_retries`` on to the SDK too, but only in its first attempt."""
    return w.litellm.completion(GPT, MESSAGES, num_retries=2, **w.openai(max_retries=1))


@case(
    attempts(failed(1), attempt(2)),
    since=(1, 60, 9),
)
def fallbacks(w: World) -> Any:
    w.lane.script(Scenario(status=500, fail_times=1))
    return w.litellm.completion(GPT, MESSAGES, fallbacks=[GPT], **w.openai())


@case(attempts(failed(1), attempt(2)), since=(1, 65, 8))
def fallbacks_async(w: World) -> Any:
    w.lane.script(Scenario(status=500, fail_times=1))
    return asyncio.run(w.litellm.acompletion(GPT, MESSAGES, fallbacks=[GPT], **w.openai()))


@case(attempts(failed(1), attempt(2)), since=(1, 60, 9))
def fallbacks_inside_a_loop(w: World) -> Any:
    w.lane.script(Scenario(status=500, fail_times=1))

    async def main() -> Any:
        return w.litellm.completion(GPT, MESSAGES, fallbacks=[GPT], **w.openai())

    return asyncio.run(main())


@case(
    Expect("batch_completion " + GPT, "CHAIN", None, None, below=(chat(), chat())),
)
def batch(w: World) -> Any:
    return w.litellm.batch_completion(GPT, [MESSAGES, list(MESSAGES)], **w.openai())


@case(
    Expect(
        "batch_completion_models_all_responses",
        "CHAIN",
        None,
        None,
        below=(chat(), chat(model="openai/gpt-4o", cost=...)),
    ),
)
def batch_models(w: World) -> Any:
    models = [GPT, "openai/gpt-4o"]
    answers = w.litellm.batch_completion_models_all_responses(
        models=models, messages=MESSAGES, **w.openai()
    )
    return len(answers)


@case(failing("authentication", 401))
def error_of_the_callers_making(w: World) -> Any:
    """What LiteLLM raises arrives as the very object, whoever made it."""
    error = w.litellm.AuthenticationError("mine", "openai", "gpt-4o-mini")
    caught = raised(lambda: w.litellm.completion(GPT, MESSAGES, mock_response=error))
    return caught is error, caught


@case(failing("provider", 500), script=Scenario(status=500))
def error_while_another_is_handled(w: World) -> Any:
    """The caller's own exception stays in the chain."""
    try:
        raise KeyError("the caller's own")
    except KeyError:
        return raised(lambda: w.litellm.completion(GPT, MESSAGES, **w.openai()))


# -- Router -------------------------------------------------------------------------------------


def routed(*below: Expect, group: str = "bad", **more: Any) -> Expect:
    return Expect(f"router {group}", "CHAIN", None, None, below=below, **more)


def deployed(number: int, **more: Any) -> Expect:
    attributes = {
        "trace.attempt": number,
        "litellm.router.model_group": "bad" if number == 1 else "good",
        "litellm.router.deployment": GPT,
    }
    return chat(attributes=attributes, **more)


FELL_BACK = (
    deployed(1, usage=None, cost=None, error="provider", text=None),
    deployed(2),
)


@case(routed(*FELL_BACK))
def router(w: World) -> Any:
    return w.router().completion("bad", MESSAGES)


@case(routed(*FELL_BACK))
def router_async(w: World) -> Any:
    return asyncio.run(w.router().acompletion("bad", MESSAGES))


@case(routed(*FELL_BACK), since=(1, 60, 9))
def router_inside_a_loop(w: World) -> Any:
    async def main() -> Any:
        return w.router().completion("bad", MESSAGES)

    return asyncio.run(main())


STREAMED = (
    deployed(1, usage=None, cost=None, error="provider", text=None),
    deployed(2, usage=ESTIMATED, cost=...),
)


@case(routed(*STREAMED))
def router_stream(w: World) -> Any:
    return texts(w.router().completion("bad", MESSAGES, stream=True))


@case(routed(*STREAMED))
def router_stream_async(w: World) -> Any:
    async def main() -> str:
        answer = await w.router().acompletion("bad", MESSAGES, stream=True)
        return texts([chunk async for chunk in answer])

    return asyncio.run(main())


PRICED_APART = Expect(
    "chat openai/priced", cost=PROMPT_TOKENS * 1e-3 + COMPLETION_TOKENS * 2e-3,
    attributes={"trace.stream.ending": "completed"},
)  # fmt: skip


@case(routed(PRICED_APART, group="priced"))
def router_stream_priced_by_deployment(w: World) -> Any:
    prices = {"input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3}
    mine = {"model_name": "priced", "litellm_params": {"model": "openai/priced", **w.other()}}
    router = w.litellm.Router(model_list=[{**mine, "model_info": prices}])
    return texts(router.completion("priced", MESSAGES, **INCLUDE))


EMBEDDED = Expect(
    f"embeddings {EMBED}", "EMBEDDING", (PROMPT_TOKENS, 0, "provider"), 2e-8 * PROMPT_TOKENS,
    text="0.125",
)  # fmt: skip


@case(routed(EMBEDDED, group="embed", text="0.125"))
def router_embedding(w: World) -> Any:
    return w.router().embedding("embed", ["a"])


@case(routed(EMBEDDED, group="embed", text="0.125"))
def router_embedding_async(w: World) -> Any:
    return asyncio.run(w.router().aembedding("embed", ["a"]))


@case(routed(Expect(f"responses {GPT}"), group="good"), since=(1, 65, 8))
def router_responses(w: World) -> Any:
    return w.router().responses(model="good", input="hi")


@case(routed(Expect(f"responses {GPT}"), group="good"), since=(1, 65, 8))
def router_responses_async(w: World) -> Any:
    return asyncio.run(w.router().aresponses(model="good", input="hi"))


@case(
    routed(
        Expect(f"messages {CLAUDE}", cost=..., attributes={"litellm.router.deployment": CLAUDE}),
        group="claude",
    ),
    since=(1, 65, 8),
)
def router_messages(w: World) -> Any:
    group = {"model_name": "claude", "litellm_params": {"model": CLAUDE, **w.anthropic()}}
    router = w.litellm.Router(model_list=[group])
    return asyncio.run(router.aanthropic_messages(model="claude", messages=MESSAGES, max_tokens=5))


@case(routed(*FELL_BACK), since=(1, 60, 9))
def router_built_before(w: World) -> Any:
    return w.early_router.completion("bad", MESSAGES)  # type: ignore[attr-defined]


@case(
    routed(
        deployed(1, usage=None, cost=None, error="provider", text=None),
        deployed(2, usage=(8, 1, "estimated"), cost=..., text="Hello"),
        text="Hello",
    ),
    since=(1, 60, 9),
)
def router_stream_break_async(w: World) -> Any:
    async def main() -> str:
        seen = []
        async for chunk in await w.router().acompletion("bad", MESSAGES, stream=True):
            seen.append(chunk)
            if texts(seen):
                break
        return texts(seen)

    seen = asyncio.run(main())
    gc.collect()
    return seen


# -- text completions and embeddings ------------------------------------------------------------

INSTRUCTED = 1.5e-6 * PROMPT_TOKENS + 2e-6 * COMPLETION_TOKENS


@case(Expect(f"text_completion {INSTRUCT}", cost=INSTRUCTED))
def text_completion(w: World) -> Any:
    return w.litellm.text_completion(model=INSTRUCT, prompt="hi", **w.openai())


@case(Expect(f"text_completion {INSTRUCT}", cost=INSTRUCTED))
def text_completion_async(w: World) -> Any:
    return asyncio.run(w.litellm.atext_completion(model=INSTRUCT, prompt="hi", **w.openai()))


@case(
    Expect(
        f"text_completion {INSTRUCT}",
        usage=(1, 7, "estimated"),
        cost=...,
        attributes={"trace.stream.ending": "completed"},
    )
)
def text_completion_stream(w: World) -> Any:
    answer = w.litellm.text_completion(model=INSTRUCT, prompt="hi", stream=True, **w.openai())
    return "".join(c.choices[0].text or "" for c in answer)


@case(
    Expect(
        f"text_completion {INSTRUCT}",
        usage=(1, 7, "estimated"),
        cost=...,
        attributes={"trace.stream.ending": "completed"},
    )
)
def text_completion_stream_async(w: World) -> Any:
    async def main() -> str:
        answer = await w.litellm.atext_completion(
            model=INSTRUCT, prompt="hi", stream=True, **w.openai()
        )
        return "".join([c.choices[0].text or "" async for c in answer])

    return asyncio.run(main())


@case(Expect(f"text_completion {CLAUDE}", cost=...))
def text_completion_over_chat(w: World) -> Any:
    return w.litellm.text_completion(model=CLAUDE, prompt="hi", **w.anthropic())


@case(EMBEDDED)
def embedding(w: World) -> Any:
    return w.litellm.embedding(EMBED, ["a", "b"], **w.openai())


@case(EMBEDDED)
def embedding_async(w: World) -> Any:
    return asyncio.run(w.litellm.aembedding(EMBED, ["a", "b"], **w.openai()))


@case(
    Expect(f"embeddings {EMBED}", "EMBEDDING", None, None, "invalid_request", None),
    script=Scenario(status=400),  # 500 would be tried again, whatever the max_retries, in 1.65
)
def embedding_error(w: World) -> Any:
    return raised(lambda: w.litellm.embedding(EMBED, ["a"], **w.openai()))


# -- Responses ----------------------------------------------------------------------------------

RESPONDED = Expect(f"responses {GPT}")


@case(RESPONDED, since=(1, 65, 8))
def responses(w: World) -> Any:
    return w.litellm.responses(model=GPT, input="hi", **w.openai())


@case(RESPONDED, since=(1, 65, 8))
def responses_async(w: World) -> Any:
    return asyncio.run(w.litellm.aresponses(model=GPT, input="hi", **w.openai()))


@case(RESPONDED, since=(1, 65, 8))
def responses_stream(w: World) -> Any:
    answer = w.litellm.responses(model=GPT, input="hi", stream=True, **w.openai())
    return len(list(answer))


@case(RESPONDED, since=(1, 65, 8))
def responses_stream_async(w: World) -> Any:
    async def main() -> int:
        answer = await w.litellm.aresponses(model=GPT, input="hi", stream=True, **w.openai())
        return len([event async for event in answer])

    return asyncio.run(main())


@case(
    Expect(
        f"responses {GPT}",
        usage=(1, 1, "estimated"),
        cost=...,
        text="Hello",
        attributes={"trace.stream.ending": "abandoned"},
    ),
    since=(1, 65, 8),
)
def responses_stream_break(w: World) -> Any:
    answer = w.litellm.responses(model=GPT, input="hi", stream=True, **w.openai())
    for event in answer:
        if getattr(event, "delta", None):
            break
    del answer
    gc.collect()


@case(Expect(f"responses {CLAUDE}", cost=...), since=(1, 70, 4))
def responses_over_chat(w: World) -> Any:
    return w.litellm.responses(model=CLAUDE, input="hi", **w.anthropic()).output[0].type


@case(Expect(f"responses {CLAUDE}", cost=...), since=(1, 70, 4))
def responses_over_chat_stream(w: World) -> Any:
    answer = w.litellm.responses(model=CLAUDE, input="hi", stream=True, **w.anthropic())
    return len(list(answer)) > 0


MISTRAL = "mistral/mistral-small-latest"


@case(Expect(f"responses {MISTRAL}", usage=ESTIMATED, cost=...), since=(1, 70, 4))
def responses_over_chat_stream_without_usage(w: World) -> Any:
    """The provider tells no usage; what the caller gets is LiteLLM's own count."""
    answer = w.litellm.responses(model=MISTRAL, input="hi", stream=True, **bare(w))
    return len(list(answer)) > 0


@case(
    Expect(f"responses {MISTRAL}", usage=(None, None, "missing"), cost=None),
    script=Scenario(usage=None),
    since=(1, 70, 4),
)
def responses_over_chat_without_usage(w: World) -> Any:
    return w.litellm.responses(model=MISTRAL, input="hi", **bare(w)).output[0].type


@case(Expect("chat openai/responses/gpt-4o-mini", cost=...), since=(1, 65, 8))
def chat_over_responses(w: World) -> Any:
    answer = w.litellm.completion("openai/responses/gpt-4o-mini", MESSAGES, **w.openai())
    return answer.choices[0].message.content


@case(
    Expect(f"responses {GPT}", usage=None, cost=None, error="provider", text=None),
    script=Scenario(status=500),
    since=(1, 65, 8),
)
def responses_error(w: World) -> Any:
    return raised(lambda: w.litellm.responses(model=GPT, input="hi", **w.openai()))


# -- Anthropic messages -------------------------------------------------------------------------

SAID = Expect(f"messages {CLAUDE}", cost=...)


@case(SAID, since=(1, 65, 8))
def messages(w: World) -> Any:
    return asyncio.run(
        w.litellm.anthropic_messages(
            model=CLAUDE, messages=MESSAGES, max_tokens=10, **w.anthropic()
        )
    )


@case(SAID, since=(1, 65, 8))
def messages_interface(w: World) -> Any:
    return asyncio.run(
        w.litellm.anthropic.messages.acreate(
            model=CLAUDE, messages=MESSAGES, max_tokens=10, **w.anthropic()
        )
    )


@case(
    Expect(
        "messages openai/gpt-4o-mini",
        cost=...,
    ),
    since=(1, 75, 8),
)
def messages_over_openai(w: World) -> Any:
    answer = asyncio.run(
        w.litellm.anthropic_messages(model=GPT, messages=MESSAGES, max_tokens=10, **w.openai())
    )
    return len(answer["content"])  # dictionaries, or objects in 1.80


@case(
    Expect("messages " + CLAUDE, usage=None, cost=None, error="provider", text=None),
    script=Scenario(status=500),
    since=(1, 65, 8),
)
def messages_error(w: World) -> Any:
    return raised(
        lambda: asyncio.run(
            w.litellm.anthropic_messages(
                model=CLAUDE, messages=MESSAGES, max_tokens=10, **w.anthropic()
            )
        )
    )


# -- what needs LiteLLM's proxy extra: its own imports do -----------------------------------------

PROXY = ("backoff", "fastapi", "orjson", "redis", "soundfile")


@case(
    Expect(f"messages {CLAUDE}", cost=..., attributes={"trace.stream.ending": "completed"}),
    script=Scenario(split_bytes=37),
    since=(1, 65, 8),
    needs=PROXY,
)
def messages_stream(w: World) -> Any:
    """The events arrive cut anywhere."""

    async def main() -> int:
        answer = await w.litellm.anthropic_messages(
            model=CLAUDE, messages=MESSAGES, max_tokens=10, stream=True, **w.anthropic()
        )
        return len(b"".join([chunk async for chunk in answer])) > 0

    return asyncio.run(main())


@case(
    Expect(f"messages {GPT}", cost=..., attributes={"trace.stream.ending": "completed"}),
    since=(1, 75, 8),
    needs=PROXY,
)
def messages_stream_over_responses(w: World) -> Any:
    return asyncio.run(_messages_streamed(w, GPT, w.openai()))


@case(
    Expect(
        f"messages {MISTRAL}",
        usage=ESTIMATED,
        cost=...,
        attributes={"trace.stream.ending": "completed"},
    ),
    since=(1, 75, 8),
    needs=PROXY,
)
def messages_stream_over_chat(w: World) -> Any:
    return asyncio.run(_messages_streamed(w, MISTRAL, bare(w)))


async def _messages_streamed(w: World, model: str, options: dict[str, Any]) -> bool:
    answer = await w.litellm.anthropic_messages(
        model=model, messages=MESSAGES, max_tokens=10, stream=True, **options
    )
    return len([chunk async for chunk in answer]) > 0


@case(
    Expect(
        f"messages {CLAUDE}",
        usage=ANY,
        cost=ANY,
        error="unavailable",
        text="Hello from",
        attributes={"trace.stream.ending": "completed", "error.type": "overloaded_error"},
    ),
    script=Scenario(sse_error_after=2),
    since=(1, 106, 2),
    needs=PROXY,
)
def messages_stream_error_event(w: World) -> Any:
    """The caller gets the event; nothing is raised."""
    return asyncio.run(_messages_streamed(w, CLAUDE, w.anthropic()))


@case(
    Expect(f"messages {CLAUDE}", cost=..., text="I think so"),
    script=Scenario(split_bytes=11, reasoning="I think so", tool_calls=(ToolCall("weather"),)),
    since=(1, 65, 8),
    needs=PROXY,
)
def messages_stream_thinking_and_tools(w: World) -> Any:
    return asyncio.run(_messages_streamed(w, CLAUDE, w.anthropic()))


@case(
    Expect(
        f"messages {CLAUDE}",
        usage=ANY,
        cost=ANY,
        error="cancelled",
        text="Hello",
        attributes={"trace.stream.ending": "cancelled"},
    ),
    script=Scenario(split_bytes=37, stall_after=2, stall_seconds=FOR_EVER),
    since=(1, 104, 5) if IN_RUST else (1, 65, 8),  # before, a stream in Rust comes all at once
    needs=PROXY,
)
def messages_stream_cancelled(w: World) -> Any:
    async def main() -> str:
        seen: list[bytes] = []

        async def read() -> None:
            answer = await w.litellm.anthropic_messages(
                model=CLAUDE, messages=MESSAGES, max_tokens=10, stream=True, **w.anthropic()
            )
            async for chunk in answer:
                seen.append(chunk)

        task = asyncio.create_task(read())
        while b"Hello" not in b"".join(seen) and not task.done():
            await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        raise AssertionError("not cancelled")

    return asyncio.run(main())


CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
GENERATED = Expect(f"generate_content {GEMINI}", cost=...)
GOOGLE = PROXY if LITELLM >= (1, 80, 17) else (*PROXY, "google")
"""Before 1.80 LiteLLM wants Google's own SDK as well."""


@case(GENERATED, since=(1, 75, 8), needs=GOOGLE)
def google(w: World) -> Any:
    from litellm.google_genai import generate_content

    return type(generate_content(model=GEMINI, contents=CONTENTS, **w.gemini())).__name__


@case(GENERATED, since=(1, 75, 8), needs=GOOGLE)
def google_async(w: World) -> Any:
    from litellm.google_genai import agenerate_content

    call = agenerate_content(model=GEMINI, contents=CONTENTS, **w.gemini())
    return type(asyncio.run(call)).__name__


@case(GENERATED, since=(1, 75, 8), needs=GOOGLE)
def google_stream(w: World) -> Any:
    from litellm.google_genai import generate_content_stream

    answer = generate_content_stream(model=GEMINI, contents=CONTENTS, **w.gemini())
    return len(list(answer)) > 0


@case(Expect(f"generate_content {GPT}"), since=(1, 75, 8), needs=PROXY)
def google_over_chat(w: World) -> Any:
    from litellm.google_genai import agenerate_content

    call = agenerate_content(model=GPT, contents=CONTENTS, **w.openai())
    return type(asyncio.run(call)).__name__


@case(
    Expect(f"generate_content {GPT}", usage=TOLD if NEWEST else (1, 7, "estimated"), cost=...),
    since=(1, 75, 8),
    needs=PROXY,
)
def google_stream_over_chat(w: World) -> Any:
    from litellm.google_genai import agenerate_content_stream

    async def main() -> bool:
        answer = await agenerate_content_stream(model=GPT, contents=CONTENTS, **w.openai())
        return len([chunk async for chunk in answer]) > 0

    return asyncio.run(main())


@case(
    chat(attributes={"trace.cache_hit": False}),
    chat(cost=0.0, attributes={"trace.cache_hit": True, "gen_ai.provider.name": "openai"}),
    since=(1, 65, 8),
    needs=PROXY,
)
def cache_hit(w: World) -> Any:
    litellm = w.litellm
    litellm.cache = litellm.Cache(type="local")
    try:
        return [litellm.completion(GPT, MESSAGES, **w.openai()) for _ in range(2)]
    finally:
        litellm.cache = None


# -- images, audio, moderation, rerank ----------------------------------------------------------


def other(name: str, kind: str, **more: Any) -> Expect:
    options = {"usage": (None, None, "missing"), "cost": None, "text": None, **more}
    return Expect(name, kind, **options)


IMAGED = other("image_generation openai/dall-e-3", "IMAGE", cost=ANY, usage=ANY)
READS_IMAGES = (1, 75, 8)
"""Older releases cannot read what the OpenAI SDK returns by now."""


@case(IMAGED, since=READS_IMAGES)
def image(w: World) -> Any:
    return w.litellm.image_generation(model="openai/dall-e-3", prompt="hi", **w.openai())


@case(IMAGED, since=READS_IMAGES)
def image_async(w: World) -> Any:
    return asyncio.run(
        w.litellm.aimage_generation(model="openai/dall-e-3", prompt="hi", **w.openai())
    )


@case(other("transcription openai/whisper-1", "AUDIO", cost=ANY, usage=ANY))
def transcription(w: World) -> Any:
    audio = ("a.mp3", b"not really audio")
    return w.litellm.transcription(model="openai/whisper-1", file=audio, **w.openai())


@case(other("transcription openai/whisper-1", "AUDIO", cost=ANY, usage=ANY))
def transcription_async(w: World) -> Any:
    audio = ("a.mp3", b"not really audio")
    return asyncio.run(w.litellm.atranscription(model="openai/whisper-1", file=audio, **w.openai()))


@case(other("speech openai/tts-1", "AUDIO", cost=ANY, usage=ANY))
def speech(w: World) -> Any:
    answer = w.litellm.speech(model="openai/tts-1", input="hi", voice="alloy", **w.openai())
    return len(answer.content)


@case(other("speech openai/tts-1", "AUDIO", cost=ANY, usage=ANY))
def speech_async(w: World) -> Any:
    answer = asyncio.run(
        w.litellm.aspeech(model="openai/tts-1", input="hi", voice="alloy", **w.openai())
    )
    return len(answer.content)


MODERATED = other("moderation omni-moderation-latest", "MODERATION", text="categories")


@case(MODERATED, since=(1, 80, 17))  # until then LiteLLM asks OpenAI, whatever the api_base
def moderation(w: World) -> Any:
    return w.litellm.moderation(input="hi", model="omni-moderation-latest", **bare(w))


@case(MODERATED, since=(1, 80, 17))
def moderation_async(w: World) -> Any:
    return asyncio.run(w.litellm.amoderation(input="hi", model="omni-moderation-latest", **bare(w)))


def bare(w: World) -> dict[str, Any]:
    return {"api_base": w.lane.openai_base, "api_key": KEY}


@case(other("realtime.calls openai/gpt-realtime", "LLM", cost=ANY), since=(1, 83, 14))
def realtime_call(w: World) -> Any:
    call = w.litellm.arealtime_calls(
        model="openai/gpt-realtime",
        openai_ephemeral_key=KEY,
        sdp_body=b"v=0\r\n",
        api_base=w.lane.url,
    )
    return asyncio.run(call).content


RERANKED = other("rerank cohere/rerank-v3.5", "RERANKER", cost=ANY, text="0.875")


def rerank_options(w: World) -> dict[str, Any]:
    return {
        "model": "cohere/rerank-v3.5",
        "query": "q",
        "documents": ["a", "b"],
        "api_base": f"{w.lane.openai_base}/rerank",
        "api_key": KEY,
    }


@case(RERANKED)
def rerank(w: World) -> Any:
    return w.litellm.rerank(**rerank_options(w))


@case(RERANKED, since=(1, 65, 8))  # before, the second event loop gets the first one's client
def rerank_async(w: World) -> Any:
    return asyncio.run(w.litellm.arerank(**rerank_options(w)))


READ = other("ocr mistral/mistral-ocr-latest", "TOOL", cost=ANY, text=TEXT)


def ocr_options(w: World) -> dict[str, Any]:
    document = {"type": "document_url", "document_url": "https://documents.invalid/1.pdf"}
    return {"model": "mistral/mistral-ocr-latest", "document": document, **bare(w)}


@case(READ, since=(1, 83, 14))  # from 1.104 on LiteLLM does this in Rust alone
def ocr(w: World) -> Any:
    return w.litellm.ocr(**ocr_options(w))


@case(READ, since=(1, 83, 14))
def ocr_async(w: World) -> Any:
    return asyncio.run(w.litellm.aocr(**ocr_options(w)))


# -- what is asked for now and then -------------------------------------------------------------


def asked(name: str, text: str | None = "list", **more: Any) -> Expect:
    return other(name, more.pop("kind", "INTERNAL"), text=text, **more)


OF_OPENAI = "openai"


@case(asked("assistants.get_assistants"))
def assistants(w: World) -> Any:
    return len(w.litellm.get_assistants(OF_OPENAI, **bare(w)).data)


@case(asked("assistants.get_assistants"))
def assistants_async(w: World) -> Any:
    return len(asyncio.run(w.litellm.aget_assistants(OF_OPENAI, **bare(w))).data)


@case(asked("assistants.create_thread", "thread_1"), asked("assistants.run_thread", "run_1"))
def assistants_run(w: World) -> Any:
    thread = w.litellm.create_thread(custom_llm_provider=OF_OPENAI, **bare(w))
    run = w.litellm.run_thread(OF_OPENAI, thread.id, "asst_1", **bare(w))
    return thread.id, run.id


@case(asked("assistants.run_thread", "run_1"))
def assistants_run_async(w: World) -> Any:
    run = asyncio.run(w.litellm.arun_thread(OF_OPENAI, "thread_1", "asst_1", **bare(w)))
    return run.id


@case(asked("fine_tuning.list_fine_tuning_jobs"))
def fine_tuning_jobs(w: World) -> Any:
    return len(w.litellm.list_fine_tuning_jobs(**bare(w)).data)


@case(asked("fine_tuning.list_fine_tuning_jobs"))
def fine_tuning_jobs_async(w: World) -> Any:
    return len(asyncio.run(w.litellm.alist_fine_tuning_jobs(**bare(w))).data)


@case(asked("batches.cancel_batch", "batch_1"), since=(1, 60, 9))
def batch_cancelled(w: World) -> Any:
    return w.litellm.cancel_batch(batch_id="batch_1", **bare(w)).id


@case(asked("batches.cancel_batch", "batch_1"), since=(1, 60, 9))
def batch_cancelled_async(w: World) -> Any:
    return asyncio.run(w.litellm.acancel_batch(batch_id="batch_1", **bare(w))).id


@case(asked("count_tokens " + CLAUDE, "11"), since=(1, 106, 2))
def count_tokens(w: World) -> Any:
    call = w.litellm.acount_tokens(model=CLAUDE, messages=MESSAGES, **w.anthropic())
    return asyncio.run(call).total_tokens


@case(
    asked("vector_store_search", TEXT, kind="RETRIEVER", cost=ANY),
    since=(1, 75, 8),
)
def vector_store_search(w: World) -> Any:
    from litellm.vector_stores import search

    return search(vector_store_id="vs_1", query="q", custom_llm_provider=OF_OPENAI, **bare(w))[
        "data"
    ][0]["score"]


@case(asked("search", TEXT, kind="RETRIEVER", cost=ANY), since=(1, 80, 17))
def search(w: World) -> Any:
    found = w.litellm.search(query="q", search_provider="tavily", **bare(w))
    return found.results[0].snippet


@case(
    Expect(
        "run_tool_loop " + GPT,
        "AGENT",
        None,
        None,
        below=(chat(attributes={"trace.attempt": 1}),),
    ),
    since=(1, 106, 2),
)
def tool_loop(w: World) -> Any:
    return w.litellm.run_tool_loop(
        model=GPT, messages=MESSAGES, tools=TOOLS, execute_tool=print, **w.openai()
    )


@case(
    Expect("arun_tool_loop " + GPT, "AGENT", None, None, below=(chat(),)),
    since=(1, 106, 2),
)
def tool_loop_async(w: World) -> Any:
    return asyncio.run(
        w.litellm.arun_tool_loop(
            model=GPT, messages=MESSAGES, tools=TOOLS, execute_tool=print, **w.openai()
        )
    )


PASSED = asked("passthrough vllm/x", None, kind="LLM", cost=ANY, usage=ANY)


def passed_through(w: World, **more: Any) -> dict[str, Any]:
    body = {"model": "x", "messages": MESSAGES, **more}
    where = {"method": "POST", "endpoint": "chat/completions", "model": "vllm/x"}
    return {**where, "json": body, **bare(w)}


@case(PASSED, since=(1, 75, 8))
def passthrough(w: World) -> Any:
    return w.litellm.llm_passthrough_route(**passed_through(w)).json()["model"]


@case(PASSED, since=(1, 75, 8))
def passthrough_async(w: World) -> Any:
    return asyncio.run(w.litellm.allm_passthrough_route(**passed_through(w))).json()["model"]


@case(PASSED, since=(1, 75, 8))
def passthrough_stream_async(w: World) -> Any:
    async def main() -> int:
        answer = await w.litellm.allm_passthrough_route(**passed_through(w, stream=True))
        return len(b"".join([chunk async for chunk in answer])) > 0

    return asyncio.run(main())


@case(
    asked(
        "passthrough vllm/x",
        None,
        kind="LLM",
        cost=ANY,
        usage=ANY,
        attributes={"trace.stream.ending": "closed"},
    ),
    script=Scenario(chunk_delay=0.05),
    since=(1, 75, 8),
)
def passthrough_stream_aclosed(w: World) -> Any:
    async def main() -> bool:
        answer = await w.litellm.allm_passthrough_route(**passed_through(w, stream=True))
        first = await anext(answer)
        await answer.aclose()
        return bool(first)

    return asyncio.run(main())


@case(
    asked(
        "passthrough vllm/x",
        None,
        kind="LLM",
        cost=ANY,
        usage=ANY,
        attributes={"trace.stream.ending": "closed"},
    ),
    script=Scenario(chunk_delay=0.05),
    since=(1, 75, 8),
)
def passthrough_stream_closed(w: World) -> Any:
    answer = w.litellm.llm_passthrough_route(**passed_through(w, stream=True))
    first = next(answer)
    answer.close()
    return bool(first)


@case(
    other("image_edit openai/gpt-image-1", "IMAGE", cost=ANY, usage=ANY),
    since=(1, 75, 8),
)
def image_edit(w: World) -> Any:
    picture = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    return len(
        w.litellm.image_edit(image=picture, prompt="p", model="openai/gpt-image-1", **bare(w)).data
    )


@case(
    asked(f"interactions {GEMINI}", None, kind="LLM", cost=ANY, usage=ANY, error="not_found"),
    since=(1, 80, 17),
)
def interactions_refused(w: World) -> Any:
    from litellm.interactions import create

    return raised(lambda: create(model=GEMINI, input="hi", api_base=w.lane.url, api_key=KEY))
