"""The cases that MLflow tests its own LiteLLM integration with: what it asserts of them holds of ours.

Names are those of ``mlflow.litellm.autolog()``, by ``TRACE_MLFLOW_NAMES=autolog``. Where ours differs
on purpose, the test says so, and so does the guide for those who come from it. Its case about
telemetry has no counterpart: we send none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.provider import Provider

MESSAGES = [{"role": "system", "content": "Hello"}]
ANSWER = "Hello from the loopback provider."


class Store:
    """A local database of MLflow's, traced into, and calls of LiteLLM's."""

    def __init__(self, litellm: Any, mlflow: Any, tracing: Any, provider: Provider) -> None:
        self.litellm, self.mlflow, self._tracing = litellm, mlflow, tracing
        self.options = {
            "model": "openai/gpt-4o-mini-2024-07-18",
            "messages": MESSAGES,
            "api_base": provider.openai_base,
            "api_key": "sk-own-case",
        }

    def traces(self) -> list[Any]:
        """Return all traces, the newest first."""
        assert self._tracing.flush(60)
        return self.mlflow.search_traces(return_type="list")

    def span(self) -> Any:
        """Return the only span of the trace that the last call made."""
        assert self._tracing.flush(60)
        trace = self.mlflow.get_trace(self.mlflow.get_last_active_trace_id())
        (span,) = trace.data.spans
        assert trace.info.state == span.status.status_code.removeprefix("SpanStatusCode.")
        return span


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all cases: to make it takes MLflow seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def store(
    litellm: Any, provider: Provider, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    import mlflow

    import trace_litellm

    monkeypatch.setenv("TRACE_MLFLOW_NAMES", "autolog")
    mlflow.set_tracking_uri(database)
    mlflow.set_experiment("own cases")
    yield Store(litellm, mlflow, trace_litellm.autolog("mlflow"), provider)
    trace_litellm.autolog(disable=True)
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)


def _sync(store: Store, **options: Any) -> Any:
    return store.litellm.completion(**store.options, **options)


def _async(store: Store, **options: Any) -> Any:
    async def call() -> Any:
        answer = await store.litellm.acompletion(**store.options, **options)
        return [chunk async for chunk in answer] if options.get("stream") else answer

    return asyncio.run(call())


@pytest.mark.parametrize("call", [_sync, _async])
def test_success(store: Store, call: Callable[..., Any]) -> None:
    """Name, type, answer, model, cost and usage; an async call has the name of the sync one."""
    answer = call(store)
    span = store.span()
    assert (span.name, span.span_type) == ("litellm-completion", "LLM")
    assert span.inputs["messages"] == MESSAGES
    assert set(span.inputs) == {"messages", "model", "api_base"}  # MLflow's has the messages alone
    assert span.outputs == answer.model_dump()
    assert span.attributes["model"] == "gpt-4o-mini-2024-07-18"
    assert span.attributes["call_type"] == "completion"
    assert span.attributes["cache_hit"] is False  # MLflow's: None
    assert span.attributes["response_cost"] > 0
    usage = span.attributes["mlflow.chat.tokenUsage"]  # MLflow's has LiteLLM's own besides
    assert usage["total_tokens"] == answer.usage.total_tokens


def test_failure(store: Store) -> None:
    """Status, inputs, no outputs, the exception; what it cost is not known, where MLflow says 0."""
    with (
        contextlib.redirect_stdout(None),
        pytest.raises(store.litellm.exceptions.BadRequestError, match="LLM Provider"),
    ):
        store.litellm.completion(model="invalid-model", messages=MESSAGES)
    span = store.span()
    assert span.name == "litellm-completion"
    assert span.status.status_code == "ERROR"
    assert span.inputs == {"model": "invalid-model", "messages": MESSAGES}
    assert span.outputs is None
    assert span.attributes["model"] == "invalid-model"
    assert "response_cost" not in span.attributes
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize("call", [lambda *a, **k: list(_sync(*a, **k)), _async])
def test_streaming(store: Store, call: Callable[..., Any]) -> None:
    """Chunks reach the caller, and the span has the whole answer."""
    chunks = [chunk.choices[0].delta.content for chunk in call(store, stream=True)]
    assert "".join(chunk or "" for chunk in chunks) == ANSWER
    span = store.span()
    assert (span.name, span.span_type) == ("litellm-completion", "LLM")
    assert span.inputs["messages"] == MESSAGES
    assert span.inputs["stream"] is True
    assert span.outputs["choices"][0]["message"]["content"] == ANSWER
    assert span.attributes["model"] == "gpt-4o-mini-2024-07-18"


def test_disable(store: Store) -> None:
    """Turned off, calls make no trace."""
    import trace_litellm

    before = len(store.traces())
    _sync(store)
    assert len(store.traces()) == before + 1
    trace_litellm.autolog(disable=True)
    _sync(store)
    assert len(store.traces()) == before + 1
