"""What the chunks of a stream add up to, one class per family of streams.

`Deltas.add` runs on the caller's thread for every chunk and must be quick. Fields are taken from
the models' own dictionaries: asking a pydantic model for an extra field by name costs two
microseconds, twice what a whole chunk may cost. `Deltas.outputs` runs on the sink's thread.
"""

from __future__ import annotations

import contextlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from trace_core import Value, snapshot

_CHOICE: Final = frozenset({"delta", "finish_reason", "index", "logprobs"})
"""What a choice of a chunk has; more than that is a provider's own, such as Azure's filters."""
_USUAL: Final = len(_CHOICE)
_CHUNK: Final = frozenset({"obfuscation", "usage"})
"""What is not kept of what a chunk tells besides its choices: padding, and what is kept apart."""
_TEXTS: Final = frozenset({"reasoning_content", "refusal"})
_LISTS: Final = frozenset({"annotations", "images", "reasoning_details", "reasoning_items"})
_PARTS: Final = frozenset({"audio", "function_call"})
_PIECES: Final = frozenset({"arguments", "data", "input", "thinking", "transcript"})
"""What comes in pieces of the parts of a message: of audio, of thoughts, of calls of tools."""


class Deltas(Protocol):
    """Adds up the chunks of one family of streams."""

    def add(self, chunk: Any) -> None:
        """Take what is new in a chunk, keeping nothing of the chunk itself."""
        ...

    def outputs(self) -> Value:
        """Return the whole answer so far, in the shape of one that was not streamed."""
        ...


class ChatDeltas:
    """Adds up chat completion chunks, per choice."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._texts: dict[int, list[str]] = {}
        """What the choices say, by index: lists of the choices' own."""
        self._head: dict[str, Value] = {}
        self._more: dict[str, Value] = {}
        self._usage: Value = None
        # A delta of text alone: the fields pydantic knows and those it does not, but for the text.
        self._plain: Mapping[str, Any] = {}
        self._plain_extra: dict[str, Any] = {}

    def add(self, chunk: Any) -> None:
        """Take a chunk's deltas.

        Most are of text alone, like the one before: told by comparing dictionaries, which takes a
        fraction of looking at each field.
        """
        fields = chunk.__dict__
        for choice in fields["choices"]:
            try:
                told = choice.__pydantic_extra__  # where current releases keep everything
                delta, texts = told["delta"], self._texts[told["index"]]
                plain, extra = self._plain_extra, delta.__pydantic_extra__
                text = plain["content"] = extra["content"]
                as_before = (
                    extra == plain
                    and text.__class__ is str
                    and delta.__dict__ == self._plain
                    and told["finish_reason"] is None
                    and told["logprobs"] is None
                    and len(told) == _USUAL
                )
            except (AttributeError, KeyError, TypeError):  # the first, or another layout
                self._look(chunk, choice)
            else:
                if as_before:
                    texts.append(text)
                else:
                    self._look(chunk, choice)
        usage = fields.get("usage") or (chunk.__pydantic_extra__ or fields).get("usage")
        if usage is not None:
            self._usage = snapshot(usage)

    def _look(self, chunk: Any, choice: Any) -> None:
        """Take one choice of a chunk, whatever it is made of."""
        if not self._head:
            self._head = {name: chunk.__dict__.get(name) for name in ("id", "created", "model")}
        for name, value in (chunk.__pydantic_extra__ or {}).items():
            if value is not None and name not in _CHUNK:
                self._more[name] = snapshot(value)
        own = {**choice.__dict__, **(choice.__pydantic_extra__ or {})}
        index = own.get("index") or 0
        into = self._choices.get(index)
        if into is None:
            into = self._choices[index] = _Choice(index)
            self._texts[index] = into.content
        if own.get("finish_reason") is not None:
            into.finish_reason = own["finish_reason"]
        if own.get("logprobs") is not None:
            into.add_logprobs(snapshot(own["logprobs"]))
        for name in own.keys() - _CHOICE:
            if own[name] is not None:
                into.others[name] = snapshot(own[name])
        delta = own.get("delta")
        if delta is not None:
            self._add_delta(into, delta)

    def _add_delta(self, into: _Choice, delta: Any) -> None:
        fields, extra = delta.__dict__, delta.__pydantic_extra__ or {}
        told = {k: v for k, v in {**fields, **extra}.items() if v is not None}
        if isinstance(told.get("content"), str):
            into.content.append(told.pop("content"))
        for name, value in told.items():
            into.add(name, value)
        if not told and "content" in extra:
            self._plain, self._plain_extra = fields.copy(), extra.copy()

    def outputs(self) -> Value:
        """Return a chat completion with what has arrived."""
        choices = tuple(self._choices[index].to_value() for index in sorted(self._choices))
        result: dict[str, Value] = {**self._head, **self._more}
        result |= {"object": "chat.completion", "choices": choices}
        if self._usage is not None:
            result["usage"] = self._usage
        return result


