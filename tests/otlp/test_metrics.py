"""Real calls become metrics, read from the SDK and as Prometheus reads them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import trace_litellm
from support.provider import COMPLETION_TOKENS, PROMPT_TOKENS, Provider, Scenario

pytest.importorskip("opentelemetry.exporter.prometheus")

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port that nobody listens on."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> dict[str, dict[str, float]]:
    """Read metrics as Prometheus does: by name, the values by their labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        if match := re.match(r"(\w+)\{(.*)\} (\S+)", line):
            found.setdefault(match[1], {})[match[2]] = float(match[3])
    return found


def total(found: dict[str, dict[str, float]], name: str, label: str = "") -> float:
    """Add up a metric, of the labels with a text in them."""
    return sum(value for labels, value in found.get(name, {}).items() if label in labels)


def test_calls_of_all_kinds(litellm: Any, provider: Provider, port: int) -> None:
    """An answer, a stream, an error, a hit in the cache: each is in what Prometheus reads."""
    provider.script("metrics-bad", Scenario(status=401))
    options = {"messages": MESSAGES, "api_base": provider.openai_base, "api_key": "x"}
    litellm.cache = litellm.Cache(type="local")
    try:
        running = trace_litellm.autolog(f"otel-metrics:{port}")
        assert running is not None
        litellm.completion("openai/gpt-4o-mini", **options, caching=True)
        litellm.completion("openai/gpt-4o-mini", **options, caching=True)
        usage = {"include_usage": True}
        stream = litellm.completion("openai/gpt-4o", **options, stream=True, stream_options=usage)
        pauses = len(list(stream)) - 1
        with contextlib.suppress(litellm.AuthenticationError):
            litellm.completion("openai/metrics-bad", **options)
        assert running.flush(30)
        found = scrape(port)
    finally:
        litellm.cache = None
    tokens = "gen_ai_client_token_usage"
    assert total(found, f"{tokens}_sum", 'gen_ai_token_type="input"') == 2 * PROMPT_TOKENS
    assert total(found, f"{tokens}_sum", 'gen_ai_token_type="output"') == 2 * COMPLETION_TOKENS
    assert total(found, "gen_ai_client_operation_duration_seconds_count") == 4
    assert total(found, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == 1
    assert total(found, "gen_ai_client_operation_time_per_output_chunk_seconds_count") == pauses
    errors = next(name for name in found if name.startswith("trace_client_errors"))
    assert total(found, errors, "AuthenticationError") == 1
    hits = next(name for name in found if name.startswith("trace_client_cache_hits"))
    assert total(found, hits, 'gen_ai_request_model="gpt-4o-mini"') == 1
    cost = next(name for name in found if name.startswith("trace_client_cost"))
    assert total(found, cost) > 0


PROGRAM = """
import os, sys, urllib.request
import litellm
litellm.completion("gpt-4o-mini", [{"role": "user", "content": "hi"}], mock_response="yes")
import trace_litellm
assert trace_litellm.autolog().flush(60)
address = f"http://127.0.0.1:{sys.argv[1]}/metrics"
print(urllib.request.urlopen(address, timeout=10).read().decode())
"""


@pytest.mark.slow
def test_run_with_a_port(port: int, tmp_path: Path) -> None:
    """``trace-litellm run --metrics-port`` serves them beside the sink that was chosen."""
    command = [Path(sys.executable).with_name("trace-litellm"), "run"]
    options = ["--sink", "jsonl:spans.jsonl", "--metrics-port", str(port)]
    done = subprocess.run(
        [*command, *options, "--", sys.executable, "-c", PROGRAM, str(port)],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gen_ai_client_operation_duration_seconds_count" in done.stdout
    assert (tmp_path / "spans.jsonl").read_text().count("\n") == 1
