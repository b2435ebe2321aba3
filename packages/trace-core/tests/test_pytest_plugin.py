"""The fixtures that pytest finds where trace-core is installed, each in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import sys

def test_nothing_is_imported():
    assert "trace_core" not in sys.modules

def test_a_tracer(trace_tracer, trace_sink, trace_clock):
    with trace_tracer.span("a"):
        trace_clock.advance(1)
    [span] = trace_sink.spans
    assert (span.trace_id, span.duration_ns) == ("0" * 31 + "1", 10**9)

def test_made_anew(trace_tracer, trace_sink, trace_ids, trace_spans):
    assert not trace_sink.spans
    assert trace_ids.trace_id() == "0" * 31 + "1"
    assert len(trace_spans) == 3

kept = []

def test_left_open(trace_tracer):
    kept.append(trace_tracer.start("forgotten"))

class Broken:
    def time_ns(self):
        raise OSError("no clock")

def test_trouble(trace_tracer):
    trace_tracer.clock = Broken()
    trace_tracer.start("a")
"""


def run(folder: Path, *options: str) -> str:
    """Run the tests and return what pytest says."""
    (folder / "test_theirs.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout


def test_the_fixtures(tmp_path: Path) -> None:
    """They work, import nothing unasked, and fail a test for an open span or an error of ours."""
    # others' plug-ins, such as Hypothesis', are of no interest, and import much
    said = run(tmp_path, "-p", "no:xdist", "-p", "no:hypothesispytest")
    assert "5 passed, 2 errors" in said, said
    assert "never ended: forgotten" in said
    assert "1 error(s) in tracing, the first starting a span" in said


@pytest.mark.slow
def test_without_them(tmp_path: Path) -> None:
    """``-p no:trace_core`` leaves them out."""
    assert "fixture 'trace_tracer' not found" in run(tmp_path, "-p", "no:trace_core")