class _Choice:
    """What has arrived for one choice."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_citations",
        "_logprobs",
        "_rest",
        "_texts",
        "content",
        "finish_reason",
        "index",
        "others",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish_reason: Value = None
        self.content: list[str] = []
        self.others: dict[str, Value] = {}
        self._texts: dict[str, list[str]] = {}
        self._calls: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []
        self._citations: list[Value] = []
        self._rest: dict[str, Any] = {}
        self._logprobs: dict[str, list[Value]] = {}

    def add_logprobs(self, told: Value) -> None:
        """Take the probabilities of the tokens that came with a delta."""
        for name, tokens in told.items() if isinstance(told, Mapping) else ():
            if isinstance(tokens, tuple):
                self._logprobs.setdefault(name, []).extend(tokens)

    def add(self, name: str, value: Any) -> None:
        """Take one field of a delta."""
        if name in _TEXTS and value.__class__ is str:
            texts = self._texts.get(name)
            if texts is None:
                self._texts[name] = [value]
            else:
                texts.append(value)
        elif name == "tool_calls" and isinstance(value, list):
            for part in value:
                self._add_call(snapshot(part))
        elif name == "thinking_blocks" and isinstance(value, list):
            for part in value:
                self._add_block(snapshot(part))
        elif name != "role" or name not in self._rest:
            self._add_rest(name, snapshot(value))

    def _add_call(self, part: Value) -> None:
        """Add a tool call's delta to the call of the same index.

        Some providers give all calls the same one: another id beside a name is another call.
        """
        if not isinstance(part, Mapping):
            return
        index = part.get("index") or 0
        same = [call for call in self._calls if (call.get("index") or 0) == index]
        if not same or _begins_another(same[-1], part):
            same.append({})
            self._calls.append(same[-1])
        _merge(same[-1], part)

    def _add_block(self, part: Value) -> None:
        """Add a thinking delta to the last block; a signature ends a block, data is a whole one."""
        if not isinstance(part, Mapping):
            return
        last = self._blocks[-1] if self._blocks else None
        ended = last is None or "signature" in last or "data" in last
        if last is None or ended or last.get("type") != part.get("type"):
            last = {}
            self._blocks.append(last)
        _merge(last, part)

    def _add_rest(self, name: str, value: Value) -> None:
        before = self._rest.get(name)
        if name in _PARTS and isinstance(value, Mapping):
            _merge(self._rest.setdefault(name, {}), value)
        elif name in _LISTS and isinstance(value, tuple):
            self._rest[name] = (*(before or ()), *value)
        elif name == "provider_specific_fields" and isinstance(value, Mapping):
            fields = self._rest[name] = {**(before or {}), **value}
            citation = fields.pop("citation", None)
            if citation is not None:  # these come one by one
                self._citations.append(citation)
                fields["citations"] = (tuple(self._citations),)
        else:
            self._rest[name] = value

    def to_value(self) -> Value:
        content = "".join(self.content) if self.content else None
        message: dict[str, Value] = {"role": "assistant", "content": content, **_whole(self._rest)}
        message |= {name: "".join(texts) for name, texts in self._texts.items()}
        for name, parts in (("tool_calls", self._calls), ("thinking_blocks", self._blocks)):
            if parts:
                message[name] = tuple(_whole(part) for part in parts)
        logprobs = {name: tuple(tokens) for name, tokens in self._logprobs.items()}
        choice = {"index": self.index, "finish_reason": self.finish_reason, "message": message}
        return {**choice, **self.others, **({"logprobs": logprobs} if logprobs else {})}


def _begins_another(call: Mapping[str, Any], part: Mapping[str, Value]) -> bool:
    told, function = part.get("id"), part.get("function")
    if not told or told == call.get("id") or not isinstance(function, Mapping):
        return False
    return bool(call.get("id") and function.get("name"))


def _merge(into: dict[str, Any], part: Mapping[str, Value]) -> None:
    """Add a delta of a part: texts in pieces get longer, the rest is what was told last."""
    for name, value in part.items():
        held = into.get(name)
        if name in _PIECES and isinstance(value, str):
            if not isinstance(held, list):
                held = into[name] = []
            held.append(value)
        elif isinstance(value, Mapping):
            if not isinstance(held, dict):
                held = into[name] = {}
            _merge(held, value)
        elif value is not None and value != "":
            into[name] = value


def _whole(part: Mapping[str, Any]) -> dict[str, Value]:
    """Join the texts of a part that came in pieces: lists, which plain data has none of."""
    found: dict[str, Value] = {}
    for name, value in part.items():
        if isinstance(value, list):
            found[name] = _joined_base64(value) if name == "data" else "".join(value)
        else:
            found[name] = _whole(value) if isinstance(value, dict) else value
    return found


def _joined_base64(pieces: list[str]) -> str:
    """Join pieces of audio, each of which may have been encoded by itself, with padding."""
    if any(piece.endswith("=") for piece in pieces[:-1]):
        with contextlib.suppress(ValueError):
            return b64encode(
                b"".join([b64decode(piece, validate=True) for piece in pieces])
            ).decode()
    return "".join(pieces)


class TextDeltas:
    """Adds up text completion chunks, per choice."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, Value] = {}
        self._head: dict[str, Value] = {}
        self._usage: Value = None

    def add(self, chunk: Any) -> None:
        """Take a chunk's texts."""
        if not self._head:
            self._head = {name: getattr(chunk, name, None) for name in ("id", "created", "model")}
        for choice in chunk.choices:
            index = getattr(choice, "index", 0) or 0
            texts = self._texts.setdefault(index, [])
            if choice.text:
                texts.append(choice.text)
            if choice.finish_reason is not None:
                self._reasons[index] = choice.finish_reason
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = snapshot(usage)

    def outputs(self) -> Value:
        """Return a text completion with what has arrived."""
        choices = tuple(
            {"index": i, "text": "".join(texts), "finish_reason": self._reasons.get(i)}
            for i, texts in sorted(self._texts.items())
        )
        result: dict[str, Value] = {**self._head, "object": "text_completion", "choices": choices}
        if self._usage is not None:
            result["usage"] = self._usage
        return result


