"""The recorded stack of an error begins at the user's own line, and has no frame of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

import trace_core
import trace_litellm
from support.provider import Provider, Scenario
from support.scenarios import LITELLM
from trace_core import MemorySink, Span, Tracer

MODEL = "openai/fails"
MESSAGES = [{"role": "user", "content": "hi"}]
OURS = tuple(os.path.dirname(package.__file__) for package in (trace_core, trace_litellm))  # noqa: PTH120


def stack(span: Span) -> list[tuple[str, str]]:
    """File and function of each line of the recorded stack."""
    (event,) = [event for event in span.events if event.name == "exception"]
    text = str(event.attributes["exception.stacktrace"])
    return re.findall(r'^  File "(.+)", line \d+, in (.+)$', text, re.MULTILINE)


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink of a traced LiteLLM; afterwards, no stack has a frame of ours."""
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)):
        yield sink
    for span in sink.spans:
        for file, function in stack(span) if span.events else ():
            assert not file.startswith((*OURS, "<trace_core>")), (file, function)


@pytest.fixture
def options(provider: Provider, litellm: Any) -> dict[str, Any]:
    """Arguments of a call that the provider refuses."""
    lane = provider.lane("stacks")
    lane.script(Scenario(status=400))
    return {"api_base": lane.openai_base, "api_key": "x", "max_retries": 0}


@pytest.fixture
def broken(provider: Provider) -> dict[str, Any]:
    """Arguments of a stream that breaks in the middle."""
    lane = provider.lane("broken-stacks")
    lane.script(Scenario(sse_error_after=2))
    return {"api_base": lane.openai_base, "api_key": "x", "max_retries": 0, "stream": True}


class Ways:
    """Each way to make a call that fails, in a method named after it.

    Args:
        litellm: LiteLLM.
        options: Arguments of the call.
    """

    def __init__(self, litellm: Any, options: dict[str, Any]) -> None:
        self.litellm, self.options = litellm, options

    def _router(self) -> Any:
        deployment = {"model_name": "m", "litellm_params": {"model": MODEL, **self.options}}
        return self.litellm.Router([deployment], num_retries=0)

    def sync(self) -> Any:
        return self.litellm.completion(MODEL, MESSAGES, **self.options)

    async def asynchronous(self) -> Any:
        return await self.litellm.acompletion(MODEL, MESSAGES, **self.options)

    def responses(self) -> Any:
        return self.litellm.responses(model=MODEL, input="hi", **self.options)

    def embedding(self) -> Any:
        return self.litellm.embedding(MODEL, ["hi"], **self.options)

    def router(self) -> Any:
        return self._router().completion("m", MESSAGES)

    async def asynchronous_router(self) -> Any:
        return await self._router().acompletion("m", MESSAGES)

    async def sync_router_in_a_loop(self) -> Any:
        return self._router().completion("m", MESSAGES)

    async def router_batch(self) -> Any:
        return await self._router().abatch_completion(["m"], [MESSAGES, MESSAGES])

    def batch(self) -> Any:
        return self.litellm.batch_completion(MODEL, [MESSAGES, MESSAGES], **self.options)

    def several_models(self) -> Any:
        models = [MODEL, MODEL]
        return self.litellm.batch_completion_models(
            models=models, messages=MESSAGES, **self.options
        )

    def thread(self) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.sync).result()


SINCE = {"responses": (1, 65, 8), "sync_router_in_a_loop": (1, 60, 9)}
"""Ways that older releases do not have, or go on another thread unseen."""
WAYS = [
    name for name in vars(Ways) if not name.startswith("_") and SINCE.get(name, LITELLM) <= LITELLM
]


@pytest.mark.parametrize("way", WAYS)
def test_calls(litellm: Any, sink: MemorySink, options: dict[str, Any], way: str) -> None:
    """Sync and async, on threads of LiteLLM's and of the user's: the first line makes the call."""
    with contextlib.suppress(litellm.exceptions.BadRequestError):
        result = getattr(Ways(litellm, options), way)()
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    failed = [span for span in sink.spans if span.events]
    assert failed
    for span in failed:
        assert stack(span)[0] == (__file__, "sync" if way == "thread" else way), span.name
        assert "litellm" in stack(span)[1][0]


def test_retries(litellm: Any, sink: MemorySink, options: dict[str, Any]) -> None:
    """The same holds for each attempt."""
    with pytest.raises(litellm.exceptions.BadRequestError):
        litellm.completion(MODEL, MESSAGES, num_retries=1, **options)
    assert sink.spans
    assert {stack(span)[0][1] for span in sink.spans if span.events} == {"test_retries"}


def test_streams(litellm: Any, sink: MemorySink, broken: dict[str, Any]) -> None:
    """An error in the middle of a stream has the line that reads the stream."""
    stream = litellm.completion(MODEL, MESSAGES, **broken)

    def reads() -> None:
        for _ in stream:
            pass

    with pytest.raises(openai.APIError):
        reads()
    (span,) = sink.spans
    assert stack(span)[0] == (__file__, "reads")


def test_async_streams(litellm: Any, sink: MemorySink, broken: dict[str, Any]) -> None:
    """So has one of an async stream."""

    async def reads() -> None:
        async for _ in await litellm.acompletion(MODEL, MESSAGES, **broken):
            pass

    with pytest.raises(openai.APIError):
        asyncio.run(reads())
    (span,) = sink.spans
    assert stack(span)[0] == (__file__, "reads")


@pytest.mark.skipif(LITELLM < (1, 65, 8), reason="uses the client of a closed event loop")
def test_tasks_of_nobody(litellm: Any, sink: MemorySink, options: dict[str, Any]) -> None:
    """A call that is a task itself has no line of the user's: its stack begins in LiteLLM."""

    async def gathers() -> None:
        await asyncio.gather(litellm.acompletion(MODEL, MESSAGES, **options))

    with pytest.raises(litellm.exceptions.BadRequestError):
        asyncio.run(gathers())
    (span,) = sink.spans
    assert "litellm" in stack(span)[0][0]


def test_calls_of_a_library(
    litellm: Any, sink: MemorySink, options: dict[str, Any], tmp_path: Any
) -> None:
    """A library's frames come after the line that calls the library."""
    path = tmp_path / "site-packages" / "library.py"
    code = compile("def ask(litellm, *a, **k): litellm.completion(*a, **k)", str(path), "exec")
    library: dict[str, Any] = {"__name__": "library"}
    exec(code, library)
    with pytest.raises(litellm.exceptions.BadRequestError):
        library["ask"](litellm, MODEL, MESSAGES, **options)
    (span,) = sink.spans
    assert [function for _, function in stack(span)][:2] == ["test_calls_of_a_library", "ask"]
