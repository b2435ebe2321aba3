"""Programs that send to a collector are killed while it has every fault: no span is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("trace_otlp_sink")

from support.collector import Answer, Collector, Stored, good, status
from trace_core import Spool
from trace_otlp_sink import OtlpSink

ROUNDS = int(os.environ.get("TRACE_CHAOS_ROUNDS", "6"))
PROGRAM = Path(__file__).with_name("otlp_worker.py")
PER_ROUND = 1_000_000
LOGIN = status(200, "text/html", b"<html>Sign in</html>")

Mood = Callable[[list[Stored]], Answer]


def _flapping() -> Mood:
    turn = count()
    return lambda _: good() if next(turn) % 2 else status(503, "text/plain")


def _answer_lost(collector: Collector) -> Mood:
    """Store the spans, and say that it did not."""

    def answer(spans: list[Stored]) -> Answer:
        collector.spans += spans
        return status(502, "text/html", b"<html>bad gateway</html>")

    return answer


@pytest.mark.slow
def test_kill_9_with_a_collector_loses_nothing(tmp_path: Path) -> None:
    """Well, away, busy, behind a login, flapping, forgetful: it has all spans in the end."""
    random.seed(ROUNDS)
    logs = tmp_path / "logs"
    logs.mkdir()
    with Collector() as collector:
        moods: list[Mood | None] = [
            lambda _: good(),
            None,
            lambda _: status(429, "text/plain", Retry_After="0"),
            lambda _: LOGIN,
            _flapping(),
            _answer_lost(collector),
        ]
        for round_ in range(1, ROUNDS + 1):
            mood = moods[round_ % len(moods)]
            if mood is None:
                collector.stop()
            else:
                collector.on_spans = mood
            _run_and_kill(collector.url, tmp_path / "spool", logs / str(round_), round_)
            if mood is None:
                collector.start()
        collector.on_spans = lambda _: good()
        _drain(collector, tmp_path / "spool")
        delivered = {int(span.span_id, 16): span for span in collector.spans}
    noted = {int(line) for log in logs.iterdir() for line in log.read_text().split("\n")[:-1]}
    assert noted
    lost = noted - delivered.keys()
    print(f"{len(noted)} spans in {ROUNDS} kills, {len(lost)} lost")
    assert not lost
    assert collector.faults == []
    for number in noted:
        text = json.loads(str(delivered[number].attributes["trace.inputs"]))
        assert text.startswith(f"payload of {number} ")


def _run_and_kill(url: str, spool: Path, log: Path, round_: int) -> None:
    """Run a program for a moment after its first span, and kill it."""
    arguments = [url, spool, log, round_ * PER_ROUND]
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as program:
        deadline = time.monotonic() + 60
        while not (log.exists() and log.stat().st_size):
            assert time.monotonic() < deadline, "no span was handed over"
            assert program.poll() is None, "the program has ended"
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.5))
        program.send_signal(signal.SIGKILL)


def _drain(collector: Collector, spool: Path) -> None:
    """Have this process deliver what those left."""
    last = Spool(spool, OtlpSink(collector.url), adopt_every=0.05)
    last.start()
    deadline = time.monotonic() + 120
    while any(name.endswith(".seg") for _, _, names in os.walk(spool) for name in names):
        assert time.monotonic() < deadline, "spans are stuck in the spool"
        time.sleep(0.02)
    last.close()
