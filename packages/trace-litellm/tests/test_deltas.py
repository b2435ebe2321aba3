"""What the chunks of a stream add up to, whatever order they come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from trace_litellm._streams.chat import ChatDeltas

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
        fields: dict[str, Any] = {}  # old releases have there what they do not know as well
        for chunk in own:
            delta = chunk_of(**chunk).choices[0].delta
            fields |= getattr(delta, "provider_specific_fields", None) or {}
        assert message.get("provider_specific_fields") == (fields or None)
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


def message_of(*parts: dict[str, Any]) -> Any:
    """Return the message that the deltas of one choice add up to."""
    deltas = ChatDeltas()
    for one in parts:
        deltas.add(chunk_of(**one))
    found: Any = deltas.outputs()
    return found["choices"][0]["message"]


def test_function_call_in_pieces() -> None:
    """A call in the words before tools: its arguments are joined, its name stays."""
    pieces = ({"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ":1}"})
    message = message_of(*({"function_call": piece} for piece in pieces))
    assert message["function_call"] == {"name": "f", "arguments": '{"a":1}'}


def test_tool_call_whose_id_and_name_are_told_once() -> None:
    """Some providers send empty ones with what follows."""
    first = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
    rest = {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": "{}"}}
    [call] = message_of({"tool_calls": [first]}, {"tool_calls": [rest]})["tool_calls"]
    assert call["id"] == "1"
    assert call["function"] == {"name": "f", "arguments": "{}"}


def test_tool_calls_that_share_an_index() -> None:
    """Another id beside a name is another call; pieces go to the last one."""

    def call(arguments: str, **more: Any) -> dict[str, Any]:
        name = more.pop("name", None)
        return {
            "tool_calls": [{"index": 0, "function": {"name": name, "arguments": arguments}, **more}]
        }

    message = message_of(
        call("{", id="1", name="f"), call("}"), call("[", id="2", name="g"), call("]")
    )
    assert [(one["id"], one["function"]) for one in message["tool_calls"]] == [
        ("1", {"name": "f", "arguments": "{}"}),
        ("2", {"name": "g", "arguments": "[]"}),
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        (("f", '{"a":1}'), ("f", '{"a":2}')),
        (("f", '{"a"'), (None, ":1}"), ("g", "{}")),
        (("f", '{"a"'), (None, ":1}"), ("f", '{"a":2}')),
        (("f", "{}"), ("g", "{}"), ("f", "{}")),
    ],
)
def test_parallel_tool_calls_without_ids(pieces: tuple[tuple[str | None, str], ...]) -> None:
    """Another name is another call, and so are new arguments after complete ones."""
    message = message_of(
        *(
            {"tool_calls": [{"index": 0, "function": {"name": name, "arguments": arguments}}]}
            for name, arguments in pieces
        )
    )
    expected: list[tuple[str, str]] = []
    for name, arguments in pieces:
        if name is None:
            last, before = expected.pop()
            expected.append((last, before + arguments))
        else:
            expected.append((name, arguments))
    calls = [one["function"] for one in message["tool_calls"]]
    assert [(call["name"], call["arguments"]) for call in calls] == expected


def test_a_name_that_each_piece_repeats() -> None:
    """Pieces of arguments that are not complete are of one call."""
    message = message_of(
        *(
            {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": piece}}]}
            for piece in ('{"a":', '{"b":1', "}}")
        )
    )
    [call] = message["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"a":{"b":1}}'}


def test_audio_in_pieces() -> None:
    """What is said and how it sounds are joined."""
    pieces = ({"id": "1", "transcript": "Hel"}, {"transcript": "lo"}, {"data": "QUJD"},
              {"data": "REVG"}, {"expires_at": 9})  # fmt: skip
    message = message_of(*({"audio": piece} for piece in pieces))
    assert message["audio"] == {
        "id": "1", "transcript": "Hello", "data": "QUJDREVG", "expires_at": 9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [(("QQ==", "QkM="), "QUJD"), (("QUJD", "REVG"), "QUJDREVG"), (("?==", "QQ=="), "?==QQ==")],
)
def test_audio_encoded_piece_by_piece(pieces: tuple[str, ...], whole: str) -> None:
    """Padding within would end it; what is no base64 is joined as it is."""
    message = message_of(*({"audio": {"data": piece}} for piece in pieces))
    assert message["audio"]["data"] == whole


@pytest.mark.parametrize("name", ["annotations", "images"])
def test_lists_get_longer(name: str) -> None:
    """Each delta tells of more, and none of what was told before."""
    message = message_of({name: [{"index": 0}]}, {"content": "a"}, {name: [{"index": 1}]})
    assert message[name] == ({"index": 0}, {"index": 1})


def test_fields_of_a_provider_and_citations() -> None:
    """Each field is kept as it was told last, but citations, which come one by one."""
    message = message_of(
        *(
            {"provider_specific_fields": told}
            for told in ({"citation": 1}, {"a": 2}, {"citation": 3})
        )
    )
    assert message["provider_specific_fields"] == {"a": 2, "citations": ((1, 3),)}


def test_thinking_blocks() -> None:
    """A signature ends a block; one that is redacted is whole."""
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "h"},
        {"type": "thinking", "thinking": "m"},
        {"type": "thinking", "signature": "s"},
        {"type": "redacted_thinking", "data": "A"},
        {"type": "redacted_thinking", "data": "B"},
    ]
    message = message_of(*({"thinking_blocks": [block]} for block in blocks))
    assert message["thinking_blocks"] == (
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "A"},
        {"type": "redacted_thinking", "data": "B"},
    )


def test_what_a_chunk_tells_besides_its_choices() -> None:
    """A provider's own fields are kept, such as the sources of a search; padding is not."""
    deltas = ChatDeltas()
    for text in "ab":
        chunk = chunk_of(content=text)
        told = {"citations": ["u"], "service_tier": "flex", "obfuscation": "xyz"}
        assert chunk.__pydantic_extra__ is not None
        chunk.__pydantic_extra__.update(told)
        deltas.add(chunk)
    found: Any = deltas.outputs()
    assert found["citations"] == ("u",)
    assert found["service_tier"] == "flex"
    assert "obfuscation" not in found
