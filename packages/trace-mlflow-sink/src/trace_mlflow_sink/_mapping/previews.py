"""Writes what MLflow's list shows of a trace in the columns for input and output."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from trace_core import Span, SpanKind, StatusCode, Value, semconv
from trace_mlflow_sink._mapping import sanitize
from trace_mlflow_sink._mapping.chat_view import as_object, as_objects

_LONGEST: Final = 1_000
_SHOWN_DOCUMENTS: Final = 3
_FUNCTIONS: Final = frozenset({SpanKind.CHAIN, SpanKind.INTERNAL, SpanKind.TOOL, SpanKind.AGENT})
_OPEN_FILE: Final = re.compile(r"<[\w.]+ name='([^']{1,500})'")
_Object = Mapping[str, Value]


def request_preview(span: Span) -> str | None:
    """Return what the list shows as a trace's input.

    Args:
        span: The root span.
    """
    return _shortened(_request_text(span), span.inputs)


def response_preview(span: Span) -> str | None:
    """Return what the list shows as a trace's output, of a failed call the error.

    Args:
        span: The root span.
    """
    return _shortened(_response_text(span), span.outputs)


def reads_better(span: Span) -> bool:
    """Return whether a preview of ours is text where MLflow's own would be JSON or empty.

    Args:
        span: The root span.
    """
    return _is_better(_request_text(span), _by_mlflow(span, span.inputs, "user")) or _is_better(
        _response_text(span), _by_mlflow(span, span.outputs, "assistant")
    )


def _is_better(ours: str | None, theirs: str | None) -> bool:
    return ours is not None and (theirs is None or not ours.startswith(theirs))


def _shortened(text: str | None, value: Value) -> str | None:
    if text is None and value is None:
        return None
    return sanitize.shorten(sanitize.json_text(value) if text is None else text, _LONGEST)


def _by_mlflow(span: Span, value: Value, role: str) -> str | None:
    """Return the text that MLflow finds itself: in OpenAI's messages, choices and items.

    It puts a text in quotes. Those of a function's result are not worth a request more.
    """
    if isinstance(value, str):
        return value if span.kind in _FUNCTIONS else None
    data = as_object(value)
    choices = [as_object(choice.get("message")) for choice in as_objects(data.get("choices"))]
    messages = next(
        (m for m in (as_objects(data.get(key)) for key in ("messages", "input", "output")) if m),
        choices[:1],
    )
    found = [m for m in messages if "role" in m and "content" in m]
    mine = [m for m in found if m.get("role") == role] or found
    content = mine[-1].get("content") if mine else None
    if isinstance(content, str):
        return content or None
    parts = (p for p in as_objects(content) if p.get("type") in {"text", "output_text"})
    return next((str(part["text"]) for part in parts if part.get("text")), None)


def _request_text(span: Span) -> str | None:
    if isinstance(span.inputs, str):  # what is hidden
        return span.inputs
    data = as_object(span.inputs)
    if span.kind is SpanKind.RERANKER and isinstance(data.get("query"), str):
        return str(data["query"])
    if span.kind is SpanKind.AUDIO and data.get("file") is not None:
        return _file(data["file"])
    for key in ("messages", "input", "prompt", "contents"):
        found = _text_in(data.get(key), "user", "text")
        if found:
            return found
    return _pictures(data.get("image")) if span.kind is SpanKind.IMAGE else None


def _file(value: Value) -> str:
    """Return the name and size of a file, whichever is known."""
    parts = value if isinstance(value, (list, tuple)) else (value,)
    texts = [_base_name(part) for part in parts if isinstance(part, str)]
    told = (part.get("bytes") for part in as_objects(parts))
    sizes = [_count(size, "byte") for size in told if isinstance(size, int)]
    return ", ".join(["audio", *texts[:1], *sizes[:1]])


def _base_name(path: str) -> str:
    """Return the name of a file, of which only what an open file prints may be known."""
    named = _OPEN_FILE.search(path)
    return (named[1] if named else path).replace("\\", "/").rpartition("/")[2]


def _pictures(value: Value) -> str | None:
    if value is None:
        return None
    return _count(len(value) if isinstance(value, (list, tuple)) else 1, "image")


def _text_in(value: Value, role: str, noun: str) -> str | None:
    """Return a text, the last text of a role in messages, or how many texts there are."""
    if isinstance(value, str):
        return value
    if not isinstance(value, (list, tuple)) or not value:
        return None
    messages = as_objects(value)
    if any(as_objects(one) for one in value):  # a batch of conversations
        return "\n".join(filter(None, (_text_in(one, role, noun) for one in value))) or None
    if not messages:
        only = value[0] if len(value) == 1 else None
        return only if isinstance(only, str) else _count(len(value), noun)
    mine = [m for m in messages if m.get("role") == role] or messages
    return _content_text(mine[-1].get("content", mine[-1].get("parts")))


def _content_text(content: Value) -> str | None:
    """Return the text of a message, whose content is a text or parts."""
    if isinstance(content, str):
        return content or None
    texts = [str(part["text"]) for part in as_objects(content) if part.get("text")]
    return "\n".join(texts) or None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _response_text(span: Span) -> str | None:
    outputs = span.outputs
    if isinstance(outputs, str):  # what is hidden
        return outputs
    if isinstance(outputs, (list, tuple)):  # the answers of a batch; of one that failed the error
        found = [one if isinstance(one, str) else _answer(span, as_object(one)) for one in outputs]
        return "\n".join(filter(None, found)) or None
    return _answer(span, as_object(outputs)) or (_error(span) if outputs is None else None)


def _answer(span: Span, data: _Object) -> str | None:
    readers = (*_BY_KIND.get(span.kind, ()), _chat, _items, _message, _gemini, _plain)
    return next((text for text in (read(data) for read in readers) if text), None)


def _error(span: Span) -> str | None:
    if span.status.code is not StatusCode.ERROR:
        return None
    name = str(span.attributes.get(semconv.ERROR_TYPE) or "").rpartition(".")[2]
    message = (span.status.description or "").strip().partition("\n")[0]
    if name and name not in message:
        return f"{name}: {message}" if message else name
    return message or None


def _chat(data: _Object) -> str | None:
    choices = as_objects(data.get("choices"))
    if not choices:
        return None
    message = as_object(choices[0].get("message"))
    functions = [as_object(call.get("function")) for call in as_objects(message.get("tool_calls"))]
    text = _content_text(message.get("content")) or choices[0].get("text")
    return str(text) if text else _calls((f.get("name"), f.get("arguments")) for f in functions)


def _items(data: _Object) -> str | None:
    """Return the text of a Responses answer: its messages, else its calls."""
    items = as_objects(data.get("output"))
    texts = [_content_text(item.get("content")) for item in items if item.get("type") == "message"]
    found = "\n".join(text for text in texts if text)
    calls = [item for item in items if item.get("type") == "function_call"]
    return found or _calls((call.get("name"), call.get("arguments")) for call in calls)


def _message(data: _Object) -> str | None:
    """Return the text of an Anthropic message, else its tool calls."""
    parts = as_objects(data.get("content"))
    calls = [part for part in parts if part.get("type") == "tool_use"]
    return _content_text(data.get("content")) or _calls(
        (call.get("name"), call.get("input")) for call in calls
    )


def _gemini(data: _Object) -> str | None:
    candidates = as_objects(data.get("candidates"))
    return (
        _content_text(as_object(candidates[0].get("content")).get("parts")) if candidates else None
    )


def _plain(data: _Object) -> str | None:
    text = data.get("text")
    return text if isinstance(text, str) else None


def _calls(calls: Iterable[tuple[Value, Value]]) -> str | None:
    return "\n".join(f"{name}({_arguments(given)})" for name, given in calls) or None


def _arguments(given: Value) -> str:
    return given if isinstance(given, str) else sanitize.json_text(given or {})


def _embeddings(data: _Object) -> str | None:
    found = data.get("data")
    return _count(len(found), "embedding") if isinstance(found, (list, tuple)) and found else None


def _images(data: _Object) -> str | None:
    found = data.get("data")
    return _count(len(found), "image") if isinstance(found, (list, tuple)) and found else None


def _documents(data: _Object) -> str | None:
    """Return the best documents of a reranking: their texts, or their places and scores."""
    lines = []
    for result in as_objects(data.get("results"))[:_SHOWN_DOCUMENTS]:
        document = result.get("document")
        text = document if isinstance(document, str) else as_object(document).get("text")
        score = result.get("relevance_score")
        shown = sanitize.shorten(text, 100) if text else f"document {result.get('index')}"
        lines.append(f"{shown} ({score:.2f})" if isinstance(score, float) else shown)
    return "\n".join(lines) or None


def _sound(data: _Object) -> str | None:
    """Return the size and type of audio that was made."""
    if data.get("kind") != "audio":
        return None
    size, kind = data.get("bytes"), data.get("content_type")
    told = [_count(size, "byte")] if isinstance(size, int) else []
    return ", ".join(["audio", *told, *([kind] if isinstance(kind, str) else [])])


def _flags(data: _Object) -> str | None:
    results = as_objects(data.get("results"))
    if not results:
        return None
    flagged = {k: None for r in results for k, v in as_object(r.get("categories")).items() if v}
    return f"flagged: {', '.join(flagged)}" if flagged else "not flagged"


_Read = Callable[[_Object], str | None]
_BY_KIND: Final[Mapping[SpanKind, tuple[_Read, ...]]] = {
    SpanKind.AUDIO: (_sound,),
    SpanKind.EMBEDDING: (_embeddings,),
    SpanKind.IMAGE: (_images,),
    SpanKind.RERANKER: (_documents,),
    SpanKind.MODERATION: (_flags,),
}
