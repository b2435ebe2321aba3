"""MLflow's documentation page about LiteLLM, with our one line instead of theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.mlflow_server import MlflowServer
from support.program import run_program
from support.provider import Provider, Scenario, Usage

PROGRAM = """
import asyncio

import mlflow
import litellm
import trace_litellm

# Enable auto-tracing for LiteLLM
trace_litellm.autolog()

# Set a tracking URI and an experiment
mlflow.set_tracking_uri({tracking_uri!r})
mlflow.set_experiment("LiteLLM page")

litellm.suppress_debug_info = True
where = dict(api_base={api_base!r}, api_key="sk-never-recorded")
messages = [{{"role": "user", "content": "Hey! how's it going?"}}]

response = litellm.completion(model="openai/page-normal", messages=messages, **where)

for chunk in litellm.completion(
    model="openai/page-streaming",
    messages=messages,
    stream=True,
    stream_options={{"include_usage": True}},
    **where,
):
    print(chunk.choices[0].delta.content if chunk.choices else "", end="|")


async def call():
    return await litellm.acompletion(model="openai/page-async", messages=messages, **where)


asyncio.run(call())

litellm.cache = litellm.Cache(type="local")
for _ in range(2):
    litellm.completion(model="openai/page-cached", messages=messages, caching=True, **where)

try:
    litellm.completion(model="openai/page-failing", messages=messages, **where)
except litellm.BadRequestError:
    print("the caller sees the error")

trace_litellm.autolog(disable=True)
litellm.completion(model="openai/page-untraced", messages=messages, **where)
"""


@pytest.fixture(scope="module")
def calls(
    server: MlflowServer, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    """Run the page's program; return the traces by the model that was called."""
    from mlflow import MlflowClient

    usage = Usage(prompt=20, completion=10, cached=7)
    for name in ("normal", "streaming", "async", "cached", "untraced"):
        provider.script(f"page-{name}", Scenario(text="Fine, thanks!", usage=usage))
    provider.script(
        "page-failing", Scenario(status=400, error_body={"error": {"message": "no such model"}})
    )
    program = PROGRAM.format(tracking_uri=server.url, api_base=provider.openai_base)
    done = run_program(program, tmp_path_factory.mktemp("page"), TRACE_EXIT_TIMEOUT="120")
    assert "the caller sees the error" in done.stdout
    client = MlflowClient(server.url)
    experiment = client.get_experiment_by_name("LiteLLM page")
    assert experiment is not None, "the experiment set after autolog() is the one that counts"
    found: dict[str, list[Any]] = {}
    for trace in client.search_traces(locations=[experiment.experiment_id]):
        model = trace.data.spans[0].inputs["model"].removeprefix("openai/page-")
        found.setdefault(model, []).insert(0, trace)
    assert found, done.stderr
    return found


@pytest.mark.parametrize("kind", ["normal", "streaming", "async"])
def test_prompt_and_answer_are_recorded(calls: dict[str, list[Any]], kind: str):
    """Prompts and completions, latency, endpoint, tokens and provider; once each."""
    (trace,) = calls[kind]
    span = trace.data.spans[0]
    assert span.inputs["messages"][0]["content"] == "Hey! how's it going?"
    assert span.outputs["choices"][0]["message"]["content"] == "Fine, thanks!"
    assert trace.info.execution_duration is not None
    assert span.attributes["url.full"].startswith("http://127.0.0.1")
    assert span.attributes["mlflow.llm.provider"] == "openai"
    assert trace.info.token_usage["total_tokens"] == 30
    assert trace.info.token_usage["cache_read_input_tokens"] == 7
    assert trace.info.response_preview == "Fine, thanks!"


def test_a_cache_hit_is_marked_and_free(calls: dict[str, list[Any]]):
    """The second of two equal calls is a hit."""
    first, second = calls["cached"]
    hits = [t.data.spans[0].attributes.get("trace.cache_hit") for t in (first, second)]
    assert sorted(bool(hit) for hit in hits) == [False, True]
    hit = first if hits[0] else second
    assert hit.info.cost["total_cost"] == 0.0


def test_an_exception_is_recorded(calls: dict[str, list[Any]]):
    """Type, message and stack, and the trace is failed."""
    (trace,) = calls["failing"]
    assert trace.info.state == "ERROR"
    span = trace.data.spans[0]
    assert "no such model" in span.status.description
    assert span.events[0].attributes["exception.type"].endswith("BadRequestError")


def test_nothing_is_recorded_after_disable(calls: dict[str, list[Any]]):
    """``autolog(disable=True)`` ends it."""
    assert "untraced" not in calls


def test_no_key_is_recorded(calls: dict[str, list[Any]]):
    """The provider's key is nowhere in what MLflow stores."""
    stored = json.dumps([t.to_dict() for traces in calls.values() for t in traces], default=str)
    assert "sk-never-recorded" not in stored
