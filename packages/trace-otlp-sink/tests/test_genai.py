"""The dialect ``genai``: names, attributes, and messages by the registry's schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import (
    ConfigurationError,
    Cost,
    Span,
    SpanContext,
    SpanKind,
    Status,
    TokenUsage,
    semconv,
    snapshot,
)
from trace_otlp_sink import DIALECTS, to_attributes
from trace_otlp_sink._convert import check_dialect, view

PNG = "iVBORw0KGgo="
CUT = {"kind": "image/png", "length": 70_000, "sha256": "ab" * 32}
REQUIRED = {
    "text": {"content"},
    "reasoning": {"content"},
    "tool_call": {"name"},
    "tool_call_response": {"response"},
    "blob": {"modality", "content"},
    "file": {"modality", "file_id"},
    "uri": {"modality", "uri"},
    "server_tool_call": {"name", "server_tool_call"},
    "server_tool_call_response": {"server_tool_call_response"},
}
"""What the registry's schemas require of each type of part; other types are free."""


def call(
    inputs: Any = None, outputs: Any = None, kind: SpanKind = SpanKind.LLM, **more: Any
) -> Span:
    return Span(
        SpanContext("1" * 32, "2" * 16),
        None,
        more.pop("name", "x"),
        kind,
        1,
        2,
        inputs=snapshot(inputs),
        outputs=snapshot(outputs),
        **more,
    )


def said(span: Span) -> dict[str, Any]:
    """What was said, checked by the schemas."""
    found = to_attributes(span)
    read = lambda name: json.loads(str(found.get(name, "[]")))  # noqa: E731
    inputs, outputs = read(semconv.INPUT_MESSAGES), read(semconv.OUTPUT_MESSAGES)
    system, tools = read(semconv.SYSTEM_INSTRUCTIONS), read(semconv.TOOL_DEFINITIONS)
    for message in inputs + outputs:
        assert isinstance(message["role"], str)
        check_parts(message["parts"])
    assert all(isinstance(message["finish_reason"], str) for message in outputs)
    check_parts(system)
    assert all(isinstance(tool["type"], str) and isinstance(tool["name"], str) for tool in tools)
    return {"in": inputs, "out": outputs, "system": system, "tools": tools}


def check_parts(parts: list[Any]) -> None:
    for part in parts:
        assert REQUIRED.get(part["type"], set()) <= part.keys(), part
        for key in ("content", "uri", "file_id", "modality", "name"):
            if part["type"] in REQUIRED and key in REQUIRED[part["type"]]:
                assert isinstance(part[key], str), part


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def test_a_chat_with_everything():
    """Pictures, sounds, files, a tool's call and its answer, thoughts, two choices."""
    tool = {"name": "weather", "description": "d", "parameters": {"type": "object"}}
    asked = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"a":1}'},
    }
    found = said(
        call(
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {
                        "role": "user",
                        "name": "ann",
                        "content": [
                            {"type": "text", "text": "look"},
                            {
                                "type": "image_url",
                                "image_url": {"url": "https://a/b.png", "detail": "low"},
                            },
                            {
                                "type": "image_url",
                                "image_url": {"url": f"data:image/png;base64,{PNG}"},
                            },
                            {"type": "image_url", "image_url": {"url": CUT}},
                            {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
                            {"type": "file", "file": {"file_id": "f1"}},
                            {"type": "video_url", "video_url": {"url": "https://a/v.mp4"}},
                        ],
                    },
                    {"role": "assistant", "content": None, "tool_calls": [asked]},
                    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
                ],
                "tools": [{"type": "function", "function": tool}, {"type": "web_search"}],
            },
            {
                "choices": [
                    {
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "a", "reasoning_content": "hm"},
                    },
                    {
                        "finish_reason": "tool_calls",
                        "message": {"role": "assistant", "content": "", "tool_calls": [asked]},
                    },
                ]
            },
        )
    )
    system, user, assistant, answer = found["in"]
    assert system == {"role": "system", "parts": [text("be brief")]}
    assert user["name"] == "ann"
    assert [(p["type"], p.get("modality")) for p in user["parts"]] == [
        ("text", None), ("uri", "image"), ("blob", "image"), ("blob", "image"),
        ("blob", "audio"), ("file", "document"), ("uri", "video"),
    ]  # fmt: skip
    assert user["parts"][1]["detail"] == "low"
    assert user["parts"][2] == {
        "type": "blob",
        "modality": "image",
        "content": PNG,
        "mime_type": "image/png",
    }
    assert (user["parts"][3]["sha256"], user["parts"][3]["content"]) == (CUT["sha256"], "")
    assert user["parts"][4]["mime_type"] == "audio/wav"
    called = {"type": "tool_call", "name": "weather", "arguments": {"a": 1}, "id": "c1"}
    assert assistant == {"role": "assistant", "parts": [called]}
    assert answer == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "response": "sunny", "id": "c1"}],
    }
    thought = {"type": "reasoning", "content": "hm"}
    assert found["out"] == [
        {"role": "assistant", "parts": [thought, text("a")], "finish_reason": "stop"},
        {"role": "assistant", "parts": [called], "finish_reason": "tool_call"},
    ]
    assert found["tools"] == [
        {"type": "function", **tool},
        {"type": "web_search", "name": "web_search"},
    ]


