"""Modules that are imported later are traced from then on; nothing stays behind."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import trace_litellm
from trace_core import MemorySink, Tracer


def test_tracing_leaves_no_finder_behind(litellm: Any) -> None:
    """``sys.meta_path`` is what it was once tracing is off."""
    before = list(sys.meta_path)
    with trace_litellm.instrument(Tracer(MemorySink())) as on:
        assert len(sys.meta_path) == len(before) + 1
        trace_litellm.instrument(on.tracer)
        assert len(sys.meta_path) == len(before) + 1
    assert sys.meta_path == before


def run(code: str) -> Any:
    """Run a program in a process of its own, where it may reload LiteLLM; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PRELUDE = """
import asyncio, importlib, json, sys
import litellm, litellm.main, trace_litellm
from trace_core import MemorySink

sink = MemorySink()
given = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}

def spans(function, **more):
    before = len(sink.spans)
    result = function(**given, mock_response="hello", **more)
    if hasattr(result, "__await__"):
        result = asyncio.run(wait(result))
    assert result.choices[0].message.content == "hello"
    return len(sink.spans) - before

async def wait(result):
    return await result
"""


@pytest.mark.slow
def test_a_reload_of_litellm_is_traced_again() -> None:
    """What a reload made anew is traced after autolog(), once each; undoing it is exact."""
    assert run(
        PRELUDE
        + """
old = [litellm.main.completion, litellm.main.acompletion]
codes = [(f, f.__code__, dict(vars(f))) for f in [litellm.completion, *old]]
trace_litellm.autolog(sink)
found = {"before": [spans(f) for f in old]}

importlib.reload(litellm.main)
new = [litellm.main.completion, litellm.main.acompletion]
codes += [(f, f.__code__, dict(vars(f))) for f in new]
found["made anew"] = [a is not b for a, b in zip(old, new)]
found["not yet"] = [spans(f) for f in new]

assert trace_litellm.autolog() is trace_litellm.autolog()
found["again"] = [spans(f) for f in [litellm.completion, *old, *new]]

trace_litellm.autolog(disable=True)
found["off"] = [spans(f) for f in [litellm.completion, *old, *new]]
found["undone"] = all((f.__code__, dict(vars(f))) == (c, v) for f, c, v in codes)
print(json.dumps(found))
"""
    ) == {
        "before": [1, 1],
        "made anew": [True, True],
        "not yet": [0, 0],
        "again": [1, 1, 1, 1, 1],
        "off": [0, 0, 0, 0, 0],
        "undone": True,
    }


@pytest.mark.slow
def test_reloads_of_what_dispatches_to_it_and_of_litellm_itself() -> None:
    """The whole of LiteLLM made anew, module by module and its package: one span a call."""
    assert run(
        PRELUDE
        + """
trace_litellm.autolog(sink)
early = litellm.completion
names = ["litellm.main", "litellm.chat_completions.dispatch", "litellm"]
for name in names:
    if name in sys.modules:
        importlib.reload(sys.modules[name])
trace_litellm.autolog()
print(json.dumps([spans(f) for f in [early, litellm.completion, litellm.acompletion]]))
"""
    ) == [1, 1, 1]


def test_what_was_on_its_way_when_tracing_was_turned_off_is_left_alone(
    litellm: Any,
) -> None:
    """A module that finishes its import after that is not patched, and tracing stays off."""
    on = trace_litellm.instrument(Tracer(MemorySink()))
    on.uninstrument()
    code = litellm.main.completion.__code__
    on._imported("litellm.main")
    assert not on.active
    assert litellm.main.completion.__code__ is code
