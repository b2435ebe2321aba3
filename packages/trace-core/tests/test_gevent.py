"""Where gevent has taken the place of threads, the writer is a greenlet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """\
from gevent import joinall, monkey, spawn
monkey.patch_all()
from trace_core import JsonLinesSink, Tracer, durable

tracer = Tracer(durable(JsonLinesSink("spans.jsonl"), spool_dir="spool", environ={}))

def work(number):
    for _ in range(5):
        tracer.start(f"work {number}", inputs="a b c " * 20_000).end()

joinall([spawn(work, number) for number in range(20)], raise_error=True)
assert tracer.flush(60)
"""


def test_all_spans_of_greenlets_are_delivered(tmp_path: Path) -> None:
    """Also of many at once whose spans take the writer long."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=tmp_path, timeout=200, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    assert (tmp_path / "spans.jsonl").read_text().count("\n") == 100
