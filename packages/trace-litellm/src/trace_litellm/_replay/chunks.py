"""Makes the chunks of a chat stream of a recorded answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

from trace_core import semconv
from trace_litellm._reading.tokens import mutable
from trace_litellm._replay.recordings import Recording
from trace_litellm._replay.split import shares, split

_TEXTS: Final = ("reasoning_content", "content", "refusal")
_NOT_IN_CHUNKS: Final = frozenset({"choices", "object", "usage"})
_Chunk = dict[str, Any]


def chat_chunks(recording: Recording, *, usage: bool) -> list[_Chunk]:
    """Return the chunks of a stream as plain data: as many as were recorded, if it was streamed.

    Args:
        recording: The call, of chat or text completion.
        usage: Whether the last chunk is to tell the tokens.
    """
    outputs = mutable(recording.outputs)
    outputs = outputs if isinstance(outputs, dict) else {}
    base = {name: value for name, value in outputs.items() if name not in _NOT_IN_CHUNKS}
    choices = [_streamed(choice) for choice in outputs.get("choices") or ()]
    endings = [_ending(choice) for choice in choices if choice.get("finish_reason")]
    report = outputs.get("usage") if usage else None
    wanted = _wanted(recording, len(endings))
    parts = [{**base, "choices": [choice]} for choice in [*_parts(choices, wanted), *endings]]
    if report is not None:
        parts.append({**base, "choices": _choices_beside_usage(), "usage": report})
    return parts


def _ending(choice: Mapping[str, Any]) -> _Chunk:
    return {
        "index": choice.get("index") or 0,
        "finish_reason": choice["finish_reason"],
        "delta": {},
    }


def _wanted(recording: Recording, endings: int) -> int | None:
    """Return the number of chunks with text, if it is known how many there were in all."""
    told = recording.span.attributes.get(semconv.STREAM_CHUNKS)
    if not isinstance(told, int):
        return None
    inputs = recording.span.inputs
    options = inputs.get("stream_options") if isinstance(inputs, Mapping) else None
    reported = isinstance(options, Mapping) and bool(options.get("include_usage"))
    return told - endings - reported if recording.ending == "completed" else told - endings


def _streamed(choice: Mapping[str, Any]) -> _Chunk:
    """Return a choice with its answer as ``delta``."""
    text = {"role": "assistant", "content": choice.get("text")}  # of a text completion
    delta = choice.get("message") or text
    kept = {k: v for k, v in choice.items() if k not in ("message", "text")}
    return {**kept, "delta": {name: v for name, v in delta.items() if v is not None}}


def _parts(choices: list[_Chunk], wanted: int | None) -> Iterator[_Chunk]:
    """Yield the deltas of all choices, of each in turn, as providers do."""
    fields = [list(_fields(choice["delta"])) for choice in choices]
    texts = [text for some in fields for _, text in some if text]
    fixed = sum(bool(_rest(choice)) + _names_tools(choice["delta"]) for choice in choices)
    opens = wanted is None or _opens(wanted - fixed, texts, len(choices))
    left = None if wanted is None else wanted - fixed - (len(choices) if opens else 0)
    pieces = iter(shares(texts, left))
    deltas = [
        list(_deltas(choice, some, pieces, opens=opens))
        for choice, some in zip(choices, fields, strict=True)
    ]
    for turn in zip_longest(*deltas):
        yield from filter(None, turn)


def _deltas(
    choice: _Chunk, fields: list[tuple[Any, str]], pieces: Iterator[int | None], *, opens: bool
) -> Iterator[_Chunk]:
    """Yield the deltas of one choice; the first one has the role."""
    index = {"index": choice.get("index") or 0, "finish_reason": None}
    first: _Chunk = {"role": choice["delta"].get("role") or "assistant"}
    if opens:
        told = {"content": ""} if choice["delta"].get("content") is not None else {}
        yield {**index, "delta": {**first, **told}}
        first = {}
    for name, text in fields:
        for delta in _pieces(name, text, next(pieces) if text else None, choice["delta"]):
            yield {**index, "delta": {**first, **delta}}
            first = {}
    rest = _rest(choice)
    if rest:
        yield {**index, **rest, "delta": {**first, **rest["delta"]}}


def _opens(wanted: int, texts: list[str], choices: int) -> bool:
    """Return whether an answer begins with a chunk that has the role alone: not in old releases."""
    words = sum(len(split(text)) for text in texts)
    return wanted >= len(texts) + choices and wanted != words


def _fields(delta: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Yield what arrives in pieces: a field's name or a tool call's place, and the text."""
    for name in _TEXTS:
        if isinstance(delta.get(name), str) and delta[name]:
            yield name, delta[name]
    for place, call in enumerate(delta.get("tool_calls") or ()):
        yield place, (call.get("function") or {}).get("arguments") or ""


def _names_tools(delta: Mapping[str, Any]) -> int:
    return len(delta.get("tool_calls") or ())


def _pieces(name: Any, text: str, pieces: int | None, delta: Mapping[str, Any]) -> Iterator[_Chunk]:
    if isinstance(name, str):
        yield from ({name: piece} for piece in split(text, pieces))
        return
    call = delta["tool_calls"][name]
    index = call.get("index", name)
    function = {**(call.get("function") or {}), "arguments": ""}
    yield {"tool_calls": [{"type": "function", **call, "index": index, "function": function}]}
    for piece in split(text, pieces) if text else ():
        part = {"index": index, "type": "function", "function": {"arguments": piece}}
        yield {"tool_calls": [part]}


def _rest(choice: _Chunk) -> _Chunk:
    """Return what does not arrive in pieces, if there is any."""
    in_pieces = {"role", "tool_calls", *_TEXTS}
    delta = {name: v for name, v in choice["delta"].items() if name not in in_pieces}
    others = {
        name: value
        for name, value in choice.items()
        if name not in ("delta", "finish_reason", "index") and value not in (None, {}, [])
    }
    delta = {name: value for name, value in delta.items() if value not in (None, {}, [])}
    return {**others, "delta": delta} if delta or others else {}


def _choices_beside_usage() -> list[_Chunk]:
    """Return the choices of the chunk with the usage: an empty one, as releases of LiteLLM do.

    The newest have none there, as OpenAI has; code that expects none works with an empty one.
    """
    return [{"index": 0, "finish_reason": None, "delta": {}}]