def test_responses():
    """Items of the Responses API: one message comes out."""
    found = said(
        call(
            {
                "instructions": "be brief",
                "input": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_text", "text": "q"},
                            {"type": "input_image", "image_url": "https://a/b.png"},
                        ],
                    },
                    {
                        "type": "reasoning",
                        "id": "r1",
                        "summary": [{"type": "summary_text", "text": "so"}],
                    },
                    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "42"},
                ],
                "tools": [
                    {"type": "function", "name": "f", "parameters": {}},
                    {"type": "file_search", "vector_store_ids": ["v"]},
                ],
            },
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "output": [
                    {"type": "reasoning", "id": "r2", "summary": [], "encrypted_content": "e"},
                    {"type": "web_search_call", "id": "w1", "status": "completed"},
                    {
                        "type": "message",
                        "id": "m1",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "a"}],
                    },
                ],
            },
        )
    )
    assert found["system"] == [text("be brief")]
    assert [m["role"] for m in found["in"]] == ["user", "assistant", "assistant", "tool"]
    assert [p["type"] for p in found["in"][0]["parts"]] == ["text", "uri"]
    (answer,) = found["out"]
    assert [p["type"] for p in answer["parts"]] == ["reasoning", "server_tool_call", "text"]
    assert answer["finish_reason"] == "length"
    assert [tool["name"] for tool in found["tools"]] == ["f", "file_search"]


def test_anthropics_messages():
    """Blocks become parts; results of tools are a tool's message."""
    found = said(
        call(
            {
                "system": [{"type": "text", "text": "be brief"}],
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "c1",
                                "content": "sunny",
                                "is_error": True,
                            },
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64",
                                    "media_type": "image/png",
                                    "data": PNG,
                                },
                            },
                            {
                                "type": "document",
                                "source": {"type": "url", "url": "https://a/b.pdf"},
                            },
                            {"type": "document", "source": {"type": "file", "file_id": "f"}},
                        ],
                    }
                ],
                "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
            },
            {
                "type": "message",
                "stop_reason": "tool_use",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "server_tool_use", "id": "w", "name": "web_search", "input": {"q": 1}},
                    {"type": "web_search_tool_result", "tool_use_id": "w", "content": []},
                    {"type": "tool_use", "id": "c2", "name": "f", "input": {"a": 1}},
                ],
            },
        )
    )
    assert found["system"] == [text("be brief")]
    tool, user = found["in"]
    assert tool["parts"] == [
        {"type": "tool_call_response", "response": "sunny", "id": "c1", "is_error": True}
    ]
    assert [(p["type"], p["modality"]) for p in user["parts"]] == [
        ("blob", "image"), ("uri", "document"), ("file", "document"),
    ]  # fmt: skip
    (answer,) = found["out"]
    assert answer["finish_reason"] == "tool_call"
    assert [p["type"] for p in answer["parts"]] == [
        "reasoning", "redacted_thinking", "server_tool_call", "server_tool_call_response", "tool_call",
    ]  # fmt: skip
    assert found["tools"][0] == {
        "type": "function",
        "name": "f",
        "description": "d",
        "parameters": {"type": "object"},
    }


