"""A server that forks programs which make LiteLLM calls until they are killed.

Run: calls.py. It reads lines "FOLDER<tab>MODE" and answers each with the process id of a new program,
whose process group has the same id. LiteLLM is imported once, tracing is turned on in each program.
A program appends a line to FOLDER/log after each call has returned: its process id, the call's
number, the time and the processor time of the process, in nanoseconds.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

import litellm

import trace_litellm
from trace_core import Span, durable

CHILDREN = 4
THREADS = 8
LONG = 4_000
"""Words of a long prompt, some 25 KB."""
TASKS = 200


def away(_spans: Sequence[Span]) -> None:
    """Be a sink that cannot be reached, so that all spans stay on disk."""
    raise ConnectionError("away")


class Calls:
    """Makes calls and notes each that has returned.

    Args:
        folder: Where the log goes.
        text: What a message says, after the call's number.
    """

    def __init__(self, folder: str, text: str = "some words of prose " * 50) -> None:
        self.folder, self._text = folder, text
        self._log = os.open(f"{folder}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._numbers = itertools.count()

    def one(self) -> None:
        """Make a call."""
        number = next(self._numbers)
        litellm.completion("gpt-4o", [self._message(number)], mock_response="An answer. " * 20)
        self._note(number)

    async def one_in_a_task(self) -> None:
        """Make an async call."""
        number = next(self._numbers)
        await litellm.acompletion(
            "gpt-4o", [self._message(number)], mock_response="An answer. " * 20
        )
        self._note(number)

    def _message(self, number: int) -> dict[str, str]:
        """Return the message of a call, by which its span is known."""
        return {"role": "user", "content": f"{os.getpid()} {number} {self._text}"}

    def _note(self, number: int) -> None:
        now, used = time.monotonic_ns(), time.process_time_ns()
        os.write(self._log, b"%d %d %d %d\n" % (os.getpid(), number, now, used))

    def for_ever(self) -> None:
        """Make calls as fast as possible."""
        while True:
            self.one()


def threads(calls: Calls) -> None:
    """Make calls on 8 threads."""
    for _ in range(THREADS):
        threading.Thread(target=calls.for_ever, daemon=True).start()
    time.sleep(600)


def long_prompts(calls: Calls) -> None:
    """Do the same with prompts that take the writer a millisecond or two each."""
    words = (f"w{random.randrange(5_000)}" for _ in range(LONG))
    threads(Calls(calls.folder, " ".join(words)))


def tasks(calls: Calls) -> None:
    """Make 200 calls at once, again and again."""

    async def main() -> None:
        while True:
            await asyncio.gather(*(calls.one_in_a_task() for _ in range(TASKS)))

    asyncio.run(main())


def children(calls: Calls) -> None:
    """Make calls in 4 forked processes."""
    for _ in range(CHILDREN):
        if not os.fork():
            calls.for_ever()
    time.sleep(600)


def one_by_one(calls: Calls) -> None:
    """Make a call each 10 ms."""
    while True:
        calls.one()
        time.sleep(0.01)


MODES: dict[str, Callable[[Calls], None]] = {
    "threads": threads,
    "tasks": tasks,
    "long prompts": long_prompts,
    "children": children,
    "one by one": one_by_one,
}


def run(mode: str, folder: str) -> None:
    """Be the program."""
    os.setsid()
    trace_litellm.autolog(durable(away, spool_dir=f"{folder}/spool", environ={}))
    MODES[mode](Calls(folder))


def main() -> None:
    """Fork a program for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    litellm.completion("gpt-4o", [{"role": "user", "content": "warm"}], mock_response="up")
    # A full collection of the garbage looks at all that LiteLLM has made and stops every thread for
    # 200 ms, which has nothing to do with tracing.
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        folder, _, mode = line.rstrip("\n").partition("\t")
        program = os.fork()
        if not program:
            try:
                run(mode, folder)
            finally:
                os._exit(1)
        print(program, flush=True)


if __name__ == "__main__":
    main()
