"""The chunks and events made of an answer add up to that answer, whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.scenarios import LITELLM
from trace_core import Span, SpanContext, SpanKind, Value, snapshot
from trace_litellm._replay.chunks import chat_chunks
from trace_litellm._replay.events import message_events, response_events
from trace_litellm._replay.recordings import Recording
from trace_litellm._replay.requests import Normaliser
from trace_litellm._replay.split import split
from trace_litellm._replay.streams import _chunk, _event
from trace_litellm._streams.chat import ChatDeltas
from trace_litellm._streams.events import SseDeltas, merge_anthropic
from trace_litellm._streams.responses import ResponsesDeltas

pytestmark = [
    pytest.mark.usefixtures("litellm"),
    pytest.mark.skipif(LITELLM < (1, 65, 8), reason="has fewer fields and no Responses API"),
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
JSON = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.booleans()), max_size=3)
NAMES = st.sampled_from(["weather", "search"])
COUNTS = st.one_of(st.none(), st.integers(1, 60))  # what came in no chunk is no answer
CALLS = st.lists(
    st.builds(
        lambda number, name, arguments: {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        },
        st.integers(0, 10**9),
        NAMES,
        JSON,
    ),
    max_size=3,
    unique_by=lambda call: call["id"],
)


def options(**fields: Any) -> Any:
    """Any of some fields, or none of them."""
    return st.fixed_dictionaries({}, optional=fields)


MESSAGES = options(
    content=TEXTS,
    reasoning_content=TEXTS,
    refusal=TEXTS,
    tool_calls=CALLS.filter(bool),
    annotations=st.just([{"type": "url_citation", "url_citation": {"url": "https://x.invalid"}}]),
    images=st.just([{"type": "image_url", "index": 0, "image_url": {"url": "data:image/png,x"}}]),
    thinking_blocks=st.lists(
        st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": "s"}, TEXTS),
        min_size=1,
        max_size=2,
    ),
    provider_specific_fields=st.just({"safety": "ok"}),
)
CHOICES = st.builds(
    lambda message, reason, logprobs: {
        "finish_reason": reason,
        "message": {"role": "assistant", "content": None, **message},
        **(
            {"logprobs": {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}}
            if logprobs
            else {}
        ),
    },
    MESSAGES,
    st.sampled_from(["stop", "length", "tool_calls", None]),
    st.booleans(),
)


def recorded(outputs: Any, chunks: int | None) -> Recording:
    attributes: dict[str, Value] = {"trace.stream.ending": "completed"}
    if chunks is not None:
        attributes["trace.stream.chunks"] = chunks
    span = Span(
        SpanContext("1" * 32, "1" * 16), None, "chat x", SpanKind.LLM, 1, 2,
        inputs={"model": "x"}, outputs=snapshot(outputs), attributes=attributes,
    )  # fmt: skip
    return Recording(span, "chat", Normaliser((), None).request("chat", span.inputs))


def known(value: Any) -> Any:
    """Leave out what is empty, and how tool calls are numbered."""
    if isinstance(value, Mapping):
        return {k: known(v) for k, v in value.items() if v not in (None, "") and k != "index"}
    return tuple(map(known, value)) if isinstance(value, (list, tuple)) else value


def told(choices: Any) -> list[Any]:
    """Leave out the choices that say nothing: no chunk may have brought them."""
    return [choice for choice in known(choices) if choice != {"message": {"role": "assistant"}}]


@settings(max_examples=300, deadline=None)
@given(st.lists(CHOICES, min_size=1, max_size=2), COUNTS)
def test_chat(choices: list[Any], chunks: int | None) -> None:
    """Texts, reasoning, refusals, tool calls, images, probabilities; as many chunks as asked."""
    numbered = [{"index": number, **choice} for number, choice in enumerate(choices)]
    outputs = {"id": "1", "created": 1, "model": "x", "choices": numbered}
    made = chat_chunks(recorded(outputs, chunks), usage=False)
    deltas = ChatDeltas()
    for chunk in made:
        deltas.add(_chunk(chunk, {}))
    assert told(deltas.outputs()["choices"]) == told(numbered)  # type: ignore[index, call-overload]
    letters = sum(len(str(choice["message"].get("content") or "")) for choice in choices)
    only_text = all(set(choice["message"]) == {"role", "content"} for choice in choices)
    probable = any("logprobs" in choice for choice in choices)
    if chunks is not None and only_text and not probable and 6 <= chunks <= letters:
        assert len(made) == chunks


ITEMS = st.lists(
    st.one_of(
        st.builds(
            lambda text: {
                "type": "message", "id": "m", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            },
            TEXTS,
        ),
        st.builds(
            lambda name, arguments: {
                "type": "function_call", "id": "f", "call_id": "c", "name": name,
                "arguments": json.dumps(arguments), "status": "completed",
            },
            NAMES,
            JSON,
        ),
        st.builds(
            lambda text: {
                "type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": text}]
            },
            TEXTS,
        ),
    ),
    max_size=3,
)  # fmt: skip


def response(output: list[Any]) -> dict[str, Any]:
    return {
        "id": "resp_1", "created_at": 1, "model": "x", "object": "response", "output": output,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed",
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(ITEMS, COUNTS)
def test_responses(output: list[Any], chunks: int | None) -> None:
    """Messages, function calls and reasoning; cut anywhere, they add up to what had come."""
    for completed in (True, False):
        events = response_events(response(output), chunks, completed=completed)
        deltas = ResponsesDeltas()
        for event in events:
            deltas.add(_event(event))
        outputs = deltas.outputs()
        if completed:
            assert known(outputs["output"]) == known(output)  # type: ignore[index, call-overload]
        elif chunks is not None:
            assert len(events) <= chunks


BLOCKS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
        st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXTS),
        st.builds(
            lambda name, given: {"type": "tool_use", "id": "t", "name": name, "input": given},
            NAMES,
            JSON,
        ),
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(BLOCKS)
def test_messages(blocks: list[Any]) -> None:
    """Texts, thinking and tools of Anthropic's interface."""
    usage = {"input_tokens": 3, "output_tokens": 5}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "x", "content": blocks,
        "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    deltas = SseDeltas(merge_anthropic)
    for event in message_events(message, completed=True):
        deltas.add(event)
    assert known(deltas.outputs()) == known(message)


@given(TEXTS, COUNTS)
def test_split(text: str, pieces: int | None) -> None:
    """No piece is empty, and together they are the text."""
    found = split(text, pieces)
    assert "".join(found) == text
    assert all(found)
    if pieces and pieces <= len(text):
        assert len(found) == pieces or pieces > len(text)
