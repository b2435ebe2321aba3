"""What a request of the proxy costs its event loop: how often it goes into our functions."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support import litellm_proxy

pytestmark = [
    *litellm_proxy.NEEDS_PROXY,
    pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed"),
]
BENCH = Path(__file__).parents[2] / "bench" / "proxy_calls.py"
MOST = 250
"""A request has two spans, the Router's and the provider's, and MLflow's and OpenTelemetry's bridge.

Each of its two waits for the writer takes two calls more on a machine that is busy.
"""


def test_calls_of_our_functions_for_a_request(tmp_path: Path) -> None:
    """No more than so many, with MLflow imported: a count that a busy machine does not change."""
    done = subprocess.run(
        [sys.executable, BENCH],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    calls = json.loads(done.stdout.splitlines()[-1])["calls"]
    assert calls <= MOST, f"{calls} calls; see them by: python bench/proxy_calls.py --list"
