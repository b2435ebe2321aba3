"""What the chunks of a stream add up to. ``add`` runs on the caller's thread, the rest later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value, snapshot

_TEXTS: Final = ("content", "refusal", "reasoning_content")
_HEAD: Final = ("id", "created", "model", "service_tier", "system_fingerprint")


class ChatDeltas:
    """Combines the chunks of a chat completion."""

    def __init__(self) -> None:
        self._head: dict[str, Value] = {}
        self._choices: dict[int, _Choice] = defaultdict(_Choice)
        self._usage: Value = None

    def add(self, chunk: Any) -> None:
        """Take what is new in a chunk."""
        if not self._head:
            self._head = {name: getattr(chunk, name, None) for name in _HEAD}
        if chunk.usage is not None:
            self._usage = snapshot(chunk.usage)
        for choice in chunk.choices:
            self._choices[choice.index].add(choice)

    def outputs(self) -> Value:
        """Return the completion, as far as it has arrived."""
        choices = tuple(one.whole(index) for index, one in sorted(self._choices.items()))
        return {
            **self._head, "object": "chat.completion", "choices": choices, "usage": self._usage
        }  # fmt: skip


class _Choice:
    """What has arrived of one choice."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._calls: list[Value] = []
        self._finish_reason: Value = None

    def add(self, choice: Any) -> None:
        delta = choice.delta
        for name in _TEXTS:
            if text := getattr(delta, name, None):
                self._texts.setdefault(name, []).append(text)
        for call in delta.tool_calls or ():
            self._calls.append(snapshot(call))
        self._finish_reason = choice.finish_reason or self._finish_reason

    def whole(self, index: int) -> dict[str, Value]:
        texts = {name: "".join(pieces) for name, pieces in self._texts.items()}
        message: dict[str, Value] = {"role": "assistant", "content": None, **texts}
        if self._calls:
            message["tool_calls"] = _joined(self._calls)
        return {"index": index, "finish_reason": self._finish_reason, "message": message}


def _joined(pieces: list[Value]) -> tuple[Value, ...]:
    """Join the pieces of tool calls: the first of each has its id and name, all have arguments."""
    calls: dict[Value, dict[str, Value]] = {}
    arguments: dict[Value, list[str]] = defaultdict(list)
    for piece in pieces:
        if isinstance(piece, Mapping) and isinstance(function := piece.get("function"), Mapping):
            index = piece.get("index")
            calls.setdefault(index, {**piece})
            arguments[index].append(str(function.get("arguments") or ""))
    for index, call in calls.items():
        function = call["function"]
        assert isinstance(function, Mapping)
        call["function"] = {**function, "arguments": "".join(arguments[index])}
    return tuple(calls.values())


class ResponsesDeltas:
    """Combines the events of a response.

    The last event has the whole response. If the stream is cut before it, there are the items that
    were complete, and the text of the one that was not.
    """

    def __init__(self) -> None:
        self._response: Value = None
        self._items: dict[int, Value] = {}
        self._texts: dict[int, list[str]] = defaultdict(list)

    def add(self, event: Any) -> None:
        """Take what is new in an event."""
        kind: str = event.type
        if kind == "response.output_text.delta":
            self._texts[event.output_index].append(event.delta)
        elif kind == "response.output_item.done":
            self._items[event.output_index] = snapshot(event.item)
        elif (response := getattr(event, "response", None)) is not None:
            self._response = snapshot(response)

    def outputs(self) -> Value:
        """Return the response, as far as it has arrived."""
        if not isinstance(self._response, Mapping) or self._response.get("output"):
            return self._response
        items = {index: _message(texts) for index, texts in self._texts.items()} | self._items
        return {**self._response, "output": tuple(item for _, item in sorted(items.items()))}


def _message(texts: list[str]) -> Value:
    content = ({"type": "output_text", "text": "".join(texts)},)
    return {"type": "message", "role": "assistant", "status": "incomplete", "content": content}
