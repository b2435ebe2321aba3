"""What `autolog` starts ends with it: threads, files, exit handlers."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import trace_litellm
from trace_core import ConfigurationError, JsonLinesSink, MemorySink, SinkBase, Span, Tracer
from trace_core import _lifecycle as lifecycle

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "hi"}]
ROUNDS = 20


def held() -> tuple[int, int, int]:
    """Count the threads, open files and exit handlers of this process.

    But the threads of LiteLLM's pools, which come when there is work and do not go.
    """
    gc.collect()
    files = len(list(Path("/proc/self/fd").iterdir()))
    pools = ("ThreadPoolExecutor", "asyncio", "litellm")
    threads = [one for one in threading.enumerate() if not one.name.startswith(pools)]
    return len(threads), files, len(lifecycle._at_exit.methods())


def left_of(before: tuple[int, int, int]) -> list[int]:
    """Say how many more there are than before; a thread of LiteLLM's may have ended meanwhile."""
    return [now - then for now, then in zip(held(), before, strict=True) if now > then]


def spec(path: Path) -> str:
    """Name the sink of a file."""
    return f"jsonl:{path}"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")
@pytest.mark.parametrize("sink", [spec, JsonLinesSink])
@pytest.mark.parametrize("disable", [True, False])
def test_twenty_rounds_leave_nothing(
    litellm: Any, tmp_path: Path, sink: Callable[[Path], Any], *, disable: bool
) -> None:
    """Turned off in between or replaced by the next sink, and each round's call is written."""

    def rounds(first: int, last: int) -> None:
        for number in range(first, last):
            trace_litellm.autolog(sink(tmp_path / f"{number}.jsonl"))
            litellm.completion(MODEL, MESSAGES, mock_response="hello")
            if disable:
                trace_litellm.autolog(disable=True)
        trace_litellm.autolog(disable=True)

    rounds(0, 2)  # LiteLLM starts threads of its own with the first calls
    before = held()
    rounds(2, 2 + ROUNDS)
    patience = time.monotonic() + 30  # a thread that has been told to end may need its turn
    while left_of(before) and time.monotonic() < patience:
        time.sleep(0.05)
    assert left_of(before) == []
    for number in range(2 + ROUNDS):
        assert (tmp_path / f"{number}.jsonl").read_text("utf-8").count("\n") == 1


def test_the_same_sink_gives_the_same_object(litellm: Any, tmp_path: Path) -> None:
    """By the same text, the same object, or none; another one replaces it."""
    memory = MemorySink()
    first = trace_litellm.autolog(spec(tmp_path / "spans.jsonl"))
    assert trace_litellm.autolog(spec(tmp_path / "spans.jsonl")) is first
    assert trace_litellm.autolog() is first
    second = trace_litellm.autolog(memory)
    assert second is not first
    assert trace_litellm.autolog(memory) is second


def test_a_stream_open_when_tracing_is_turned_off_is_written(litellm: Any, tmp_path: Path) -> None:
    """Its span ends as interrupted, with what had arrived; the caller reads on."""
    path = tmp_path / "spans.jsonl"
    trace_litellm.autolog(spec(path))
    stream = litellm.completion(MODEL, MESSAGES, mock_response="one two three", stream=True)
    next(stream)
    trace_litellm.autolog(disable=True)
    assert '"interrupted"' in path.read_text("utf-8")
    assert list(stream)


class PatientSink(SinkBase):
    """Wants a minute for what is left, as one that has to make a database first."""

    wants_spool = False
    exit_timeout = 60.0

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def write(self, spans: Sequence[Span], /) -> None:
        """Take the spans."""

    def close(self, timeout: float = 5.0, /) -> None:
        """Note how long the close may take."""
        self.seconds.append(timeout)


@pytest.mark.parametrize("disable", [True, False])
def test_a_sink_gets_the_time_it_asks_for(litellm: Any, *, disable: bool) -> None:
    """As at exit: a first delivery may take longer than the usual five seconds."""
    sink = PatientSink()
    trace_litellm.autolog(sink)
    litellm.completion(MODEL, MESSAGES, mock_response="hello")
    trace_litellm.autolog(disable=True) if disable else trace_litellm.autolog(MemorySink())
    [seconds] = sink.seconds
    assert 5 < seconds <= 60


def test_a_sink_of_yours_in_memory_stays_open(litellm: Any) -> None:
    """A memory sink can be used again."""
    sink = MemorySink()
    for _ in range(2):
        trace_litellm.autolog(sink)
        litellm.completion(MODEL, MESSAGES, mock_response="hello")
        trace_litellm.autolog(disable=True)
    assert len(sink.spans) == 2


def test_the_error_names_what_to_call(litellm: Any) -> None:
    """After ``autolog``, ``instrument`` says how to turn that off, and it works."""
    trace_litellm.autolog(MemorySink())
    with pytest.raises(ConfigurationError, match=r"trace_litellm\.autolog\(disable=True\)"):
        trace_litellm.instrument(Tracer(MemorySink()))
    trace_litellm.autolog(disable=True)
    with trace_litellm.instrument(Tracer(MemorySink())) as on:
        assert on.active
