"""The dialect ``openinference``: its names, and what is where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trace_core import (
    Cost,
    Span,
    SpanContext,
    SpanKind,
    TokenUsage,
    semconv,
    snapshot,
)
from trace_otlp_sink import to_attributes
from trace_otlp_sink._dialects import oi_names

PNG = "iVBORw0KGgo="


def attributes(
    inputs: Any = None, outputs: Any = None, kind: str = "LLM", **more: Any
) -> dict[str, Any]:
    span = Span(
        SpanContext("1" * 32, "2" * 16),
        None,
        more.pop("name", "x"),
        SpanKind(kind),
        1,
        2,
        inputs=snapshot(inputs),
        outputs=snapshot(outputs),
        **more,
    )
    return to_attributes(span, "openinference")


def test_the_names_are_openinferences():
    """Each name in our table is one in the package, under the same constant."""
    trace = pytest.importorskip("openinference.semconv.trace")
    theirs = {
        name: value
        for holder in vars(trace).values()
        if isinstance(holder, type)
        for name, value in vars(holder).items()
        if isinstance(value, str) and name.isupper()
    }
    renamed = {"SPAN_KIND": "OPENINFERENCE_SPAN_KIND"}
    ours = {k: v for k, v in vars(oi_names).items() if k.isupper() and isinstance(v, str)}
    values = {"JSON": "application/json", "TEXT": "text/plain"}
    assert {k: v for k, v in ours.items() if k in values} == values
    assert {k: theirs.get(renamed.get(k, k)) for k in ours if k not in values} == {
        k: v for k, v in ours.items() if k not in values
    }
    kinds = {str(e.value) for e in trace.OpenInferenceSpanKindValues}
    assert {
        str(attributes(kind=kind)[oi_names.SPAN_KIND]) for kind in SpanKind.__members__
    } <= kinds
    providers = {str(e.value) for e in trace.OpenInferenceLLMProviderValues}
    assert set(oi_names.PROVIDERS.values()) <= providers
    assert set(oi_names.SYSTEMS.values()) <= {
        str(e.value) for e in trace.OpenInferenceLLMSystemValues
    }


def test_a_chat():
    """Messages, tools, calls, model, provider, parameters, counts and cost."""
    asked = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"a": 1}'},
    }
    found = attributes(
        {
            "model": "openai/gpt",
            "temperature": 0.5,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
                {"role": "assistant", "tool_calls": [asked]},
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            ],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
        },
        {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "a", "reasoning_content": "hm"}}]},
        usage=TokenUsage(input=3, output=2, total=5, cache_read=1, reasoning=1),
        cost=Cost(input=0.1, output=0.2, total=0.3),
        attributes={semconv.PROVIDER_NAME: "azure.ai.openai", semconv.REQUEST_MODEL: "gpt", semconv.RESPONSE_MODEL: "gpt-1", semconv.SESSION_ID: "s", semconv.TAGS: ("t",), "trace.metadata.team": "red"},
    )  # fmt: skip
    start = "llm.input_messages"
    wanted = {
        f"{start}.0.message.role": "user",
        f"{start}.0.message.contents.0.message_content.type": "text",
        f"{start}.0.message.contents.0.message_content.text": "look",
        f"{start}.0.message.contents.1.message_content.type": "image",
        f"{start}.0.message.contents.1.message_content.image.image.url": f"data:image/png;base64,{PNG}",
        f"{start}.1.message.role": "assistant",
        f"{start}.1.message.tool_calls.0.tool_call.id": "c1",
        f"{start}.1.message.tool_calls.0.tool_call.function.name": "weather",
        f"{start}.1.message.tool_calls.0.tool_call.function.arguments": '{"a":1}',
        f"{start}.2.message.role": "tool",
        f"{start}.2.message.tool_call_id": "c1",
        f"{start}.2.message.content": "sunny",
        "llm.output_messages.0.message.contents.0.message_content.type": "reasoning",
        "llm.output_messages.0.message.contents.0.message_content.text": "hm",
        "llm.output_messages.0.message.contents.1.message_content.text": "a",
        "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}',
        "llm.invocation_parameters": '{"model":"openai/gpt","temperature":0.5}',
        "llm.model_name": "gpt-1",
        "llm.provider": "azure",
        "llm.system": "openai",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 3,
        "llm.token_count.completion": 2,
        "llm.token_count.total": 5,
        "llm.token_count.prompt_details.cache_read": 1,
        "llm.token_count.completion_details.reasoning": 1,
        "llm.cost.prompt": 0.1,
        "llm.cost.completion": 0.2,
        "llm.cost.total": 0.3,
        "openinference.span.kind": "LLM",
        "session.id": "s",
        "tag.tags": ("t",),
        "metadata": '{"team":"red"}',
        "input.mime_type": "application/json",
        "output.mime_type": "application/json",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert json.loads(found["input.value"])["temperature"] == 0.5


def test_instructions_and_answers_of_tools_are_messages():
    """Anthropic gives them elsewhere."""
    found = attributes(
        {
            "system": "be brief",
            "messages": [{"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "1"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "2"},
                {"type": "text", "text": "go on"},
            ]}],
        }
    )  # fmt: skip
    shown = [
        (
            found[f"llm.input_messages.{n}.message.role"],
            found[f"llm.input_messages.{n}.message.content"],
        )
        for n in range(4)
    ]
    assert shown == [("system", "be brief"), ("tool", "1"), ("tool", "2"), ("user", "go on")]


def test_a_text_completion():
    """Prompts and choices, no messages."""
    found = attributes(
        {"prompt": ["a", "b"]}, {"choices": [{"text": "c", "finish_reason": "stop"}]}
    )
    assert found["llm.prompts.1.prompt.text"] == "b"
    assert found["llm.choices.0.completion.text"] == "c"
    assert not [name for name in found if name.startswith("llm.input_messages")]


def test_an_embedding():
    """Texts and vectors by index."""
    found = attributes(
        {"model": "e", "input": ["a", "b"], "dimensions": 2},
        {"data": [{"embedding": [0.5, 1.0]}, {"embedding": [0.0, 0.5]}]},
        "EMBEDDING",
    )
    assert found["embedding.model_name"] == "e"
    assert found["embedding.embeddings.1.embedding.text"] == "b"
    assert found["embedding.embeddings.0.embedding.vector"] == (0.5, 1.0)
    assert json.loads(found["embedding.invocation_parameters"]) == {"model": "e", "dimensions": 2}


def test_a_reranking():
    """Documents before and after."""
    found = attributes(
        {"model": "r", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2},
        {"results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}]},
        "RERANKER",
    )
    assert (found["reranker.query"], found["reranker.model_name"], found["reranker.top_k"]) == (
        "q",
        "r",
        2,
    )
    assert found["reranker.input_documents.0.document.content"] == "a"
    assert found["reranker.input_documents.1.document.content"] == "b"
    assert found["reranker.output_documents.0.document.score"] == 0.5
    assert found["reranker.output_documents.0.document.content"] == "b"


def test_a_search():
    """Documents with score, id and the rest."""
    found = attributes(
        {"query": "q"},
        {
            "data": [
                {
                    "file_id": "f",
                    "filename": "a.txt",
                    "score": 0.5,
                    "content": [{"type": "text", "text": "t"}],
                }
            ]
        },
        "RETRIEVER",
    )
    start = "retrieval.documents.0.document"
    assert (found[f"{start}.id"], found[f"{start}.score"], found[f"{start}.content"]) == (
        "f",
        0.5,
        "t",
    )
    assert json.loads(found[f"{start}.metadata"])["filename"] == "a.txt"


def test_tools_agents_and_chains():
    """Spans of the program."""
    tool = attributes(
        {"city": "Paris"}, "sunny", "TOOL", name="weather", attributes={semconv.TOOL_CALL_ID: "c1"}
    )
    assert (tool["tool.name"], tool["tool.id"]) == ("weather", "c1")
    assert tool["tool.parameters"] == '{"city":"Paris"}'
    assert (tool["output.value"], tool["output.mime_type"]) == ("sunny", "text/plain")
    agent = attributes("plan", "done", "AGENT", attributes={semconv.AGENT_NAME: "planner"})
    assert (agent["openinference.span.kind"], agent["agent.name"]) == ("AGENT", "planner")
    assert attributes(kind="INTERNAL")["openinference.span.kind"] == "CHAIN"


def test_both_dialects_at_once():
    """Everything of the one and of the other."""
    span = Span(
        SpanContext("1" * 32, "2" * 16),
        None,
        "x",
        SpanKind.LLM,
        1,
        2,
        inputs={"messages": ({"role": "user", "content": "q"},)},
    )
    both = to_attributes(span, "genai,openinference")
    assert both == to_attributes(span, "genai") | to_attributes(span, "openinference")
