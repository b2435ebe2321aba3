"""What the chunks of a stream add up to, whatever order they come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from trace_litellm._deltas import ChatDeltas

TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "bc", "é"]))
TOLD = {
    "reasoning_content": st.sampled_from(["why", "because"]),
    "provider_specific_fields": st.sampled_from([{"x": 1}, {"x": 2}]),
    "finish_reason": st.sampled_from(["stop", "length"]),
    "logprobs": st.just({"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}),
    "index": st.integers(0, 2),
    "enhancements": st.sampled_from([{"safe": 1}, {"safe": 2}]),
    "tool_calls": st.just([{"index": 0, "type": "function", "function": {"arguments": "x"}}]),
}
PLAIN = st.fixed_dictionaries({"content": st.sampled_from(["a", "bc", "é"])})
MORE = st.sampled_from(list(TOLD)).flatmap(
    lambda name: st.fixed_dictionaries({"content": TEXT, name: TOLD[name]})
)
ANY = st.fixed_dictionaries({}, optional={"content": TEXT, **TOLD})
CHUNKS = st.lists(st.one_of(PLAIN, PLAIN, MORE, ANY), max_size=12)


def chunk_of(**parts: Any) -> ModelResponseStream:
    """Make a chunk as LiteLLM does."""
    of_choice = ("enhancements", "finish_reason", "index", "logprobs")
    own = {name: parts.pop(name) for name in of_choice if name in parts}
    choice = StreamingChoices(delta=Delta(**parts), **own)
    kind = "chat.completion.chunk"
    return ModelResponseStream(id="1", created=1, model="m", object=kind, choices=[choice])


def joined(chunks: list[dict[str, Any]], name: str) -> str | None:
    """Join one text of all chunks; none where no chunk has it."""
    texts = [chunk[name] for chunk in chunks if chunk.get(name) is not None]
    return "".join(texts) if texts else None


def last_told(found: list[Any]) -> Any:
    """Return the last that is there; none where there is none."""
    return next((one for one in reversed(found) if one is not None), None)


@given(CHUNKS)
def test_chunks_add_up_in_any_order(chunks: list[dict[str, Any]]) -> None:
    """Texts are joined by choice; what else a chunk tells is seen among chunks of text alone."""
    deltas = ChatDeltas()
    for chunk in chunks:
        deltas.add(chunk_of(**chunk))
    found: Any = deltas.outputs()
    assert [choice["index"] for choice in found["choices"]] == sorted(
        {chunk.get("index", 0) for chunk in chunks}
    )
    for choice in found["choices"]:
        own = [chunk for chunk in chunks if chunk.get("index", 0) == choice["index"]]
        message = choice["message"]
        assert message["content"] == joined(own, "content")
        assert message.get("reasoning_content") == joined(own, "reasoning_content")
        for name in ("finish_reason", "enhancements"):
            assert choice.get(name) == last_told([chunk.get(name) for chunk in own])
        deltas_of_own = [chunk_of(**chunk).choices[0].delta for chunk in own]
        assert message.get("provider_specific_fields") == last_told(
            [getattr(delta, "provider_specific_fields", None) for delta in deltas_of_own]
        )  # old releases have them of what they do not know as well
        calls = "x" * len([chunk for chunk in own if "tool_calls" in chunk])
        called = message.get("tool_calls", ())
        assert "".join(call["function"]["arguments"] for call in called) == calls
        probable = [chunk for chunk in own if "logprobs" in chunk]
        tokens = choice.get("logprobs", {}).get("content", ())
        assert [token["token"] for token in tokens] == ["a"] * len(probable)


def test_tool_calls_among_text() -> None:
    """The pieces of a tool call are put together, with text before and after."""
    piece = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    rest = {"index": 0, "function": {"arguments": "}"}}
    deltas = ChatDeltas()
    for parts in ({"content": "a"}, {"content": "b"}, {"tool_calls": [piece]}, {"content": "c"},
                  {"tool_calls": [rest]}, {"content": "d"}):  # fmt: skip
        deltas.add(chunk_of(**parts))
    found: Any = deltas.outputs()
    message = found["choices"][0]["message"]
    assert message["content"] == "abcd"
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "f", "arguments": "{}"}
    ]


@pytest.mark.parametrize("where", ["fields", "extra"])
def test_usage_of_any_chunk(where: str) -> None:
    """Tokens are read wherever a release keeps them, and of a chunk of text alone as well."""
    deltas = ChatDeltas()
    for text in "ab":
        deltas.add(chunk_of(content=text))
    last = chunk_of(content="c")
    kept = last.__dict__ if where == "fields" else last.__pydantic_extra__
    assert kept is not None
    kept["usage"] = {"prompt_tokens": 1}
    deltas.add(last)
    found: Any = deltas.outputs()
    assert found["usage"] == {"prompt_tokens": 1}
    assert found["choices"][0]["message"]["content"] == "abc"