def test_googles_contents():
    """Parts without a type."""
    span = call(
        {
            "system_instruction": {"parts": [{"text": "be brief"}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "q"},
                        {"inlineData": {"mimeType": "image/png", "data": PNG}},
                        {"file_data": {"mime_type": "video/mp4", "file_uri": "gs://a"}},
                    ],
                },
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "f", "response": {"r": 2}}}],
                },
            ],
        },
        {
            "responseId": "r",
            "modelVersion": "m",
            "candidates": [
                {
                    "finishReason": "MAX_TOKENS",
                    "content": {"parts": [{"text": "hm", "thought": True}, {"text": "a"}]},
                }
            ],
        },
    )
    found = said(span)
    assert found["system"] == [text("be brief")]
    assert [m["role"] for m in found["in"]] == ["user", "assistant", "tool"]
    assert [(p["type"], p.get("modality")) for p in found["in"][0]["parts"]] == [
        ("text", None), ("blob", "image"), ("uri", "video"),
    ]  # fmt: skip
    (answer,) = found["out"]
    assert [p["type"] for p in answer["parts"]] == ["reasoning", "text"]
    assert answer["finish_reason"] == "length"
    attributes = to_attributes(span)
    assert attributes[semconv.RESPONSE_ID] == "r"
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ("MAX_TOKENS",)


def test_a_tool_and_an_agent_of_the_program():
    """Spans that LiteLLM does not make get what the conventions ask for."""
    tool = to_attributes(call({"city": "Paris"}, "sunny", SpanKind.TOOL, name="weather"))
    assert tool[semconv.OPERATION_NAME] == "execute_tool"
    assert tool[semconv.TOOL_NAME] == "weather"
    assert tool[semconv.TOOL_CALL_ARGUMENTS] == '{"city":"Paris"}'
    assert tool[semconv.TOOL_CALL_RESULT] == '"sunny"'
    assert semconv.INPUTS not in tool
    agent = call("plan", "done", SpanKind.AGENT)
    assert to_attributes(agent)[semconv.OPERATION_NAME] == "invoke_agent"
    assert said(agent)["in"] == [{"role": "user", "parts": [text("plan")]}]


def test_embeddings_and_rerankings_keep_all():
    """What has no convention is JSON under ``trace.*``."""
    found = to_attributes(
        call({"input": ["a"]}, {"data": [{"embedding": [0.5]}]}, SpanKind.EMBEDDING)
    )
    assert json.loads(str(found[semconv.INPUTS])) == {"input": ["a"]}
    assert json.loads(str(found[semconv.OUTPUTS])) == {"data": [{"embedding": [0.5]}]}
    assert semconv.INPUT_MESSAGES not in found


def test_usage_and_cost():
    """Known counts alone; an estimate is marked, and so is what a cache saved."""
    usage = TokenUsage(input=3, cache_read=1, audio_input=2, source="estimated")  # type: ignore[arg-type]
    found = to_attributes(call(usage=usage, cost=Cost(total=0.0, saved=0.5)))
    assert found[semconv.USAGE_INPUT_TOKENS] == 3
    assert found[semconv.USAGE_CACHE_READ_INPUT_TOKENS] == 1
    assert found["trace.usage.audio.input_tokens"] == 2
    assert found["trace.usage.source"] == "estimated"
    assert (found["trace.cost.total"], found["trace.cost.saved"]) == (0.0, 0.5)
    assert semconv.USAGE_OUTPUT_TOKENS not in found


