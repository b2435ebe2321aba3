"""What a call's inputs and outputs are: their format for MLflow's chat view, tools, previews."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trace_core import Value

_CUT_OUT: Final = frozenset({"kind", "length", "sha256"})
_Object = Mapping[str, Value]


def as_object(value: Value) -> _Object:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_objects(value: Value) -> list[_Object]:
    """Return the mappings in a sequence; none if it is no sequence."""
    if not isinstance(value, (list, tuple)):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def message_format(inputs: Value, outputs: Value) -> str | None:
    """Return the name MLflow's UI knows the messages' format by, if they are messages.

    Args:
        inputs: What went into the call.
        outputs: What came out of it; ``None`` if it failed.
    """
    request, response = as_object(inputs), as_object(outputs)
    if _is_anthropic(request, response):
        return "anthropic"
    if "contents" in request or "candidates" in response:
        return "gemini"
    chat = "messages" in request or any("message" in c for c in as_objects(response.get("choices")))
    responses = (
        "output" in response or "instructions" in request or "previous_response_id" in request
    )
    return "openai" if chat or responses else None


def _is_anthropic(request: _Object, response: _Object) -> bool:
    if response.get("type") == "message" and "content" in response:
        return True
    tools = as_objects(request.get("tools"))
    return "messages" in request and any("input_schema" in tool for tool in tools)


def chat_tools(inputs: Value) -> list[_Object]:
    """Return the tools of a request in the shape MLflow shows: OpenAI's, with ``function``."""
    tools = as_objects(as_object(inputs).get("tools"))
    shaped = [_tool(tool) for tool in tools]
    return [tool for tool in shaped if tool is not None]


def _tool(tool: _Object) -> _Object | None:
    if isinstance(tool.get("function"), Mapping):
        return {"type": "function", **tool}
    name = tool.get("name")
    if name is None:
        return None  # a built-in of the provider, such as web search: no function to show
    parts = {
        "name": name,
        "description": tool.get("description"),
        "parameters": tool.get("input_schema", tool.get("parameters")),
    }
    function = {key: value for key, value in parts.items() if value is not None}
    return {"type": "function", "function": function}


def shown(content: Value) -> Value:
    """Return inputs or outputs such that MLflow's chat view shows all of them.

    It shows what a model thought under another name than LiteLLM's, and no message of a
    conversation in which it does not know one part: a picture, say, whose data was cut out.

    Args:
        content: The inputs or outputs of a call to a model.

    Returns:
        The very same if there is nothing to change.
    """
    data = as_object(content)
    lists = {"messages": _message, "input": _message, "choices": _choice}
    changed: dict[str, Value] = {}
    for key, change in lists.items():
        items = data.get(key)
        if isinstance(items, (list, tuple)):
            new = _changed(items, change)
            changed.update({} if new is items else {key: tuple(new)})
    return {**data, **changed} if changed else content


def _changed(items: Sequence[Value], change: Callable[[_Object], _Object]) -> Sequence[Value]:
    """Return what a function makes of the mappings in a sequence; itself if it changes none."""
    new = tuple([change(item) if isinstance(item, Mapping) else item for item in items])
    return items if all(a is b for a, b in zip(new, items, strict=True)) else new


def _choice(choice: _Object) -> _Object:
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return choice
    new = _message(message)
    return choice if new is message else {**choice, "message": new}


def _message(message: _Object) -> _Object:
    changed: dict[str, Value] = {}
    thought, parts = message.get("reasoning_content"), message.get("content")
    if isinstance(thought, str) and not message.get("reasoning"):
        changed["reasoning"] = thought
    if isinstance(parts, (list, tuple)):
        new = _changed(parts, _part)
        changed.update({} if new is parts else {"content": tuple(new)})
    return {**message, **changed} if changed else message


def _part(part: _Object) -> _Object:
    """Say in words what was cut out of a message, by `trace_core.limit_payloads`."""
    inner = [value for one in part.values() for value in (one, *as_object(one).values())]
    cut = next((v for v in inner if isinstance(v, Mapping) and v.keys() == _CUT_OUT), None)
    if cut is None:
        return part
    return {
        "type": "text",
        "text": f"<{cut['kind']}: {cut['length']} characters, sha256 {cut['sha256']}>",
    }


def usage_in(outputs: Value) -> Mapping[str, Value] | None:
    """Read token counts off a response, for MLflow's totals of a trace that ends right now.

    The span itself gets its counts later, on the sink's thread.

    Args:
        outputs: What came out of the call.
    """
    usage = as_object(as_object(outputs).get("usage"))
    asked = usage.get("prompt_tokens", usage.get("input_tokens"))
    answered = usage.get("completion_tokens", usage.get("output_tokens"))
    if not isinstance(asked, int) or not isinstance(answered, int):
        return None
    details = as_object(usage.get("prompt_tokens_details", usage.get("input_tokens_details")))
    cached = details.get("cached_tokens") or usage.get("cache_read_input_tokens")
    counts: dict[str, Value] = {
        "input_tokens": asked,
        "output_tokens": answered,
        "total_tokens": asked + answered,
    }
    return {**counts, "cache_read_input_tokens": cached} if cached else counts
