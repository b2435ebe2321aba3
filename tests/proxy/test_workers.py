"""The workers of a server that runs under ``trace-litellm run`` are traced, to their last call."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("gunicorn") is None or find_spec("litellm") is None,
    reason="gunicorn is not installed; it comes with litellm[proxy]",
)

APP = """\
import os

def app(environ, start_response):
    import litellm  # in the worker, at its first request

    messages = [{"role": "user", "content": "hi"}]
    litellm.completion("openai/gpt-4o-mini", messages, mock_response="mocked")
    start_response("200 OK", [("content-type", "text/plain"), ("connection", "close")])
    return [str(os.getpid()).encode()]
"""


def ask(url: str) -> int:
    """Call the server once; it tells which of its workers answered."""
    with urllib.request.urlopen(url, timeout=120) as answer:
        return int(answer.read())


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.1)
    pytest.fail("the server did not start")


def test_every_worker_delivers_every_call(tmp_path: Path) -> None:
    """Each request is one span of the process that answered it, also the last before the end."""
    (tmp_path / "served.py").write_text(APP)
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    scripts = Path(sysconfig.get_path("scripts"))
    command = [scripts / "trace-litellm", "run", "--sink", "jsonl:spans.jsonl", "--"]
    command += [scripts / "gunicorn", "--workers", "2", "--timeout", "120"]
    command += ["--bind", f"127.0.0.1:{port}", "served:app"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRACE_", "OTEL_"))}
    environment = {**kept, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_for(port)
        answered = Counter(ask(f"http://127.0.0.1:{port}/") for _ in range(6))
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    lines = (tmp_path / "spans.jsonl").read_text().splitlines()
    spans = [json.loads(line) for line in lines]
    assert Counter(span["resource"]["process.pid"] for span in spans) == answered, said.decode()
    assert process.pid not in answered, "the master answered itself: no worker was tried"
    assert process.returncode == 0
