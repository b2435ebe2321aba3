"""What tracing adds to a call, on the caller's thread and on all threads together.

One process; blocks of calls with and without tracing take turns, so that both see the same
machine. Calls are answered by LiteLLM's own ``mock_response``: no network, no provider.

    python bench/caller.py [--rounds 40] [--calls 25]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm

import trace_litellm
from trace_core import Background, Span, Tracer

MODEL = "openai/gpt-4o-mini"
IMAGE = "data:image/png;base64," + "A" * 1_000_000


class Discard:
    """A sink that takes everything and keeps nothing."""

    def write(self, spans: Sequence[Span], /) -> None:
        """Drop the spans."""

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Have nothing to do."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Have nothing to do."""


def text(size: int, parts: int) -> list[dict[str, Any]]:
    """Make messages of so many characters in so many parts."""
    return [{"role": "user", "content": "x" * (size // parts)} for _ in range(parts)]


def image() -> list[dict[str, Any]]:
    """Make a message with an image of a megabyte."""
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    return [{"role": "user", "content": parts}]


def complete(messages: list[dict[str, Any]]) -> Callable[[], Any]:
    """Make a call of ``completion``."""
    return lambda: litellm.completion(MODEL, messages, mock_response="y" * 500)


def stream(messages: list[dict[str, Any]], characters: int) -> Callable[[], int]:
    """Make a call whose answer is streamed, three characters a chunk, and read it."""

    def call() -> int:
        answer = litellm.completion(MODEL, messages, mock_response="y" * characters, stream=True)
        return sum(1 for _ in answer)

    return call


def concurrent(messages: list[dict[str, Any]]) -> Callable[[], None]:
    """Make fifty calls of ``acompletion`` at once."""
    loop = asyncio.new_event_loop()

    async def gathered() -> None:
        calls = (litellm.acompletion(MODEL, messages, mock_response="y" * 500) for _ in range(50))
        await asyncio.gather(*calls)

    return lambda: loop.run_until_complete(gathered())


CASES: dict[str, tuple[Callable[[], Any], int]] = {
    "completion 2 KB": (complete(text(2_000, 2)), 1),
    "completion 50 KB": (complete(text(50_000, 60)), 1),
    "completion 1 MB image": (complete(image()), 1),
    "acompletion x50, each": (concurrent(text(2_000, 2)), 50),
    "stream of 200 chunks, each chunk": (stream(text(2_000, 2), 600), 200),
}


def measure(call: Callable[[], Any], rounds: int, calls: int) -> dict[str, Any]:
    """Take turns without and with tracing.

    Returns:
        Medians in microseconds: of one call without, and of what tracing adds on the caller's
        thread and on all threads.
    """
    tracer = Tracer(Background(Discard()))
    blocks: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    singles: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * rounds):
        traced = number % 2 == 1
        on = trace_litellm.instrument(tracer) if traced else None
        call()  # the first after a swap compiles inline caches anew
        process = time.process_time_ns()
        thread = time.thread_time_ns()
        for _ in range(calls):
            start = time.thread_time_ns()
            call()
            singles[traced].append((time.thread_time_ns() - start) / 1e3)
        thread = time.thread_time_ns() - thread
        tracer.flush(10)
        process = time.process_time_ns() - process
        blocks[traced].append((thread / 1e3 / calls, process / 1e3 / calls))
        if on is not None:
            on.uninstrument()
    base, with_us = statistics.median(singles[False]), statistics.median(singles[True])
    cpu = [statistics.median(b[1] for b in blocks[traced]) for traced in (False, True)]
    return {"base_us": base, "added_us": with_us - base, "added_cpu_us": cpu[1] - cpu[0]}


def main() -> None:
    """Measure every case and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--case", action="append", choices=sorted(CASES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    for name, (call, per) in CASES.items():
        if options.case and name not in options.case:
            continue
        calls = max(1, options.calls // (5 if per > 1 else 1))
        found = measure(call, options.rounds, calls)
        results[name] = {key: value / per for key, value in found.items()}
        if not options.json:
            one = results[name]
            print(
                f"{name:34} base {one['base_us']:9.1f} us   caller +{one['added_us']:6.2f} us "
                f"({100 * one['added_us'] / one['base_us']:5.2f}%)   "
                f"all threads +{one['added_cpu_us']:7.2f} us"
            )
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
