"""Combines the server-sent events of Anthropic's Messages and of Google's API into one answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from trace_core import Value, snapshot
from trace_litellm._streams.usage import merge_usage


class SseDeltas:
    """Combines server-sent events that come as bytes, cut anywhere, or as objects.

    `add` keeps bytes as they are and parses nothing: `outputs` does, on the writer's thread.

    Args:
        merge: Makes one answer of the events' data.
    """

    def __init__(self, merge: EventMerger) -> None:
        self._merge = merge
        self._parts: list[bytes] = []
        self._objects: list[Value] = []

    def add(self, chunk: Any) -> None:
        """Keep a chunk."""
        if chunk.__class__ is bytes:
            self._parts.append(chunk)
        elif chunk.__class__ is str:
            self._parts.append(chunk.encode("utf-8", "replace"))
        else:
            self._objects.append(snapshot(chunk))

    def outputs(self) -> Value:
        """Return the answer so far."""
        return self._merge([*sse_data(b"".join(self._parts)), *self._objects])


class EventMerger(Protocol):
    """Makes one answer of the data of many events."""

    def __call__(self, events: list[Value], /) -> Value:
        """Return the answer."""
        ...


def sse_data(raw: bytes) -> Iterator[Value]:
    """Read the data of server-sent events; skip what is not JSON, such as an event cut short.

    Args:
        raw: Whole or partial events, as they came over the wire.
    """
    for line in raw.splitlines():
        if not line.startswith(b"data:"):
            continue
        try:
            yield snapshot(json.loads(line[5:]))
        except ValueError:  # "[DONE]", or the last event of a stream that was cut
            continue


def merge_anthropic(events: list[Value]) -> Value:
    """Combine the events of Anthropic's Messages API.

    Args:
        events: The events' data.

    Returns:
        A message as it would have been without streaming.
    """
    message: dict[str, Any] = {}
    blocks: dict[object, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Mapping):
            _merge_anthropic_event(message, blocks, event)
    _drop_placeholder(message, events)
    if message:
        message["content"] = tuple(_closed(block) for block in blocks.values())
    return message


def _merge_anthropic_event(
    message: dict[str, Any], blocks: dict[object, dict[str, Any]], event: Mapping[str, Any]
) -> None:
    kind, index = event.get("type"), event.get("index")
    if kind == "message_start":
        message.update(event.get("message") or {})
    elif kind == "content_block_start":
        blocks[index] = dict(event.get("content_block") or {})
    elif kind == "content_block_delta":
        _merge_anthropic_delta(blocks.setdefault(index, {}), event.get("delta") or {})
    elif kind == "message_delta":
        message.update({k: v for k, v in (event.get("delta") or {}).items() if v is not None})
        message["usage"] = _merge_anthropic_usage(message.get("usage"), event.get("usage"))
    elif kind == "error":
        message["error"] = event.get("error")


def _drop_placeholder(message: dict[str, Any], events: list[Value]) -> None:
    """Drop the first event's count of the answer, if no later event has one: it counts nothing."""
    usage = message.get("usage")
    if not isinstance(usage, Mapping) or not usage.get("output_tokens"):
        return
    later = [e.get("usage") for e in events if isinstance(e, Mapping)]
    if not any(isinstance(one, Mapping) and one.get("output_tokens") for one in later):
        message["usage"] = {**usage, "output_tokens": None}


def _merge_anthropic_usage(start: Value, new: Value) -> Value:
    """Merge the usage of a later event: its count of the answer replaces that of the first one."""
    if isinstance(start, Mapping) and isinstance(new, Mapping) and "output_tokens" in new:
        start = {**start, "output_tokens": None}
    return merge_usage(start, new)


_ANTHROPIC_DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


def _merge_anthropic_delta(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    name = _ANTHROPIC_DELTAS.get(str(delta.get("type")))
    if name is not None:
        block[name] = f"{block.get(name) or ''}{delta.get(name) or ''}"
    elif delta.get("type") == "citations_delta":
        block["citations"] = (*(block.get("citations") or ()), delta.get("citation"))


def _closed(block: dict[str, Any]) -> Mapping[str, Value]:
    """Parse a tool's input, which comes in pieces of JSON; if it was cut, keep the text."""
    text = block.pop("partial_json", None)
    if text:
        try:
            block["input"] = snapshot(json.loads(text))
        except ValueError:
            block["input"] = text
    return block


_MERGED: Final = ("candidates", "text", "usageMetadata", "usage_metadata")
"""Fields that are merged, or, as ``text``, only repeat the candidates."""


def merge_google(events: list[Value]) -> Value:
    """Combine the chunks of Google's ``streamGenerateContent``.

    Args:
        events: The chunks.

    Returns:
        A response as it would have been without streaming.
    """
    result: dict[str, Any] = {}
    candidates: dict[object, dict[str, Any]] = {}
    for event in events:
        if not isinstance(event, Mapping):
            continue
        result.update({k: v for k, v in event.items() if k not in _MERGED and v is not None})
        for name in ("usageMetadata", "usage_metadata"):
            if event.get(name) is not None:
                result[name] = merge_usage(result.get(name), event[name])
        listed = event.get("candidates")
        for candidate in listed if isinstance(listed, tuple) else ():
            if isinstance(candidate, Mapping):
                _merge_candidate(candidates.setdefault(candidate.get("index") or 0, {}), candidate)
    if candidates:
        result["candidates"] = tuple(candidates.values())
    return result


def _merge_candidate(into: dict[str, Any], candidate: Mapping[str, Any]) -> None:
    content = candidate.get("content") or {}
    parts = [*(into.get("content") or {}).get("parts", ())]
    for part in content.get("parts") or ():
        if parts and set(part) == set(parts[-1]) == {"text"}:
            parts[-1] = {"text": parts[-1]["text"] + part["text"]}
        else:
            parts.append(part)
    into.update({k: v for k, v in candidate.items() if v is not None})
    into["content"] = {"role": "model", **content, "parts": tuple(parts)}
