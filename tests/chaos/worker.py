"""A program under test in the chaos suite: makes spans as fast as told, until something happens.

Run: worker.py SPOOL FILE LOG FIRST COUNT RATE SINK ENDING HANDOFF
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence

from trace_core import JsonLinesSink, Retry, Span, Tracer, durable


class Ids:
    """Ids the oracle can foresee, also in forked children."""

    def __init__(self, first: int) -> None:
        self.next = first

    def trace_id(self) -> str:
        """Return the trace id of the span to come."""
        return f"{self.next + 1:032x}"

    def span_id(self) -> str:
        """Return the next span id."""
        self.next += 1
        return f"{self.next:016x}"


class Unreliable:
    """A sink to a file that is well, away, slow, flapping or hung."""

    def __init__(self, file: str, mood: str) -> None:
        self.file = JsonLinesSink(file)
        self.mood = mood
        self.calls = 0

    def __call__(self, spans: Sequence[Span]) -> None:
        self.calls += 1
        if self.mood == "away" or (self.mood == "flapping" and random.random() < 0.5):
            raise ConnectionError("away")
        if self.mood == "slow":
            time.sleep(0.02)
        if self.mood == "hung" and self.calls > 1:
            time.sleep(3_600)
        self.file.write(spans)
        if self.mood == "forgetful" and random.random() < 0.3:
            raise ConnectionError("answer lost")  # written, but we do not know


def payload(number: int) -> str:
    """What the span of a number carries."""
    return f"payload of {number} " + "x" * (number % 3_000)


class Work:
    """Makes spans and writes down each that was handed over."""

    def __init__(self, arguments: list[str]) -> None:
        spool, file, log, first, count, rate, mood, self.ending, handoff = arguments
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.count, self.pause = int(count), 1 / float(rate)
        self.ids = Ids(int(first))
        sink = durable(
            Unreliable(file, mood),
            spool_dir=spool,
            handoff=handoff,
            exit_timeout=1.0,
            environ={},
            key="chaos",
            segment_bytes=200_000,
            retry=Retry(first=0.01, longest=0.05),
        )
        self.tracer = Tracer(sink, ids=self.ids)

    def one(self) -> None:
        """Make a span and write down its number."""
        number = self.ids.next + 1
        span = self.tracer.start("work", inputs=payload(number))
        span.end()
        os.write(self.log, b"%d\n" % number)

    def run(self) -> None:
        """Make the spans, at the wanted rate."""
        begun = time.perf_counter()
        for index in range(self.count):
            if self.ending == "fork" and index == self.count // 2 and os.fork() == 0:
                self.ids.next += 100_000  # the child goes on with ids of its own
            if self.ending == "clock" and index == self.count // 2:
                time.time = lambda: 0.0
            if self.ending == "tomorrow" and index == self.count // 2:
                a_day_later()
            self.one()
            left = begun + (index + 1) * self.pause - time.perf_counter()
            if left > 0:
                time.sleep(left)

    async def run_and_cancel(self) -> None:
        """Make the spans in tasks that are cancelled half way."""

        async def task() -> None:
            async with self.tracer.span("work", inputs=payload(self.ids.next + 1)) as span:
                number = int(span.context.span_id, 16)
                try:
                    await asyncio.sleep(60)
                finally:
                    span.end()
                    os.write(self.log, b"%d\n" % number)

        tasks = [asyncio.ensure_future(task()) for _ in range(self.count)]
        await asyncio.sleep(0)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def a_day_later() -> None:
    """Have the clock jump ahead, and stand."""
    later = time.time_ns() + 86_400 * 10**9
    time.time = lambda: later / 1e9
    time.time_ns = lambda: later


def hog() -> None:
    """Keep the interpreter busy, beside the spans."""
    while True:
        sum(range(1_000))


def main() -> None:
    """Work, then end as told."""
    work = Work(sys.argv[1:])
    if work.ending == "hog":
        threading.Thread(target=hog, daemon=True).start()
    if work.ending == "cancel":
        asyncio.run(work.run_and_cancel())
    else:
        work.run()
    if work.ending == "exception":
        raise RuntimeError("the end")
    if work.ending == "sys.exit":
        sys.exit(0)
    if work.ending == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    if work.ending == "os._exit":
        os._exit(0)


if __name__ == "__main__":
    main()
