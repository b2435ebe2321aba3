"""The calls that LiteLLM makes for a batch, on threads of its own, are found by their batch."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import trace_litellm
from trace_core import MemorySink

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
def sink(litellm: Any) -> MemorySink:
    """A sink of a traced LiteLLM."""
    sink = MemorySink()
    trace_litellm.autolog(sink)
    return sink


def test_an_unrelated_call_with_the_same_messages_is_no_child(
    litellm: Any, sink: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call on another thread while a batch with the very same list is in progress."""
    begun, go_on = threading.Event(), threading.Event()
    unrelated = threading.current_thread()

    class Holding(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def completion(self, *_args: Any, **_kwargs: Any) -> Any:
            if threading.current_thread() is not unrelated:
                begun.set()
                go_on.wait(30)
            return litellm.ModelResponse()

    handlers = [{"provider": "holding", "custom_handler": Holding()}]
    monkeypatch.setattr(litellm, "custom_provider_map", handlers)
    batch = threading.Thread(target=lambda: litellm.batch_completion("holding/one", [MESSAGES]))
    batch.start()
    assert begun.wait(30)
    litellm.completion("holding/one", MESSAGES)
    go_on.set()
    batch.join(30)
    alone, child, parent = sink.spans
    assert parent.name == "batch_completion holding/one"
    assert alone.parent_id is None
    assert child.parent_id == parent.context.span_id


@pytest.mark.parametrize("chosen", [None, "mine"])
def test_each_call_of_a_batch_has_the_id_it_would_have(
    litellm: Any, sink: MemorySink, chosen: str | None
) -> None:
    """One of its own each, unless the caller chose one for the batch."""
    options = {} if chosen is None else {"litellm_call_id": chosen}
    litellm.batch_completion(MODEL, [MESSAGES, MESSAGES], mock_response="hello", **options)
    *children, parent = sink.spans
    assert {child.parent_id for child in children} == {parent.context.span_id}
    ids = {child.attributes["litellm.call_id"] for child in children}
    assert ids == {"mine"} if chosen else len(ids) == 2


def test_deployments_of_the_caller_stay_as_they_are(litellm: Any, sink: MemorySink) -> None:
    """A model list may be used again; LiteLLM copies arguments of the call into it."""
    deployments = [{"model": MODEL, "mock_response": "hello"}]
    for _ in range(2):
        litellm.batch_completion_models(deployments=deployments, model_list=[], messages=MESSAGES)
    assert "litellm_call_id" not in deployments[0]
    first, parent, second, other = sink.spans
    assert first.parent_id == parent.context.span_id
    assert second.parent_id == other.context.span_id
