"""What tracing costs, by instructions: a count that a busy machine does not change."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "bench"
EVERYTHING = "TRACE_INSTRUCTIONS"
NEED_NO_LITELLM = ("handoff", "picture", "bridge")


@pytest.fixture(scope="module")
def instructions() -> ModuleType:
    """The program that counts, where there is what it needs."""
    spec = importlib.util.spec_from_file_location("instructions", BENCH / "instructions.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if missing := module.missing_tools():
        pytest.skip(f"no {' and '.join(missing)} here: install valgrind")
    if sys.implementation.name != "cpython" or not module.kept():
        pytest.skip(f"no counts kept of {module.machine()}: run `nox -s instructions -- --renew`")
    return module


@pytest.mark.parametrize("what", ["handoff", "picture", "bridge", "chunk", "call", "durable"])
def test_no_more_instructions_than_before(instructions: ModuleType, what: str) -> None:
    """Neither a hand-off, a picture, a bridged span, a chunk nor a call has become dearer unnoticed."""
    if what not in NEED_NO_LITELLM and not os.environ.get(EVERYTHING):
        pytest.skip("importing LiteLLM in valgrind takes half a minute: run `nox -s instructions`")
    before = instructions.kept().get(what)
    if before is None:
        pytest.skip(f"{what} is not kept of {instructions.machine()}")
    found = instructions.count(what)[instructions.THREADS.get(what, "caller")]
    assert found <= before * (1 + instructions.TOLERANCE[what]), (
        f"{what}: {found:,} instructions instead of {before:,}; if that must be, "
        "run `nox -s instructions -- --renew`"
    )


def test_each_part_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--parts` counts is there, under the names that it is known by."""
    monkeypatch.syspath_prepend(str(BENCH))
    parts = importlib.import_module("parts")
    done = 0
    for act, rest in parts.parts(2):
        act()
        act()
        rest()
        done += 1
    assert done == 2 + len(parts.ALONE) + len(parts.CHAIN)
