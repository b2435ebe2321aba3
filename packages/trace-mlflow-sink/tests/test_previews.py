"""MLflow's list shows text for every kind of call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.mlflow_spans import chat_span
from trace_core import SpanKind, Status, StatusCode, TokenUsage, UsageSource, semconv
from trace_mlflow_sink._mapping import previews, tags

USER = {"role": "user", "content": "q"}
CALL = {"function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
PARTS = ({"type": "text", "text": "q"}, {"type": "image_url", "image_url": {"url": "http://x"}})


def chat(**message):
    return {"choices": ({"message": {"role": "assistant", **message}},)}


REQUESTS = [
    (SpanKind.LLM, {"messages": ({"role": "system", "content": "s"}, USER)}, "q", False),
    (SpanKind.LLM, {"messages": (USER, {"role": "tool", "content": "t"})}, "q", False),
    (SpanKind.LLM, {"messages": ({"role": "user", "content": PARTS},)}, "q", False),
    (SpanKind.LLM, {"input": "q"}, "q", True),
    (SpanKind.LLM, {"input": (USER,)}, "q", False),
    (SpanKind.LLM, {"prompt": "q"}, "q", True),
    (SpanKind.LLM, {"contents": ({"role": "user", "parts": ({"text": "q"},)},)}, "q", True),
    (SpanKind.EMBEDDING, {"input": "q"}, "q", True),
    (SpanKind.EMBEDDING, {"input": ("q",)}, "q", True),
    (SpanKind.EMBEDDING, {"input": ("a", "b", "c")}, "3 texts", True),
    (SpanKind.RERANKER, {"query": "q", "documents": ("a", "b")}, "q", True),
    (SpanKind.IMAGE, {"prompt": "q"}, "q", True),
    (SpanKind.INTERNAL, {"x": 1}, '{"x":1}', False),
    (SpanKind.INTERNAL, "q", "q", False),
    (SpanKind.LLM, "hidden", "hidden", True),
    (SpanKind.CHAIN, {"messages": ((USER,), ({"role": "user", "content": "r"},))}, "q\nr", True),
    (
        SpanKind.AUDIO,
        {"file": ("dir/a.wav", {"kind": "binary", "bytes": 8})},
        "audio, a.wav, 8 bytes",
        True,
    ),
    (SpanKind.AUDIO, {"file": "<_io.BufferedReader name='/tmp/b.mp3'>"}, "audio, b.mp3", True),
    (
        SpanKind.AUDIO,
        {"file": {"kind": "binary", "bytes": 1}, "prompt": "p"},
        "audio, 1 byte",
        True,
    ),
    (SpanKind.IMAGE, {"image": {"kind": "binary", "bytes": 8}}, "1 image", True),
    (SpanKind.INTERNAL, None, None, False),
]

RESPONSES = [
    (SpanKind.LLM, chat(content="a"), "a", False),
    (SpanKind.LLM, chat(content=None, tool_calls=(CALL,)), 'get_weather({"city": "Paris"})', True),
    (SpanKind.LLM, {"choices": ({"text": "a"},)}, "a", True),
    (
        SpanKind.LLM,
        {
            "output": (
                {"type": "reasoning", "summary": ()},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": ({"type": "output_text", "text": "a"},),
                },
            )
        },
        "a",
        False,
    ),
    (
        SpanKind.LLM,
        {"output": ({"type": "function_call", "name": "f", "arguments": "{}"},)},
        "f({})",
        True,
    ),
    (SpanKind.LLM, {"type": "message", "content": ({"type": "text", "text": "a"},)}, "a", True),
    (
        SpanKind.LLM,
        {"type": "message", "content": ({"type": "tool_use", "name": "f", "input": {"x": 1}},)},
        'f({"x":1})',
        True,
    ),
    (SpanKind.LLM, {"candidates": ({"content": {"parts": ({"text": "a"},)}},)}, "a", True),
    (SpanKind.EMBEDDING, {"data": ({"embedding": (0.1,)},)}, "1 embedding", True),
    (
        SpanKind.RERANKER,
        {
            "results": (
                {"index": 1, "relevance_score": 0.98, "document": {"text": "b"}},
                {"index": 0, "relevance_score": 0.5},
            )
        },
        "b (0.98)\ndocument 0 (0.50)",
        True,
    ),
    (SpanKind.IMAGE, {"data": ({"url": "http://x"},)}, "1 image", True),
    (SpanKind.AUDIO, {"text": "a"}, "a", True),
    (
        SpanKind.AUDIO,
        {"kind": "audio", "bytes": 28, "content_type": "audio/mpeg"},
        "audio, 28 bytes, audio/mpeg",
        True,
    ),
    (SpanKind.LLM, "hidden", "hidden", True),
    (
        SpanKind.CHAIN,
        (chat(content="a"), chat(content="b"), "ValueError: c"),
        "a\nb\nValueError: c",
        True,
    ),
    (
        SpanKind.MODERATION,
        {"results": ({"categories": {"hate": True, "spam": False}},)},
        "flagged: hate",
        True,
    ),
    (SpanKind.MODERATION, {"results": ({"categories": {"hate": False}},)}, "not flagged", True),
    (SpanKind.INTERNAL, {"x": 1}, '{"x":1}', False),
]


@pytest.mark.parametrize(("kind", "inputs", "expected", "better"), REQUESTS)
def test_the_input_column_shows_what_was_asked(kind, inputs, expected, better):
    """As text; where MLflow finds that text itself, nothing more has to be written."""
    span = chat_span(kind=kind, inputs=inputs, outputs=None)
    assert previews.request_preview(span) == expected
    assert previews.reads_better(span) is better


@pytest.mark.parametrize(("kind", "outputs", "expected", "better"), RESPONSES)
def test_the_output_column_shows_what_was_answered(kind, outputs, expected, better):
    """As text, or as a count of what is no text."""
    span = chat_span(kind=kind, inputs=None, outputs=outputs)
    assert previews.response_preview(span) == expected
    assert previews.reads_better(span) is better


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        (
            "litellm.RateLimitError: slow\ndown",
            "litellm.RateLimitError",
            "litellm.RateLimitError: slow",
        ),
        ("slow\ndown", "litellm.RateLimitError", "RateLimitError: slow"),
        ("", "builtins.ValueError", "ValueError"),
        ("", None, None),
    ],
)
def test_the_output_column_shows_the_error_of_a_failed_call(message, kind, expected):
    """The first line of the exception."""
    attributes = {semconv.ERROR_TYPE: kind} if kind else {}
    span = chat_span(answer=None, status=Status(StatusCode.ERROR, message), attributes=attributes)
    assert previews.response_preview(span) == expected


def test_previews_are_short():
    """A preview fits the list."""
    span = chat_span(outputs=chat(content="x" * 5000))
    assert len(previews.response_preview(span) or "") == 1000


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner).map(tuple)
        | st.dictionaries(
            st.sampled_from(
                [
                    "messages",
                    "input",
                    "content",
                    "choices",
                    "message",
                    "output",
                    "data",
                    "results",
                    "role",
                    "text",
                    "parts",
                    "candidates",
                    "tool_calls",
                    "function",
                    "document",
                ]
            ),
            inner,
        )
    ),
    max_leaves=30,
)


@given(plain, plain, st.sampled_from(SpanKind))
def test_no_content_breaks_a_preview(inputs, outputs, kind):
    """Whatever a provider answers, there is a short text or nothing."""
    span = chat_span(kind=kind, inputs=inputs, outputs=outputs)
    for found in (previews.request_preview(span), previews.response_preview(span)):
        assert found is None or len(found) <= 1000
    previews.reads_better(span)


@pytest.mark.parametrize(
    ("attributes", "usage", "expected"),
    [
        ({semconv.STREAM_ENDING: "completed"}, UsageSource.PROVIDER, {}),
        ({semconv.STREAM_ENDING: "abandoned"}, UsageSource.PROVIDER, {"trace.ending": "abandoned"}),
        ({semconv.ENDING: "interrupted"}, UsageSource.PROVIDER, {"trace.ending": "interrupted"}),
        ({}, UsageSource.ESTIMATED, {"trace.usage.source": "estimated"}),
    ],
)
def test_tags_tell_what_state_a_call_is_in(attributes, usage, expected):
    """A cut stream, an interrupted call and estimated tokens are seen in the list."""
    span = chat_span(attributes=attributes, usage=TokenUsage(1, 2, 3, source=usage))
    found = tags.of_trace(span)
    assert {key: value for key, value in found.items() if key.startswith("trace.")} == expected
