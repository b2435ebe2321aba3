"""Servers and pools that fork: each worker's spans are delivered, also of those that are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from trace_core import JsonLinesSink, Spool
from trace_core._spool.reader import read_spans

APP = """
import os
from trace_core import JsonLinesSink, Tracer, durable

folder = os.environ["FOLDER"]
tracer = Tracer(
    durable(
        JsonLinesSink(folder + "/out.jsonl"),
        spool_dir=folder + "/spool",
        handoff="caller",
        environ={},
    )
)
for number in range(50):  # the master is busy when it forks
    tracer.start(f"master {number}").end()


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    with tracer.span(name):
        pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

POOL = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from trace_core import JsonLinesSink, Tracer, durable


def tracer_to(folder):
    sink = JsonLinesSink(folder + "/out.jsonl")
    return Tracer(durable(sink, spool_dir=folder + "/spool", environ={}))


def work(name):
    global tracer
    if "tracer" not in globals():  # under spawn nothing is inherited
        tracer = tracer_to(sys.argv[1])
    with tracer.span(name):
        time.sleep(0.001)
    return name


if __name__ == "__main__":
    tracer = tracer_to(sys.argv[1])
    for number in range(50):  # busy when it forks
        tracer.start(f"parent {number}").end()
    with ProcessPoolExecutor(3, mp_context=get_context(sys.argv[2])) as pool:
        names = [f"task {number}" for number in range(200)]
        assert list(pool.map(work, names)) == names
"""


def names_in(folder: Path) -> Counter[str]:
    """Have a fresh process's spool deliver what is left, and count the spans by name."""
    file = JsonLinesSink(folder / "out.jsonl")
    left = Spool(folder / "spool", file, adopt_every=0.05)
    left.start()
    deadline = time.monotonic() + 60
    while any(n.endswith(".seg") for _, _, found in os.walk(folder / "spool") for n in found):
        assert time.monotonic() < deadline, "spans are stuck in the spool"
        time.sleep(0.02)
    left.close()
    spans = {span.span_id: span for span in read_spans(file.path)}
    return Counter(span.name for span in spans.values())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes(tmp_path: Path, method: str) -> None:
    """What tasks in a pool record arrives, once each, and so does what its parent does."""
    script = tmp_path / "main.py"
    script.write_text(POOL)
    command = [sys.executable, str(script), str(tmp_path), method]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    wanted = [f"parent {n}" for n in range(50)] + [f"task {n}" for n in range(200)]
    assert names_in(tmp_path) == Counter(wanted)


def ask(port: int, name: str) -> int | None:
    """Make a request; return the worker's process, or ``None`` if there was no answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10) as answer:
            return int(answer.read())
    except OSError:  # the worker is gone, or the server is not there yet
        return None


@pytest.mark.skipif(find_spec("gunicorn") is None, reason="gunicorn is not installed")
def test_gunicorn_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    """What workers forked from a busy master have answered for arrives, the killed one's too."""
    (tmp_path / "served.py").write_text(APP)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--log-level", "error"]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "served:app"],
        cwd=tmp_path,
        env={**os.environ, "FOLDER": str(tmp_path)},
    )
    try:
        deadline = time.monotonic() + 60
        while ask(port, "warm") is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        answered, killed = [], False
        for number in range(150):
            worker = ask(port, f"request {number}".replace(" ", "-"))
            if worker is not None:
                answered.append(f"request-{number}")
                if number >= 75 and not killed:
                    os.kill(worker, signal.SIGKILL)
                    killed = True
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
    found = names_in(tmp_path)
    assert len(answered) > 100
    assert {name for name in answered if found[name] != 1} == set()
    assert [n for n in range(50) if found[f"master {n}"] != 1] == []