@pytest.mark.parametrize(
    ("kind", "attributes", "name"),
    [
        (SpanKind.LLM, {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "m"}, "chat m"),
        (SpanKind.LLM, {semconv.REQUEST_MODEL: "m"}, "x"),
        (SpanKind.CHAIN, {semconv.OPERATION_NAME: "chat", semconv.REQUEST_MODEL: "m"}, "x"),
        (
            SpanKind.TOOL,
            {semconv.OPERATION_NAME: "execute_tool", semconv.TOOL_NAME: "t"},
            "execute_tool t",
        ),
        (
            SpanKind.AGENT,
            {semconv.OPERATION_NAME: "invoke_agent", semconv.AGENT_NAME: "a"},
            "invoke_agent a",
        ),
    ],
)
def test_names(kind, attributes, name):
    """``{operation} {subject}``, if both are known."""
    span = call(kind=kind, attributes=attributes)
    assert view(span, ("genai",), content=True).name == name


def test_without_content():
    """Nothing that was said is left; model, counts and cost are."""
    span = call(
        {"messages": [{"role": "user", "content": "secret"}]}, "secret",
        status=Status("ERROR", "secret"), attributes={semconv.REQUEST_MODEL: "m"}, cost=Cost(total=1.0),  # type: ignore[arg-type]
    )  # fmt: skip
    found = to_attributes(span, content=False)
    assert "secret" not in json.dumps(found)
    assert (found[semconv.REQUEST_MODEL], found["trace.cost.total"]) == ("m", 1.0)


def test_values_are_of_opentelemetrys_types():
    """Lists of one type stay lists, also empty ones; what is nested or mixed is JSON text."""
    given = {"a": (), "b": ("x",), "c": (1, 2), "d": (1, "x"), "e": {"k": (1,)}, "f": 10**30}
    found = to_attributes(call(attributes={**given, "g": float("nan"), "h": (1, 0.5), "i": None}))
    assert {key: found.get(key) for key in "abcdefghi"} == {
        "a": (), "b": ("x",), "c": (1, 2), "d": '[1,"x"]', "e": '{"k":[1]}', "f": str(10**30),
        "g": "nan", "h": "[1,0.5]", "i": None,
    }  # fmt: skip


def test_private_notes_of_other_sinks_are_left_out():
    """What the MLflow sink notes for itself."""
    assert "trace.mlflow.run_id" not in to_attributes(call(attributes={"trace.mlflow.run_id": "r"}))


def test_an_unknown_dialect_is_told():
    """With those that are known."""
    for wrong in ("morse", "", "genai,morse"):
        with pytest.raises(ConfigurationError, match="choose from genai"):
            check_dialect(wrong)


hostile = st.text(st.characters(codec=None, exclude_categories=()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile,
    lambda inner: (
        st.lists(inner).map(tuple)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "parts", "tool_calls", "function", "source", "id", "message", "image_url", "input_audio", "data", "output", "name", "arguments"]) | hostile,
            inner,
        )
    ),
    max_leaves=20,
)  # fmt: skip
shapes = st.dictionaries(
    st.sampled_from(["messages", "input", "prompt", "contents", "tools", "system", "instructions", "choices", "output", "candidates", "data", "content", "type", "query", "documents", "results", "text"]),
    values,
)  # fmt: skip


@given(shapes, shapes, st.sampled_from(list(SpanKind)), st.sampled_from(DIALECTS))
def test_no_shape_breaks_the_conversion(inputs, outputs, kind, dialect):
    """Whatever a span holds, its attributes are flat and clean, and messages keep the schemas."""
    span = call(inputs, outputs, kind)
    for name, value in to_attributes(span, dialect).items():
        name.encode()
        assert isinstance(value, (str, bool, int, float, tuple))
        for item in value if isinstance(value, tuple) else (value,):
            str(item).encode()
    said(span)
