"""How each family of endpoints is read: copying a response, its stream, the failures it contains.

Copying runs on the caller's thread; the rest runs on the writer's thread, over copies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from trace_core import Value, snapshot
from trace_core.streams import Deltas, ListDeltas, NoDeltas
from trace_litellm._reading.errors import Failure, category, reported_failure
from trace_litellm._streams.chat import ChatDeltas, TextDeltas
from trace_litellm._streams.events import SseDeltas, merge_anthropic, merge_google
from trace_litellm._streams.responses import ResponsesDeltas

_ATOMS: Final = frozenset({str, float, int, bool, type(None)})


@attrs.frozen
class Family:
    """How to read one family of calls.

    Args:
        copy: Copies a response, on the caller's thread.
        deltas: Makes the object that combines the chunks of a stream.
        failure: Finds a failure that was returned, not raised.
        normalise: Makes plain data of a copy that is not plain yet.
    """

    copy: Callable[[Any], Any]
    deltas: Callable[[Any], Deltas]
    failure: Callable[[Value], Failure | None] = lambda _: None
    normalise: Callable[[Any], Value] = lambda copied: copied

    def outputs(self, copied: Any) -> Value:
        """Return the outputs of a copied response: plain data, without LiteLLM's private fields.

        Args:
            copied: The result of `copy`.
        """
        outputs = self.normalise(copied)
        if isinstance(outputs, dict):
            outputs.pop("_response_ms", None)
            outputs.pop("_hidden_params", None)
        return outputs


_LONG: Final = 64
_models: Final[set[type]] = set()
_MAX_MODELS: Final = 1_024


def _response(result: Any) -> Value:
    """Copy a response as `snapshot` does, but faster: most of it is pydantic models."""
    cls = type(result)
    if cls in _models:
        return _model(result)
    if cls is list and len(result) <= _LONG:
        return tuple(map(_response, result))
    if cls in _ATOMS:
        return result  # type: ignore[no-any-return]
    if hasattr(cls, "__pydantic_fields__") and len(_models) < _MAX_MODELS:
        _models.add(cls)
        return _response(result)
    return snapshot(result)


def _model(model: Any) -> dict[str, Any]:
    """Copy a pydantic model, without the fields that are ``None`` because nobody set them.

    Its class answers for attributes that it does not have, which makes reading one slow.
    """
    fields: dict[str, Any] = {}
    told = None
    for name, value in model.__dict__.items():
        if value is None:
            if told is None:
                told = model.__pydantic_fields_set__
            if name in told:
                fields[name] = None
            continue
        cls = type(value)
        if cls is str or cls is int or cls in _ATOMS:
            fields[name] = value
        elif cls in _models:
            fields[name] = _model(value)
        elif cls is list and len(value) == 1 and type(value[0]) in _models:  # the one choice
            fields[name] = (_model(value[0]),)
        else:
            fields[name] = _response(value)
    if extra := model.__pydantic_extra__:
        for name, value in extra.items():
            fields[name] = _model(value) if type(value) in _models else _response(value)
    return fields


def _embeddings(result: Any) -> Any:
    """Copy embeddings: each vector as it is, because looking at its numbers takes long."""
    cls = type(result)
    if cls in _ATOMS:
        return result
    if cls is list:
        vector = result and type(result[0]) in _ATOMS
        return result.copy() if vector else [_embeddings(item) for item in result]
    if cls is not dict and not hasattr(cls, "__pydantic_fields__"):
        return snapshot(result)
    if cls is dict:
        return {name: _embeddings(value) for name, value in result.items()}
    told, extra = result.__pydantic_fields_set__, result.__pydantic_extra__ or {}
    fields = {n: v for n, v in result.__dict__.items() if v is not None or n in told}
    return {name: _embeddings(value) for name, value in {**fields, **extra}.items()}


def _speech(result: Any) -> Value:
    """Describe audio by its type and length, without reading a body that may not have arrived."""
    response = getattr(result, "response", None)
    headers = getattr(response, "headers", None) or {}
    loaded = getattr(response, "_content", None)
    return {
        "kind": "audio",
        "content_type": snapshot(headers.get("content-type")),
        "bytes": len(loaded) if isinstance(loaded, bytes) else None,
    }


def _session(result: Any) -> Any:
    """Copy the result of a proxy's session: nothing, or the exception that ended it."""
    if not isinstance(result, BaseException):
        return _response(result)
    kind = type(result).__name__
    return {"exception": {"text": str(result), "kind": kind, "category": category(result)}}


def _session_failure(outputs: Value) -> Failure | None:
    error = outputs.get("exception") if isinstance(outputs, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    return Failure(*(str(error.get(field.name)) for field in attrs.fields(Failure)))


def _tool_failure(outputs: Value) -> Failure | None:
    """Read the error flag of a tool's result; MCP's SDK has two names for it."""
    if not isinstance(outputs, Mapping):
        return None
    if outputs.get("is_error") is not True and outputs.get("isError") is not True:
        return None
    content = outputs.get("content")
    parts = content if isinstance(content, tuple) else ()
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    text = " ".join(text for text in texts if isinstance(text, str))
    return Failure(text or "the tool failed", "tool_error", "tool")


def _answer_failure(outputs: Value) -> Failure | None:
    """Read the error in an answer: a failed response, or a stream that ended in an error event."""
    error = outputs.get("error") if isinstance(outputs, Mapping) else None
    return reported_failure(error) if isinstance(error, Mapping) else None


def _any_deltas(stream: Any) -> Deltas:
    """Choose by the stream's class where the function serves several families."""
    names = {cls.__name__ for cls in stream.__class__.__mro__}
    if "CustomStreamWrapper" in names:
        return ChatDeltas()
    if "TextCompletionStreamWrapper" in names:
        return TextDeltas()
    if any("Responses" in name for name in names):
        return ResponsesDeltas()
    return NoDeltas()


FAMILIES: Final[Mapping[str, Family]] = {
    "any": Family(_response, lambda _: ListDeltas()),
    "batch": Family(_response, lambda _: NoDeltas()),
    "chat": Family(_response, lambda _: ChatDeltas()),
    "embedding": Family(_embeddings, lambda _: NoDeltas(), normalise=snapshot),
    "google": Family(_response, lambda _: SseDeltas(merge_google)),
    "messages": Family(_response, lambda _: SseDeltas(merge_anthropic), _answer_failure),
    "responses": Family(_response, lambda _: ResponsesDeltas(), _answer_failure),
    "router": Family(_session, _any_deltas, _session_failure),
    "session": Family(_session, lambda _: NoDeltas(), _session_failure),
    "speech": Family(_speech, lambda _: NoDeltas()),
    "text": Family(_response, lambda _: TextDeltas()),
    "tool": Family(_response, lambda _: NoDeltas(), _tool_failure),
}