class EventDeltas:
    """Adds up events of the Responses and Interactions APIs: deltas, until the whole is sent."""

    def __init__(self) -> None:
        self._whole: Value = None
        self._texts: dict[tuple[object, ...], list[str]] = {}

    def add(self, chunk: Any) -> None:
        """Take an event's delta, or the whole response it carries."""
        fields: Mapping[str, Any] = chunk if isinstance(chunk, Mapping) else chunk.__dict__
        delta = fields.get("delta")
        if isinstance(delta, str):
            kind = fields.get("type")
            key = (getattr(kind, "value", kind), fields.get("output_index"))
            self._texts.setdefault(key, []).append(delta)
            return
        whole = fields.get("response") or fields.get("interaction")
        if whole is not None:
            self._whole = snapshot(whole)

    def outputs(self) -> Value:
        """Return the response; where it was cut short, with the deltas that had arrived."""
        partial = tuple(
            {"type": str(key[0]), "output_index": snapshot(key[1]), "text": "".join(texts)}
            for key, texts in self._texts.items()
        )
        whole = self._whole
        if not isinstance(whole, Mapping):
            return {"output": partial}
        if whole.get("output") or not partial:
            return whole
        return {**whole, "output": partial}


class SseDeltas:
    """Adds up server-sent events that come as bytes, cut anywhere, or as objects.

    Bytes are only collected while they pass: they are immutable, so keeping them copies nothing.

    Args:
        merge: Adds up the events' data.
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
        """Return the answer that the events add up to."""
        return self._merge([*sse_data(b"".join(self._parts)), *self._objects])


class EventMerger(Protocol):
    """Makes one answer of the data of many events."""

    def __call__(self, events: list[Value], /) -> Value:
        """Return the answer."""
        ...


def sse_data(raw: bytes) -> Iterator[Value]:
    """Read the data of server-sent events; what is not JSON, as an event cut short, is left out.

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
    """Add up the events of Anthropic's Messages API.

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
        counted = {k: v for k, v in (event.get("usage") or {}).items() if v is not None}
        message["usage"] = {**(message.get("usage") or {}), **counted}
    elif kind == "error":
        message["error"] = event.get("error")


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
    """Read a tool's input, which comes as pieces of JSON; a broken piece stays text."""
    text = block.pop("partial_json", None)
    if text:
        try:
            block["input"] = snapshot(json.loads(text))
        except ValueError:
            block["input"] = text
    return block


