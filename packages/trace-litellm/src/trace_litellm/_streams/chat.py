"""Combines the chunks of chat and text completion streams into one answer.

`ChatDeltas.add` runs on the caller's thread for every chunk and must be quick. It reads the models'
own dictionaries: asking a pydantic model for an extra field by name takes two microseconds, twice
what a whole chunk may cost. `ChatDeltas.outputs` runs on the writer's thread.
"""

from __future__ import annotations

import contextlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value, snapshot
from trace_litellm._streams.usage import merge_usage

_CHOICE: Final = frozenset({"delta", "finish_reason", "index", "logprobs"})
"""The fields of a choice in a chunk; others are a provider's own, such as Azure's filters."""
_CHOICE_SIZE: Final = len(_CHOICE)
_NOT_KEPT: Final = frozenset({"obfuscation", "usage"})
"""Extra fields of a chunk that are not copied as they are: padding, and usage, which is merged."""
_TEXTS: Final = frozenset({"reasoning_content", "refusal"})
_LISTS: Final = frozenset({"annotations", "images", "reasoning_details", "reasoning_items"})
_PARTS: Final = frozenset({"audio", "function_call"})
_PIECES: Final = frozenset({"arguments", "data", "input", "thinking", "transcript"})
"""Fields of audio, thinking blocks and tool calls that arrive in pieces."""


class ChatDeltas:
    """Combines chat completion chunks, per choice."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._texts: dict[int, list[str]] = {}
        """The texts of each choice, by index: the same lists as ``_Choice.content``."""
        self._head: dict[str, Value] = {}
        self._extra: dict[str, Value] = {}
        self._usage: Value = None
        # The fields and extra fields of a delta that has nothing but text.
        self._plain: Mapping[str, Any] = {}
        self._plain_extra: dict[str, Any] = {}

    def add(self, chunk: Any) -> None:
        """Take a chunk's deltas.

        Most have text alone, like the one before. Comparing dictionaries shows that in a fraction
        of the time it takes to look at each field.
        """
        fields = chunk.__dict__
        for choice in fields["choices"]:
            try:
                own = choice.__pydantic_extra__  # current releases keep every field there
                delta, texts = own["delta"], self._texts[own["index"]]
                plain, extra = self._plain_extra, delta.__pydantic_extra__
                text = plain["content"] = extra["content"]
                only_text = (
                    extra == plain
                    and text.__class__ is str
                    and delta.__dict__ == self._plain
                    and own["finish_reason"] is None
                    and own["logprobs"] is None
                    and len(own) == _CHOICE_SIZE
                )
            except (AttributeError, KeyError, TypeError):  # the first, or another layout
                self._add_choice(chunk, choice)
            else:
                if only_text:
                    texts.append(text)
                else:
                    self._add_choice(chunk, choice)
        usage = fields.get("usage") or (chunk.__pydantic_extra__ or fields).get("usage")
        if usage is not None:
            self._usage = merge_usage(self._usage, snapshot(usage))

    def _add_choice(self, chunk: Any, choice: Any) -> None:
        """Take one choice of a chunk, field by field."""
        if not self._head:
            self._head = {name: chunk.__dict__.get(name) for name in ("id", "created", "model")}
        for name, value in (chunk.__pydantic_extra__ or {}).items():
            if value is not None and name not in _NOT_KEPT:
                self._extra[name] = snapshot(value)
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
        parts = {k: v for k, v in {**fields, **extra}.items() if v is not None}
        if isinstance(parts.get("content"), str):
            into.content.append(parts.pop("content"))
        for name, value in parts.items():
            into.add(name, value)
        if not parts and "content" in extra:
            self._plain, self._plain_extra = fields.copy(), extra.copy()

    def outputs(self) -> Value:
        """Return a chat completion with what has arrived."""
        choices = tuple(self._choices[index].to_value() for index in sorted(self._choices))
        result: dict[str, Value] = {**self._head, **self._extra}
        result |= {"object": "chat.completion", "choices": choices}
        if self._usage is not None:
            result["usage"] = self._usage
        return result


class _Choice:
    """What has arrived of one choice."""

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

    def add_logprobs(self, logprobs: Value) -> None:
        """Take the probabilities of the tokens of a delta."""
        for name, tokens in logprobs.items() if isinstance(logprobs, Mapping) else ():
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

        Some providers give every call the same index.
        """
        if not isinstance(part, Mapping):
            return
        index = part.get("index") or 0
        same = [call for call in self._calls if (call.get("index") or 0) == index]
        if not same or _is_new_call(same[-1], part):
            same.append({})
            self._calls.append(same[-1])
        _merge(same[-1], part)

    def _add_block(self, part: Value) -> None:
        """Add a thinking delta to the last block; a signature or data ends a block."""
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
            if citation is not None:  # each delta has one
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


def _is_new_call(call: Mapping[str, Any], part: Mapping[str, Value]) -> bool:
    """Decide whether a delta with the index of a call begins another call.

    It does if it has a name and another id. Without ids: if it has another name, or begins new
    arguments where those of the call are complete.
    """
    function, before = part.get("function"), call.get("function") or {}
    if not isinstance(function, Mapping) or not function.get("name"):
        return False
    if part.get("id") and call.get("id"):
        return bool(part["id"] != call["id"])
    if part.get("id") or not before.get("name"):
        return False
    complete = "".join(before.get("arguments", ())[-1:]).endswith("}")
    again = complete and str(function.get("arguments") or "").startswith("{")
    return again or bool(function["name"] != before["name"])


def _merge(into: dict[str, Any], part: Mapping[str, Value]) -> None:
    """Merge a delta into a part: collect fields that arrive in pieces, replace the others."""
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
    """Join the pieces of a part: they are in lists, which plain data does not have."""
    result: dict[str, Value] = {}
    for name, value in part.items():
        if isinstance(value, list):
            result[name] = _joined_base64(value) if name == "data" else "".join(value)
        else:
            result[name] = _whole(value) if isinstance(value, dict) else value
    return result


def _joined_base64(pieces: list[str]) -> str:
    """Join pieces of audio; some providers encode each piece by itself, with padding."""
    if any(piece.endswith("=") for piece in pieces[:-1]):
        with contextlib.suppress(ValueError):
            return b64encode(
                b"".join([b64decode(piece, validate=True) for piece in pieces])
            ).decode()
    return "".join(pieces)


def _text_of(choice: Any) -> Any:
    """Return the text of a choice; LiteLLM's cache may answer with the chunks of a chat."""
    delta = getattr(choice, "delta", None)
    return choice.text if delta is None else getattr(delta, "content", None)


class TextDeltas:
    """Combines text completion chunks, per choice."""

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
            text = _text_of(choice)
            if text:
                texts.append(text)
            if choice.finish_reason is not None:
                self._reasons[index] = choice.finish_reason
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = merge_usage(self._usage, snapshot(usage))

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
