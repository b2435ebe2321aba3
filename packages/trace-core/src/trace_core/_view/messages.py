"""What was said in a call: messages, whichever interface they were sent by, and parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from trace_core import semconv
from trace_core._model.json import to_json
from trace_core._model.span import Span
from trace_core._model.values import Value

_CONTENT: Final = frozenset(
    {"messages", "input", "prompt", "contents", "system", "instructions", "query", "documents"}
)
"""Parameters that are messages."""
_NO_MESSAGES: Final = frozenset({"query", "documents"})
"""What a reranker is asked with."""
_TOLD_ELSEWHERE: Final = frozenset({"model", "stream", "metadata"})
_Object: TypeAlias = Mapping[str, Value]


@attrs.frozen
class Message:
    """One message.

    Args:
        role: Who says it: user, assistant, system, tool ...
        text: What.
    """

    role: str
    text: str


def asked(span: Span) -> list[Message]:
    """Return the messages that went into a call."""
    inputs = span.inputs
    if not isinstance(inputs, Mapping):
        return _plain("input", inputs)
    found = [m for key in ("system", "instructions") for m in _said("system", inputs.get(key))]
    for key in ("messages", "contents", "input", "prompt", "query", "documents"):
        found += _said(key if key in _NO_MESSAGES else "user", inputs.get(key))
    if found or _is_call(span):
        return found
    return _plain("input", inputs)


def answered(span: Span) -> list[Message]:
    """Return the messages that came out of a call."""
    outputs = span.outputs
    if not isinstance(outputs, Mapping):
        return _plain("output", outputs)
    if "choices" in outputs:
        return [m for choice in _objects(outputs["choices"]) for m in _choice(choice)]
    if "candidates" in outputs:
        parts = (candidate.get("content") for candidate in _objects(outputs["candidates"]))
        return [message for part in parts for message in _said("assistant", part)]
    for key in ("output", "content"):
        if key in outputs:
            return _said("assistant", outputs[key])
    return _plain("output", outputs)


def parameters(span: Span) -> dict[str, str]:
    """Return the parameters of a call beside its messages, each as a text."""
    inputs = span.inputs
    if not isinstance(inputs, Mapping) or not _is_call(span):
        return {}
    found: dict[str, str] = {}
    for name, value in inputs.items():
        if name == "tools":
            found[name] = ", ".join(map(_tool_name, _objects(value)))
        elif name not in _CONTENT | _TOLD_ELSEWHERE and value is not None:
            found[name] = _text(value)
    return found


def texts(value: Value) -> Iterator[str]:
    """Yield every text in a value, the names in mappings left out. Not recursive."""
    left: list[Value] = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left.extend(reversed(list(one.values())))
        elif isinstance(one, (tuple, list)):
            left.extend(reversed(one))


def _is_call(span: Span) -> bool:
    return semconv.REQUEST_MODEL in span.attributes or semconv.OPERATION_NAME in span.attributes


def _plain(role: str, value: Value) -> list[Message]:
    return [] if value is None else [Message(role, _text(value))]


def _text(value: Value) -> str:
    return value if isinstance(value, str) else to_json(value)


def _objects(value: Value) -> list[_Object]:
    if isinstance(value, Mapping):
        return [value]
    items = value if isinstance(value, (tuple, list)) else ()
    return [item for item in items if isinstance(item, Mapping)]


def _choice(choice: _Object) -> list[Message]:
    if "message" in choice:
        return _said("assistant", choice["message"])
    return _plain("assistant", choice.get("text"))


def _said(role: str, value: Value) -> list[Message]:
    """Return the messages in a value: a text, a message, or a list of either."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Message(role, value)]
    items: Sequence[Value] = value if isinstance(value, (tuple, list)) else (value,)
    if items and all(_is_part(item) for item in items):
        return [Message(role, "\n".join(filter(None, map(_part, items))))]
    return [message for item in items for message in _message(role, item)]


def _is_part(item: Value) -> bool:
    return isinstance(item, Mapping) and "role" not in item and ("type" in item or "text" in item)


def _message(role: str, item: Value) -> list[Message]:
    if not isinstance(item, Mapping):
        return [Message(role, _text(item))]
    who = str(item.get("role") or role)
    found: list[Message] = []
    if item.get("reasoning_content"):
        found.append(Message("reasoning", _text(item["reasoning_content"])))
    content = item.get("content", item.get("parts"))
    lines = [m.text for m in _said(who, content)]
    lines += [_call(call) for call in _objects(item.get("tool_calls"))]
    if not lines and content is None and not found:
        lines = [_part(item)]
    return [*found, *([Message(who, "\n".join(lines))] if lines else ())]


def _part(part: Value) -> str:
    """Describe one part of a message in a text."""
    if not isinstance(part, Mapping):
        return _text(part)
    kind = part.get("type")
    for key in ("text", "thinking", "summary", "refusal"):
        if isinstance(part.get(key), str):
            return str(part[key])
    if kind in ("function_call", "tool_use") or "function_call" in part or "functionCall" in part:
        return _call(part)
    if "content" in part:
        return "\n".join(m.text for m in _said("", part["content"]))
    shown = to_json(part)
    return f"<{kind}>" if kind is not None and len(shown) > _LONG_PART else shown


_LONG_PART: Final = 200


def _call(call: _Object) -> str:
    inner = next((call[key] for key in _CALLS if isinstance(call.get(key), Mapping)), call)
    function = inner if isinstance(inner, Mapping) else call
    arguments = function.get("arguments", function.get("input", function.get("args")))
    return f"→ {function.get('name')}({'' if arguments is None else _text(arguments)})"


_CALLS: Final = ("function", "function_call", "functionCall")


def _tool_name(tool: _Object) -> str:
    function = tool.get("function")
    named = function if isinstance(function, Mapping) else tool
    return str(named.get("name") or named.get("type"))
