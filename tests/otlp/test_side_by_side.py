"""One variable names MLflow and an OpenTelemetry backend: both get every call."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlflow")

import trace_litellm
from support.collector import Collector
from support.mlflow_server import database
from support.provider import Provider, Scenario
from trace_core import load_source

pytestmark = pytest.mark.slow
MESSAGES = [{"role": "user", "content": "hi"}]


def test_mlflow_and_a_collector_from_one_variable(
    litellm: Any, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same spans, with the same ids."""
    provider.script("beside-bad", Scenario(status=401))
    options = {"messages": MESSAGES, "api_base": provider.openai_base, "api_key": "x"}
    mlflow = f"mlflow:{database(tmp_path)}?experiment=both"
    with Collector() as collector:
        monkeypatch.setenv("TRACE_SINKS", f"{mlflow},otlp:{collector.url}")
        running = trace_litellm.autolog()
        litellm.completion("openai/gpt-4o-mini", **options)
        list(litellm.completion("openai/gpt-4o-mini", **options, stream=True))
        with contextlib.suppress(litellm.AuthenticationError):
            litellm.completion("openai/beside-bad", **options)
        assert running.flush(120)
        trace_litellm.autolog(disable=True)
        sent = {(span.trace_id, span.span_id) for span in collector.spans}
        assert collector.faults == []
    stored = {(span.trace_id, span.span_id) for span in load_source(mlflow).spans()}
    assert len(sent) == 3
    assert stored == sent
