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


def stuck(signal_name: str) -> str:
    """A program whose exit does not come to its end, and which then gets another signal."""
    return f"""
import time
tracer = Tracer(durable(lambda spans: time.sleep(3600), spool=False, exit_timeout=3000))
tracer.start("stuck").end()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have tests ignore it
def then():
    while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.{signal_name})
threading.Thread(target=then).start()
"""


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Nobody has to wait for a server that is away."""
    assert (
        run(tmp_path, stuck("SIGTERM") + DIES, TRACE_EXIT_AT_SIGTERM="yes").returncode
        == -signal.SIGTERM
    )


def test_a_lock_of_the_interrupted_thread_holds_up_nothing_for_ever(tmp_path: Path) -> None:
    """What cannot be delivered in time stays in the spool."""
    done = run(tmp_path, HOLDS_A_LOCK, TRACE_EXIT_AT_SIGTERM="yes", TRACE_EXIT_TIMEOUT="0.5")
    assert done.returncode == -signal.SIGTERM, done.stderr


def test_nor_does_one_that_is_held_while_a_span_is_handed_over(tmp_path: Path) -> None:
    """With ``handoff="caller"`` the interrupted thread may be writing."""
    program = f"""
from trace_core import _sigterm
_sigterm._MORE_IF_HELD_UP = 0.1
class Locked:
    lock = threading.Lock()
    def write(self, spans):
        with self.lock:
            {DIES.replace(chr(10), "; ")}
    def flush(self, timeout=5): return True
    def close(self, timeout=5):
        with self.lock: pass
Tracer(durable(Locked(), spool=False, handoff="caller")).start("held").end()
threading.Event().wait(60)
"""
    done = run(tmp_path, program, TRACE_EXIT_AT_SIGTERM="yes", TRACE_EXIT_TIMEOUT="0.5")
    assert done.returncode == -signal.SIGTERM, done.stderr


def test_a_blocked_signal_ends_the_program_too(tmp_path: Path) -> None:
    """The kernel gives it to another thread; the main thread, which handles it, blocks it.

    Nor does it end the first process of a container, which has the same code then.
    """
    program = """
threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getpid(), signal.SIGTERM)
while True:
    threading.Event().wait(0.01)
"""
    done = run(tmp_path, program, TRACE_EXIT_AT_SIGTERM="yes")
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert len((tmp_path / "spans.jsonl").read_text().splitlines()) == SPANS + 1


SIGNALLED_AT_EXIT = """
import time
from trace_core import at_exit
class Exit:
    began = threading.Event()
    def begins(self): self.began.set()
signal.signal(signal.SIGUSR1, lambda *_: None)
def deliver(spans):
    Exit.began.wait(60)
    os.kill(os.getpid(), signal.SIGTERM)
    while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        time.sleep(0.01)
        # CPython may overlook one that comes as the main thread begins to wait, until it wakes up
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    print("delivered", flush=True)
tracer = Tracer(durable(deliver, spool=False, exit_timeout=60))
exits = Exit()
at_exit(exits.begins)
tracer.start("waits").end()
"""


def test_a_program_that_ends_already_is_not_cut_off(tmp_path: Path) -> None:
    """It delivers what it has, and ends as it would have."""
    done = run(tmp_path, SIGNALLED_AT_EXIT, TRACE_EXIT_AT_SIGTERM="yes")
    assert (done.returncode, done.stdout) == (0, "delivered\n"), done.stderr


def test_control_c_ends_the_wait(tmp_path: Path) -> None:
    """And the program: its sinks are closed by then."""
    ending = """
try:
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(60)
except KeyboardInterrupt:
    print("goes on")
"""
    done = run(tmp_path, stuck("SIGINT") + ending, TRACE_EXIT_AT_SIGTERM="yes")
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr


def test_a_child_that_has_not_run_yet_ends_too(tmp_path: Path) -> None:
    """Else a pool that is ended as soon as it has started would wait for ever."""
    program = """
for _ in range(100):
    child = os.fork()
    if not child:
        threading.Event().wait(3600)
    os.kill(child, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""
    done = run(tmp_path, program, TRACE_EXIT_AT_SIGTERM="yes")
    assert done.returncode == 0, done.stderr


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


def test_nor_can_a_subinterpreter(tmp_path: Path) -> None:
    """The same, where CPython has them: as in a server that runs one for each application."""
    program = """
signal.signal(signal.SIGTERM, signal.SIG_DFL)
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
inside = "from trace_core import durable; durable(print); print('works')"
print(interpreters.run_string(interpreters.create(), inside))
"""
    done = run(tmp_path, program, TRACE_EXIT_AT_SIGTERM="yes")
    assert done.stdout == "works\nNone\n", done.stderr
    assert "works from the main thread only" in done.stderr
