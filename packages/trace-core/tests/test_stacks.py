"""Stacks begin at the user's own line and leave tracing out."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from trace_core import MemorySink, OpenSpan, Tracer, hide_frames, own_line
from trace_core._tracing import stacks


def functions(span: Any) -> list[str]:
    """The functions of the lines of a recorded stack."""
    (event,) = span.events
    text = str(event.attributes["exception.stacktrace"])
    return re.findall(r'^  File ".+", line \d+, in (.+)$', text, re.MULTILINE)


def installed(source: str, **names: Any) -> dict[str, Any]:
    """What code defines that is installed like a library."""
    space = {"__name__": "library.module", **names}
    exec(compile(source, "/venv/lib/site-packages/library/module.py", "exec"), space)
    return space


def test_decorated_functions(tracer: Tracer, memory: MemorySink) -> None:
    """The wrapper of a decorated function is not in its stack."""

    @tracer.trace
    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # any
        fails()
    assert functions(memory.spans[0]) == ["fails"]


def test_blocks_in_a_library(tracer: Tracer, memory: MemorySink) -> None:
    """The stack of a block in a library begins at the line that calls the library."""
    library = installed(
        "def outer(tracer): inner(tracer)\n"
        "def inner(tracer):\n  with tracer.span('block'): raise ValueError\n"
    )
    with pytest.raises(ValueError):  # noqa: PT011
        library["outer"](tracer)
    assert functions(memory.spans[0]) == ["test_blocks_in_a_library", "outer", "inner"]


def test_programs_that_are_installed(tracer: Tracer, memory: MemorySink) -> None:
    """Without a line of the user's it begins where the failing package is called."""
    fails = installed("def fails(tracer):\n  with tracer.span('block'): raise ValueError\n")
    space = {"__name__": "app", "fails": fails["fails"]}
    source = "def main(tracer):\n  try: helper(tracer)\n  except ValueError: pass\n"
    source += "def helper(tracer): fails(tracer)\n"
    exec(compile(source, "/venv/lib/site-packages/app.py", "exec"), space)
    thread = threading.Thread(target=space["main"], args=(tracer,))  # type: ignore[arg-type]
    thread.start()
    thread.join(30)
    assert functions(memory.spans[0]) == ["helper", "fails"]


def test_where_the_work_was_asked_for(tracer: Tracer, memory: MemorySink) -> None:
    """What fails on a thread without a line of the user's gets the one it was asked for at."""
    place = own_line()
    fails = installed(
        "def fails(span, place):\n"
        "  try: raise ValueError\n"
        "  except ValueError as error: span.fail(error, place)\n"
    )["fails"]
    spans: list[OpenSpan] = [tracer.start("one"), tracer.start("two")]
    thread = threading.Thread(target=fails, args=(spans[0], place))
    thread.start()
    thread.join(30)
    fails(spans[1], place)
    for span in spans:
        span.end()
        assert functions(memory.spans[-1]) == ["test_where_the_work_was_asked_for", "fails"]


def test_frames_that_are_hidden(
    tracer: Tracer, memory: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrumentation can leave its frames out as well."""
    monkeypatch.setattr(stacks, "_hidden", stacks._hidden)
    hide_frames("<mine>")
    space: dict[str, Any] = {"__name__": "mine"}
    exec(compile("def wraps(f): f()", "<mine>", "exec"), space)

    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError), tracer.span("block"):  # noqa: PT011
        space["wraps"](fails)
    assert functions(memory.spans[0]) == ["test_frames_that_are_hidden", "fails"]
