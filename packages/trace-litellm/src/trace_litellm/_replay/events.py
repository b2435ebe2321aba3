"""Makes the events of a stream of the Responses API or of Anthropic's Messages of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trace_litellm._replay.split import shares, split

_Event = dict[str, Any]
_PLAIN: Final = ("output_text", "refusal", "reasoning_text", "summary_text")
_ARGUMENTS: Final = {
    "function_call": ("function_call_arguments", "arguments"),
    "mcp_call": ("mcp_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
    "code_interpreter_call": ("code_interpreter_call_code", "code"),
}


def response_events(
    response: Mapping[str, Any], chunks: int | None, *, completed: bool
) -> list[_Event]:
    """Return the events of the Responses API, as plain data.

    Args:
        response: The whole answer.
        chunks: How many events there were, if that is known.
        completed: Whether the stream was read to its end; else the last events are left out.
    """
    texts = [text for item in response.get("output") or () for text in _texts_of(item)]
    fixed = len(list(_response_events(response, iter([0] * len(texts)))))
    pieces = shares(texts, None if chunks is None else max(chunks - fixed, len(texts)))
    events = list(_response_events(response, iter(pieces)))
    if not completed and chunks is not None:
        events = events[:chunks]
    elif not completed:
        events = events[:-1]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _texts_of(item: Mapping[str, Any]) -> list[str]:
    return [text for _, _, text in _streamed_parts(item) if text]


def _streamed_parts(item: Mapping[str, Any]) -> Iterator[tuple[str, _Event, str]]:
    """Yield what of an item arrives in pieces: its kind, where it belongs, the text."""
    kind = str(item.get("type"))
    if kind in _ARGUMENTS:
        name, field = _ARGUMENTS[kind]
        yield name, {}, str(item.get(field) or "")
    for index, part in enumerate(item.get("content") or ()):
        name = part.get("type")
        if name in _PLAIN:
            field = "refusal" if name == "refusal" else "text"
            yield str(name), {"content_index": index}, str(part.get(field) or "")
    for index, part in enumerate(item.get("summary") or ()):
        text = str(part.get("text") or "")
        yield "reasoning_summary_text", {"summary_index": index}, text


def _response_events(response: Mapping[str, Any], pieces: Iterator[int | None]) -> Iterator[_Event]:
    begun = {**response, "output": [], "status": "in_progress", "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response.get("output") or ()):
        yield from _item_events(item, index, pieces)
    status = response.get("status")
    ending = status if status in ("failed", "incomplete") else "completed"
    yield {"type": f"response.{ending}", "response": response}


def _item_events(
    item: Mapping[str, Any], index: int, pieces: Iterator[int | None]
) -> Iterator[_Event]:
    emptied: _Event = {name: [] for name in ("content", "summary") if item.get(name)}
    field = _ARGUMENTS.get(str(item.get("type")), ("", ""))[1]
    begun = {**item, **emptied, **({field: ""} if field else {})}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for kind, place, text in _streamed_parts(item):
        where = {"item_id": item.get("id") or "", "output_index": index, **place}
        yield from _part_events(kind, where, text, pieces, _part(item, place))
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(item: Mapping[str, Any], place: Mapping[str, int]) -> _Event | None:
    at = place.get("content_index")
    return None if at is None else item["content"][at]


def _part_events(
    kind: str, where: _Event, text: str, pieces: Iterator[int | None], part: _Event | None
) -> Iterator[_Event]:
    field = "refusal" if kind == "refusal" else "text"
    if part is not None:
        yield {"type": "response.content_part.added", **where, "part": {**part, field: ""}}
    count = next(pieces) if text else 0
    for piece in [] if count == 0 else split(text, count):
        yield {"type": f"response.{kind}.delta", **where, "delta": piece}
    whole = {"arguments": "arguments", "input": "input", "code": "code"}
    name = whole.get(kind.rpartition("_")[2], field)
    yield {"type": f"response.{kind}.done", **where, name: text}
    if part is not None:
        yield {"type": "response.content_part.done", **where, "part": part}


def message_events(message: Mapping[str, Any], *, completed: bool) -> list[bytes]:
    """Return the server-sent events of Anthropic's Messages.

    Args:
        message: The whole answer.
        completed: Whether the stream was read to its end; else the last events are left out.
    """
    kept = {name: value for name, value in message.items() if name != "error"}
    usage = kept.get("usage") or {}
    begun = {**kept, "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**usage, "output_tokens": 0}
    events: list[_Event] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(kept.get("content") or ()):
        events += _block_events(index, block)
    if message.get("error"):
        events.append({"type": "error", "error": message["error"]})
    elif completed:
        ending = {name: kept.get(name) for name in ("stop_reason", "stop_sequence")}
        events.append({"type": "message_delta", "delta": ending, "usage": usage})
        events.append({"type": "message_stop"})
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]


_DELTAS: Final = {
    "text": ("text", "text_delta", "text"),
    "thinking": ("thinking", "thinking_delta", "thinking"),
    "tool_use": ("input", "input_json_delta", "partial_json"),
    "server_tool_use": ("input", "input_json_delta", "partial_json"),
}
"""By the type of a block: the field that arrives in pieces, its delta's type and field."""


def _block_events(index: int, block: Mapping[str, Any]) -> Iterator[_Event]:
    place = {"index": index}
    field, delta, name = _DELTAS.get(str(block.get("type")), ("", "", ""))
    value = block.get(field) if field else None
    begun = {**block, **({field: {} if name == "partial_json" else ""} if field else {})}
    signature = begun.pop("signature", None)
    yield {"type": "content_block_start", **place, "content_block": begun}
    text = json.dumps(value) if name == "partial_json" and not isinstance(value, str) else value
    for piece in split(text) if isinstance(text, str) else ():
        yield {"type": "content_block_delta", **place, "delta": {"type": delta, name: piece}}
    if signature:
        signed = {"type": "signature_delta", "signature": signature}
        yield {"type": "content_block_delta", **place, "delta": signed}
    yield {"type": "content_block_stop", **place}
