"""Runs the real LiteLLM proxy under ``trace-litellm run``, as a user would."""

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
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EXTRA = ("apscheduler", "backoff", "fastapi", "orjson", "uvicorn")
MISSING = [name for name in ("litellm", "openai", *EXTRA) if find_spec(name) is None]
NEEDS_PROXY = [
    pytest.mark.skipif(
        bool(MISSING), reason=f"litellm[proxy] is not installed: no {', '.join(MISSING)}"
    ),
    pytest.mark.skipif(os.name == "nt", reason="the proxy is ended by a signal"),
]


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(folder: Path, configuration: Mapping[str, Any], **variables: str) -> Iterator[str]:
    """Run the proxy in a folder; end it by the signal that a service manager sends.

    Args:
        folder: Where it runs, and where it leaves its spans: see `spans_in`.
        configuration: What its ``config.yaml`` says.
        **variables: More of its environment.

    Yields:
        Its URL.
    """
    (folder / "config.yaml").write_text(json.dumps(configuration))  # JSON is YAML
    port = free_port()
    scripts = Path(sysconfig.get_path("scripts"))
    command = [scripts / "trace-litellm", "run", "--sink", "jsonl:spans.jsonl", "--service", "gate"]
    command += ["--", scripts / "litellm", "--config", "config.yaml"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRACE_", "OTEL_"))}
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True"}
    own = {"TRACE_SPOOL_DIR": str(folder / "spool"), "TRACE_EXIT_AT_SIGTERM": "yes"}
    environment = {**kept, **local, **own, **variables}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(process, f"{url}/health/liveliness", folder / "log")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(f"the proxy did not start:\n{log.read_text()[-4000:]}")


def spans_in(folder: Path) -> list[dict[str, Any]]:
    """Read the spans that a proxy left behind when it ended, in order of their start."""
    spans = map(json.loads, (folder / "spans.jsonl").read_text().splitlines())
    return sorted(spans, key=lambda span: span["start_ns"])