_ADDED_UP: Final = ("candidates", "text")
"""Told by each chunk anew; LiteLLM repeats the text there where another API serves Google's."""


def merge_google(events: list[Value]) -> Value:
    """Add up the chunks of Google's ``streamGenerateContent``.

    Args:
        events: The chunks.

    Returns:
        A response as it would have been without streaming: texts joined, the last usage.
    """
    result: dict[str, Any] = {}
    candidates: dict[object, dict[str, Any]] = {}
    for event in events:
        if not isinstance(event, Mapping):
            continue
        result.update({k: v for k, v in event.items() if k not in _ADDED_UP and v is not None})
        found = event.get("candidates")
        for candidate in found if isinstance(found, tuple) else ():
            if isinstance(candidate, Mapping):
                _merge_candidate(candidates.setdefault(candidate.get("index") or 0, {}), candidate)
    if candidates:
        result["candidates"] = tuple(candidates.values())
    return result


def _merge_candidate(into: dict[str, Any], candidate: Mapping[str, Any]) -> None:
    content = candidate.get("content") or {}
    parts = [*(into.get("content") or {}).get("parts", ())]
    for part in content.get("parts") or ():
        same = parts and set(part) == set(parts[-1]) == {"text"}
        if same:
            parts[-1] = {"text": parts[-1]["text"] + part["text"]}
        else:
            parts.append(part)
    into.update({k: v for k, v in candidate.items() if v is not None})
    into["content"] = {"role": "model", **content, "parts": tuple(parts)}


class NoDeltas:
    """Adds up nothing: the spans below have the content."""

    def add(self, chunk: Any) -> None:
        """Do nothing."""

    def outputs(self) -> Value:
        """Return nothing."""
        return None


class ListDeltas:
    """Keeps the chunks of a stream nobody knows more about, up to a limit."""

    LIMIT: Final = 1_000

    def __init__(self) -> None:
        self._chunks: list[Value] = []
        self._left_out = 0

    def add(self, chunk: Any) -> None:
        """Keep a copy of a chunk."""
        if len(self._chunks) < self.LIMIT:
            self._chunks.append(
                chunk.decode("utf-8", "replace") if chunk.__class__ is bytes else snapshot(chunk)
            )
        else:
            self._left_out += 1

    def outputs(self) -> Value:
        """Return the chunks, and how many more there were."""
        result: dict[str, Value] = {"chunks": tuple(self._chunks)}
        if self._left_out:
            result["chunks_left_out"] = self._left_out
        return result
