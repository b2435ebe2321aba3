"""How often one ``completion`` goes in and out of our functions: a measure that needs no clock.

    python bench/profile_call.py            # counts
    python bench/profile_call.py --calls    # every call, in order

Counted are calls of our functions on the caller's thread, and on the writer's thread switches:
calls from one of our modules into another, and returns, from when the span is taken out of the
queue until it is on disk. What the writer does beside that, such as records of spans that have
started, depends on how busy the machine is. The provider is mocked; the spool is real.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from types import FrameType
from typing import Any

PACKAGES = ("trace_core", "trace_litellm")
WARM_UP = 5
FIRST, LAST = "Writer._completed", "Writer._write"
"""The first and the last function that the writer's thread calls for a span."""


class Profile:
    """The calls of our functions on one thread, while it is on.

    Args:
        first: The function whose call turns it on, if that is not done from outside.
        last: The function whose return turns it off again.
    """

    def __init__(self, first: str = "", last: str = "") -> None:
        self.on = self.ready = False
        self._first, self._last = first, last
        self.calls: list[str] = []
        self.switches = 0
        self._module = ""

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Take note of an event; what `sys.setprofile` calls."""
        if event not in {"call", "return"}:
            return
        name = frame.f_code.co_qualname
        if self.ready and event == "call" and name == self._first:
            self.on, self.ready = True, False
        if not self.on:
            return
        if event == "return" and name == self._last:
            self.on = False
        entered = frame if event == "call" else frame.f_back
        module = _module_of(entered)
        if event == "call" and module:
            self.calls.append(f"{module}.{name}")
        if module and module != self._module:
            self.switches += bool(self._module)
            self._module = module


def _module_of(frame: FrameType | None) -> str:
    name = str(frame.f_globals.get("__name__", "")) if frame is not None else ""
    return name if name.partition(".")[0] in PACKAGES else ""


def profiles() -> tuple[Profile, Profile]:
    """Return the profiles of one traced completion: of the caller's thread, of the writer's."""
    caller, writer = Profile(), Profile(FIRST, LAST)
    main = threading.current_thread()

    def choose(frame: FrameType, event: str, argument: Any) -> None:
        name = threading.current_thread().name
        if name == "trace-writer":
            writer(frame, event, argument)

    threading.setprofile(choose)
    import litellm

    import trace_litellm
    from trace_core import Spool

    with tempfile.TemporaryDirectory() as folder:
        sink = Spool(folder, lambda _: None, key="bench", linger=3_600)
        tracing = trace_litellm.autolog(sink)
        ask = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "What is it? " * 160}],
            "mock_response": "It is this. " * 40,
        }
        for _ in range(WARM_UP):
            litellm.completion(**ask)
            tracing.tracer.flush()
        assert main is threading.current_thread()
        caller.on = writer.ready = True
        sys.setprofile(caller)
        litellm.completion(**ask)
        sys.setprofile(None)
        tracing.tracer.flush()
        trace_litellm.autolog(disable=True)
    return caller, writer


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", action="store_true", help="print every call")
    options = parser.parse_args()
    caller, writer = profiles()
    if options.calls:
        print(*caller.calls, "", *writer.calls, sep="\n")
    print(f"caller's thread: {len(caller.calls)} calls of our functions")
    print(f"writer's thread: {len(writer.calls)} calls, {writer.switches} switches between modules")


if __name__ == "__main__":
    main()
