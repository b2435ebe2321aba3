"""Combines the events of a Responses or Interactions stream into one response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value, snapshot

_ITEM: Final = {
    "function_call_arguments": ("function_call", "arguments"),
    "mcp_call_arguments": ("mcp_call", "arguments"),
    "custom_tool_call_input": ("custom_tool_call", "input"),
    "code_interpreter_call_code": ("code_interpreter_call", "code"),
}
"""Kinds of deltas that are a field of an item: the item's type and the field."""
_PART: Final = {
    "output_text": ("message", "content", "text"),
    "refusal": ("message", "content", "refusal"),
    "reasoning_text": ("reasoning", "content", "text"),
    "reasoning_summary_text": ("reasoning", "summary", "text"),
}
"""Kinds of deltas that are a part of an item: its type, its list of parts, the part's field."""
_PART_TYPES: Final = {"reasoning_summary_text": "summary_text"}


class ResponsesDeltas:
    """Combines events: the response of the last event that has one, or else its items.

    The last event of some servers has no output, and a stream may be cut before it. Then the output
    is put together from the items that were complete and from the deltas of the others.
    """

    def __init__(self) -> None:
        self._response: Value = None
        self._items: dict[Any, Value] = {}
        self._complete: set[Any] = set()
        self._texts: dict[Any, dict[tuple[str, Any], list[str]]] = {}

    def add(self, chunk: Any) -> None:
        """Take an event's delta, item or response."""
        fields = _fields(chunk)
        delta = fields.get("delta")
        if isinstance(delta, str):
            texts = self._texts.setdefault(_place(fields), {})
            part = fields.get("content_index", fields.get("summary_index"))
            texts.setdefault((_type(fields), part), []).append(delta)
            return
        item = fields.get("item")
        if item is not None:
            self._add_item(fields, snapshot(item))
            return
        response = fields.get("response") or fields.get("interaction")
        if response is not None:
            self._response = snapshot(response)

    def _add_item(self, fields: Mapping[str, Any], item: Value) -> None:
        place = _place(fields)
        self._items[place] = item
        if _type(fields).endswith(".done"):
            self._complete.add(place)

    def outputs(self) -> Value:
        """Return the response; its output from items and deltas if it has less than those."""
        response = self._response if isinstance(self._response, Mapping) else {}
        output = response.get("output")
        places = sorted({*self._items, *self._texts}, key=lambda place: (str(type(place)), place))
        if not places or (isinstance(output, tuple) and len(output) >= max(1, len(self._items))):
            return response
        return {**response, "output": tuple(self._item(place) for place in places)}

    def _item(self, place: Any) -> Value:
        item = self._items.get(place)
        if place in self._complete or (item is not None and not isinstance(item, Mapping)):
            return item
        built: dict[str, Any] = {**(item or {})}
        for (type_, _), pieces in sorted(self._texts.get(place, {}).items(), key=str):
            _add_text(built, type_.removeprefix("response.").removesuffix(".delta"), pieces)
        return built


def _fields(event: Any) -> Mapping[str, Any]:
    """Return the fields of an event, also those that LiteLLM's class for it does not name."""
    if isinstance(event, Mapping):
        return event
    named: Mapping[str, Any] = event.__dict__
    unnamed = getattr(event, "__pydantic_extra__", None)
    return {**unnamed, **named} if unnamed else named


def _type(fields: Mapping[str, Any]) -> str:
    """Return the type of an event, which is a member of an enumeration, or text."""
    kind = fields.get("type")
    return str(getattr(kind, "value", kind))


def _place(fields: Mapping[str, Any]) -> Any:
    """Name the item of an event: by its index, because some servers change the id with each."""
    index = fields.get("output_index")
    return index if isinstance(index, int) else str(fields.get("item_id") or "")


def _add_text(item: dict[str, Any], kind: str, pieces: list[str]) -> None:
    """Put the joined deltas of one kind into the item they belong to."""
    text = "".join(pieces)
    if kind in _ITEM:
        type_, field = _ITEM[kind]
        item.setdefault("type", type_)
        item[field] = text
    elif kind in _PART:
        type_, parts, field = _PART[kind]
        item.setdefault("type", type_)
        piece = {"type": _PART_TYPES.get(kind, kind), field: text}
        item[parts] = (*(item.get(parts) or ()), piece)
    else:
        item.setdefault("type", kind)
        item["text"] = text
