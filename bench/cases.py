"""The calls that are measured. Each tells a clock when the part that is timed begins and ends.

They are answered by LiteLLM's own ``mock_response``: no network and no provider, so that a call
costs what LiteLLM costs, and the same each time.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm

MODEL = "openai/gpt-4o-mini"
ANSWER = "y" * 500
CONCURRENCY = 50
Messages = list[dict[str, Any]]


@dataclass
class Clock:
    """Takes the time of the caller's thread and of the wall, in microseconds."""

    thread: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        self._wall = time.perf_counter_ns()
        self._thread = time.thread_time_ns()

    def stop(self, units: int = 1) -> None:
        """End, having done so many units."""
        self.thread.append((time.thread_time_ns() - self._thread) / 1e3 / units)
        self.wall.append((time.perf_counter_ns() - self._wall) / 1e3 / units)


@dataclass(frozen=True)
class Case:
    """One kind of call.

    Attributes:
        run: Does it once, and keeps the clock.
        calls: How often it is done before tracing is turned on or off.
        units: What the process's CPU time of one run is divided by.
        around: Wraps a block of runs.
        settle: Lets what runs on the event loop come to its end.
    """

    run: Callable[[Clock], None]
    calls: int = 25
    units: int = 1
    around: Callable[[], Any] | None = None
    settle: Callable[[], None] = lambda: None


def text(size: int, parts: int) -> Messages:
    """Make messages of so many characters in so many parts."""
    return [{"role": "user", "content": "x" * (size // parts)} for _ in range(parts)]


def image() -> Messages:
    """Make a message with an image of a megabyte."""
    url = "data:image/png;base64," + "A" * 1_000_000
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def completion(messages: Messages) -> Callable[[Clock], None]:
    """Make a call of ``completion``."""

    def run(clock: Clock) -> None:
        clock.start()
        litellm.completion(MODEL, messages, mock_response=ANSWER)
        clock.stop()

    return run


def embedding(count: int) -> Callable[[Clock], None]:
    """Make a call of ``embedding`` with so many inputs."""
    texts = ["x" * 100] * count

    def run(clock: Clock) -> None:
        clock.start()
        litellm.embedding("openai/text-embedding-3-small", texts, mock_response=[0.5] * 8)
        clock.stop()

    return run


def stream(chunks: int) -> Iterator[Any]:
    """Make a stream; LiteLLM's mock has three characters in a chunk."""
    answer = "".join(f"{i % 100:02d} " for i in range(chunks))  # LiteLLM ends one that repeats
    return iter(litellm.completion(MODEL, text(2_000, 2), mock_response=answer, stream=True))


def each_chunk(chunks: int) -> Callable[[Clock], None]:
    """Time one ``next()`` of a stream after the other; the call before it is not counted."""

    def run(clock: Clock) -> None:
        chunks_left = stream(chunks)
        end = object()
        while True:
            clock.start()
            chunk = next(chunks_left, end)
            clock.stop()
            if chunk is end:
                return

    return run


def first_chunk(clock: Clock) -> None:
    """Time a streamed call up to its first chunk; the rest is read, but not counted."""
    clock.start()
    chunks_left = stream(10)
    next(chunks_left)
    clock.stop()
    for _ in chunks_left:
        pass


def concurrent() -> Case:
    """Make fifty calls of ``acompletion`` at once."""
    loop = asyncio.new_event_loop()
    messages = text(2_000, 2)

    async def gathered() -> None:
        calls = (litellm.acompletion(MODEL, messages, mock_response=ANSWER) for _ in range(50))
        await asyncio.gather(*calls)

    def run(clock: Clock) -> None:
        clock.start()
        loop.run_until_complete(gathered())
        clock.stop(CONCURRENCY)

    def settle() -> None:
        loop.run_until_complete(asyncio.sleep(0.02))

    return Case(run, calls=4, units=CONCURRENCY, settle=settle)


@contextmanager
def busy_thread() -> Iterator[None]:
    """Keep the interpreter busy from another thread."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1_000))

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def cases() -> dict[str, Case]:
    """Make all of them."""
    small = completion(text(2_000, 2))
    return {
        "completion, 2 KB": Case(small),
        "completion, 50 KB": Case(completion(text(50_000, 60))),
        "completion, 1 MB image": Case(completion(image())),
        "acompletion, 50 at once": concurrent(),
        "stream, 200 chunks: each": Case(each_chunk(200), calls=2, units=200),
        "stream, 2,000 chunks: each": Case(each_chunk(2_000), calls=1, units=2_000),
        "stream: first chunk": Case(first_chunk, calls=20),
        "embedding, 100 inputs": Case(embedding(100)),
        "completion beside a busy thread": Case(small, calls=40, around=busy_thread),
    }
