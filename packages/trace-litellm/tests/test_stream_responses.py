"""A Responses stream is put together from its items where its last event has no output."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from trace_litellm._streams.responses import ResponsesDeltas

CALL = {
    "type": "function_call",
    "id": "fc",
    "call_id": "call_9",
    "name": "f",
    "arguments": '{"a":1}',
}
TEXT = {
    "type": "message",
    "role": "assistant",
    "content": ({"type": "output_text", "text": "Hello"},),
}
THOUGHT = {"type": "reasoning", "id": "r", "summary": ({"type": "summary_text", "text": "Hm, so"},)}
ITEMS = (THOUGHT, TEXT, CALL)


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """Make an event as LiteLLM hands it on."""
    return {"type": f"response.{kind}", **fields}


def events_of(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of one item: it begins, comes in two deltas, and is complete."""
    empty: dict[str, Any] = {"arguments": ""}
    kind, parts = "function_call_arguments", (item.get("arguments") or "")
    if item is TEXT:
        empty, kind, parts = {"content": ()}, "output_text", "Hello"
    elif item is THOUGHT:
        empty, kind, parts = {"summary": ()}, "reasoning_summary_text", "Hm, so"
    where = {"output_index": index, "summary_index" if item is THOUGHT else "content_index": 0}
    return [
        event("output_item.added", output_index=index, item={**item, **empty}),
        event(f"{kind}.delta", delta=parts[:3], **where),
        event(f"{kind}.delta", delta=parts[3:], **where),
        event("output_item.done", output_index=index, item=item),
    ]


EVENTS = [one for index, item in enumerate(ITEMS) for one in events_of(index, item)]
CREATED = event("created", response={"id": "resp", "status": "in_progress", "output": []})


def outputs_of(*events: dict[str, Any]) -> Any:
    """Return what a stream of these events adds up to."""
    deltas = ResponsesDeltas()
    for one in events:
        deltas.add(one)
    return deltas.outputs()


@pytest.mark.parametrize("last", [[], None, [CALL]])
def test_the_items_make_up_for_a_last_event_without_them(last: Any) -> None:
    """Its other fields are kept, such as the usage."""
    response = {"id": "resp", "status": "completed", "output": last, "usage": {"input_tokens": 1}}
    outputs = outputs_of(CREATED, *EVENTS, event("completed", response=response))
    assert outputs == {**response, "output": ITEMS}


def test_the_output_of_the_last_event_wins() -> None:
    """Where it has as much as the items have."""
    output = tuple({**item, "status": "completed"} for item in ITEMS)
    response = {"id": "resp", "output": output}
    assert outputs_of(CREATED, *EVENTS, event("completed", response=response)) == response


@pytest.mark.parametrize("cut", range(1, len(EVENTS) + 1))
def test_a_cut_stream_has_what_arrived(cut: int) -> None:
    """Names and ids are known from the moment an item begins; texts as far as they came."""
    output = outputs_of(CREATED, *EVENTS[:cut])["output"]
    assert len(output) == -(-cut // 4)
    for index, item in enumerate(output):
        whole, arrived = ITEMS[index], min(4, cut - 4 * index)
        assert item["type"] == whole["type"]
        assert {item.get(name) for name in ("id", "call_id", "name")} == {
            whole.get(name) for name in ("id", "call_id", "name")
        }
        if arrived >= 3:  # both deltas, or the whole item
            assert item == whole


def test_deltas_without_an_item() -> None:
    """The kind of the delta says what it belongs to; an unknown one is kept as text."""
    deltas = [
        event("output_text.delta", output_index=1, content_index=0, delta="Hi"),
        event("function_call_arguments.delta", output_index=0, delta="{}"),
        event("new_thing.delta", item_id="x", delta="?"),
    ]
    assert outputs_of(*deltas)["output"] == (
        {"type": "function_call", "arguments": "{}"},
        {"type": "message", "content": ({"type": "output_text", "text": "Hi"},)},
        {"type": "new_thing", "text": "?"},
    )


class Event(BaseModel):
    """An event as LiteLLM makes it of one that it has no class of its own for."""

    model_config = ConfigDict(extra="allow")
    type: str


@pytest.mark.parametrize(
    ("item", "kind", "field"),
    [
        ({"type": "reasoning", "summary": []}, "reasoning_summary_text", "summary"),
        ({"type": "reasoning", "content": []}, "reasoning_text", "content"),
        ({"type": "custom_tool_call", "input": ""}, "custom_tool_call_input", "input"),
        ({"type": "code_interpreter_call", "code": ""}, "code_interpreter_call_code", "code"),
    ],
)
def test_fields_without_a_class_of_their_own_are_read(
    item: dict[str, Any], kind: str, field: str
) -> None:
    """What pydantic keeps apart, because the class does not name it, belongs to the event."""
    deltas = ResponsesDeltas()
    added = {"type": "response.output_item.added", "output_index": 0, "item": {"id": "i", **item}}
    deltas.add(Event(**added))
    for piece in ("Owls ", "sleep"):
        deltas.add(Event(type=f"response.{kind}.delta", item_id="i", output_index=0, delta=piece))
    [built] = deltas.outputs()["output"]  # type: ignore[index,call-overload]
    assert "Owls sleep" in str(built[field])
