"""A program that SIGTERM ends delivers what waits first, if ``TRACE_EXIT_AT_SIGTERM`` says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends a program without a word")

SPANS = 200
BEGIN = f"""\
import os, signal, sys, threading
from trace_core import JsonLinesSink, Tracer, durable
sink = JsonLinesSink("spans.jsonl")
tracer = Tracer(durable(sink))
for _ in range({SPANS}):
    tracer.start("work").end()
kept = tracer.start("still open")
"""
DIES = "os.kill(os.getpid(), signal.SIGTERM)\nthreading.Event().wait(60)"
# As uvicorn does: a handler of its own while it serves, then the signal once more.
SERVES = """\
caught = threading.Event()
before = signal.signal(signal.SIGTERM, lambda *_: caught.set())
os.kill(os.getpid(), signal.SIGTERM)
assert caught.wait(60)
signal.signal(signal.SIGTERM, before)
signal.raise_signal(signal.SIGTERM)
"""
# The thread that the signal interrupts may hold any lock.
HOLDS_A_LOCK = "tracer.flush()\nwith sink._lock:\n" + "".join(
    f"    {line}\n" for line in DIES.splitlines()
)


def run(folder: Path, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRACE_SPOOL_DIR": str(folder / "spool"), **variables}
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        cwd=folder,
        env=environment,
        timeout=100,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("ending", [DIES, SERVES], ids=["dies", "serves"])
def test_everything_is_delivered_first(tmp_path: Path, ending: str) -> None:
    """The program ends by the signal all the same; what was open is there, and marked."""
    done = run(tmp_path, ending, TRACE_EXIT_AT_SIGTERM="yes")
    assert done.returncode == -signal.SIGTERM, done.stderr
    lines = (tmp_path / "spans.jsonl").read_text().splitlines()
    assert len(lines) == SPANS + 1
    assert '"trace.ending":"interrupted"' in lines[-1]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Nobody has to wait for a server that is away."""
    program = f"""
import time
tracer = Tracer(durable(lambda spans: time.sleep(3600), spool=False, exit_timeout=3000))
tracer.start("stuck").end()
def again():
    while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=again).start()
{DIES}
"""
    assert run(tmp_path, program, TRACE_EXIT_AT_SIGTERM="yes").returncode == -signal.SIGTERM


def test_a_lock_of_the_interrupted_thread_holds_up_nothing_for_ever(tmp_path: Path) -> None:
    """What cannot be delivered in time stays in the spool."""
    done = run(tmp_path, HOLDS_A_LOCK, TRACE_EXIT_AT_SIGTERM="yes", TRACE_EXIT_TIMEOUT="0.5")
    assert done.returncode == -signal.SIGTERM, done.stderr


OWN = """\
def mine(*_):
    print("mine", signal.getsignal(signal.SIGTERM) is mine)
    os._exit(0)
signal.signal(signal.SIGTERM, mine)
Tracer(durable(sink, spool=False))
"""


@pytest.mark.parametrize("variables", [{}, {"TRACE_EXIT_AT_SIGTERM": "yes"}], ids=["unset", "yes"])
def test_a_handler_of_the_programs_stays(tmp_path: Path, variables: dict[str, str]) -> None:
    """It alone decides what the signal does."""
    assert run(tmp_path, OWN + DIES, **variables).stdout == "mine True\n"


def test_by_default_signals_are_left_alone(tmp_path: Path) -> None:
    """What was not delivered waits in the spool."""
    handler = "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    assert run(tmp_path, handler).stdout == "True\n"


def test_another_thread_cannot_handle_signals(tmp_path: Path) -> None:
    """It is told, and tracing works as ever."""
    program = """
def on_a_thread():
    Tracer(durable(sink)).start("there").end()
thread = threading.Thread(target=on_a_thread)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
thread.start(); thread.join()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""
    done = run(tmp_path, program, TRACE_EXIT_AT_SIGTERM="yes")
    assert done.stdout == "True\n"
    assert "works from the main thread only" in done.stderr
