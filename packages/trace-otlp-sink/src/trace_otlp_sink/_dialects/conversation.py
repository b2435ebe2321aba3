"""Reads what a model was told and what it answered, in any provider's format, as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import attrs

from trace_core import Span, SpanKind, Value
from trace_otlp_sink._dialects.parts import (
    EMPTY,
    Object,
    Part,
    as_object,
    as_objects,
    as_sequence,
    beside,
    blob_part,
    call_part,
    known,
    parts_of,
    reasoning_part,
    response_part,
    text_part,
    url_part,
)

Message: TypeAlias = dict[str, Value]
"""``role``, ``parts``, perhaps ``name``; of an answer also ``finish_reason``."""

_TALKS: Final = frozenset({SpanKind.LLM, SpanKind.AGENT, SpanKind.CHAIN, SpanKind.IMAGE})
_SPEAKS: Final = _TALKS | {SpanKind.AUDIO}
_FINISH_REASONS: Final = {
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "tool_use": "tool_call",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "safety": "content_filter",
    "refusal": "content_filter",
    "recitation": "content_filter",
    "failed": "error",
}
"""What providers say, and OpenTelemetry's word for it; other words stay."""
_ASKED: Final = (
    *("messages", "input", "prompt", "contents", "instructions", "system", "system_instruction"),
    *("systemInstruction", "tools"),
)
_ANSWERED: Final = ("choices", "output", "candidates")
_ANTHROPIC: Final = ("content", "role", "stop_reason", "type")


@attrs.frozen
class Conversation:
    """What was said in a call.

    Args:
        system: Parts of the instructions that are given beside the messages.
        inputs: The messages that went in.
        outputs: The messages that came out, one for each choice.
        tools: The tools that the model may ask for: ``type``, ``name`` and more.
        other_inputs: What went in besides.
        other_outputs: What came out besides.
    """

    system: tuple[Part, ...] = ()
    inputs: tuple[Message, ...] = ()
    outputs: tuple[Message, ...] = ()
    tools: tuple[Part, ...] = ()
    other_inputs: Value = None
    other_outputs: Value = None


def read(span: Span) -> Conversation:
    """Read the conversation of a span; of a span that is none, all is in the last two fields.

    Args:
        span: A finished span.
    """
    if span.kind not in _SPEAKS:
        return Conversation(other_inputs=span.inputs, other_outputs=span.outputs)
    request = as_object(span.inputs)
    if isinstance(span.inputs, str):
        inputs: tuple[Message, ...] = (_message("user", [text_part(span.inputs)]),)
    else:
        inputs = tuple(_inputs(request)) if span.kind in _TALKS or "input" in request else ()
    system = tuple(_system(request))
    tools = tuple(map(_tool, as_objects(request.get("tools"))))
    outputs = tuple(_outputs(span.outputs))
    return Conversation(
        system=system,
        inputs=inputs,
        outputs=outputs,
        tools=tools,
        other_inputs=_without(span.inputs, _ASKED) if inputs or tools or system else span.inputs,
        other_outputs=_rest(span.outputs) if outputs else span.outputs,
    )


def _without(value: Value, keys: tuple[str, ...]) -> Value:
    return {k: v for k, v in as_object(value).items() if k not in keys and v not in EMPTY} or None


def _rest(outputs: Value) -> Value:
    """Return what is left of an answer: what its messages do not hold."""
    found = as_object(outputs)
    held = {"text"} if isinstance(found.get("text"), str) else set[str]()
    if found.get("type") == "message":
        held |= set(_ANTHROPIC)
    if any(_pictures(found)):
        held.add("data")
    rest = as_object(_without(outputs, (*_ANSWERED, *held)))
    choices = [as_object(_without(c, _OF_CHOICE)) for c in as_objects(_choices(outputs))]
    if any(choices):
        return {**rest, "choices": tuple(choices)}
    return rest or None


_OF_CHOICE: Final = ("message", "text", "finish_reason", "index", "content", "finishReason")


def _choices(outputs: Value) -> Value:
    found = as_object(outputs)
    return found.get("choices") or found.get("candidates")


# What went in


def _system(request: Object) -> Iterator[Part]:
    yield from parts_of(request.get("instructions"))
    yield from parts_of(request.get("system"))
    told = request.get("system_instruction", request.get("systemInstruction"))
    yield from parts_of(as_object(told).get("parts", told))


def _inputs(request: Object) -> Iterator[Message]:
    for key in ("messages", "input", "prompt", "contents"):
        found = request.get(key)
        if isinstance(found, str):
            yield _message("user", [text_part(found)])
        elif isinstance(found, Mapping):
            yield from _said(found)
        elif found is not None:
            yield from _listed(as_sequence(found))


def _listed(items: tuple[Value, ...]) -> Iterator[Message]:
    """Read a list of messages, of items of the Responses API, or of texts."""
    if items and all(isinstance(item, int) for item in items):
        yield _message("user", [{"type": "tokens", "tokens": items}])  # a prompt, tokenised
        return
    for item in items:
        if isinstance(item, Mapping):
            yield from _said(item)
        else:
            yield from _listed((item,)) if isinstance(item, int) else _texts(item)


def _texts(item: Value) -> Iterator[Message]:
    if isinstance(item, str):
        yield _message("user", [text_part(item)])
    else:
        yield from _listed(as_sequence(item))


def _said(item: Object) -> Iterator[Message]:
    """Read one message, or one item of the Responses API."""
    kind = item.get("type")
    if "role" in item or kind in (None, "message"):
        yield from _split(_role(item), [*_parts(item)], item)
    else:
        yield from _split(*_item(item), item)


def _split(role: str, parts: list[Part], item: Object) -> Iterator[Message]:
    """Yield one message; answers of tools that a user's message holds are a tool's own."""
    answers = [part for part in parts if part.get("type") == "tool_call_response"]
    if answers and role != "tool":
        yield _message("tool", answers)
        parts = [part for part in parts if part.get("type") != "tool_call_response"]
        if not parts:
            return
    yield {**_beside(item), **_message(role, parts)}


def _beside(message: Object) -> Message:
    """Return what a message has besides its role and parts: a name, fields of the provider's."""
    return beside(message, *_OF_MESSAGE, *_EXTRA) if "role" in message else {}


def _message(role: str, parts: list[Part]) -> Message:
    return {"role": role, "parts": tuple(parts)}


_ROLES: Final = {"model": "assistant", "function": "tool"}


def _role(message: Object) -> str:
    role = str(message.get("role") or "user")
    return _ROLES.get(role, role)


def _parts(message: Object) -> Iterator[Part]:
    """Yield the parts of a message: thoughts, content, calls of tools."""
    if _role(message) == "tool":
        number = message.get("tool_call_id", message.get("name"))
        yield response_part(number, message.get("content"))
        return
    yield from _thoughts(message)
    content = message.get("content", message.get("parts"))
    if content or not message.get("tool_calls"):
        yield from parts_of(content)
    for key, read_part in _EXTRA.items():
        if message.get(key):
            yield from read_part(message[key])


def _thoughts(message: Object) -> Iterator[Part]:
    blocks = as_objects(message.get("thinking_blocks"))
    if blocks and any(block.get("thinking") for block in blocks):
        yield from parts_of(tuple(blocks))
        return
    text = message.get("reasoning_content") or message.get("reasoning")
    if text:
        yield reasoning_part(text)


def _tool_calls(calls: Value) -> Iterator[Part]:
    for call in as_objects(calls):
        function = as_object(call.get("function") or call.get("custom"))
        arguments = function.get("arguments", function.get("input"))
        yield call_part(call.get("id"), function.get("name"), arguments)


def _function_call(call: Value) -> Iterator[Part]:
    found = as_object(call)
    yield call_part(None, found.get("name"), found.get("arguments"))


def _spoken(audio: Value) -> Iterator[Part]:
    found = as_object(audio)
    part = blob_part(found.get("data"), "audio")
    yield {**part, **known({"transcript": found.get("transcript"), "id": found.get("id")})}


def _refused(text: Value) -> Iterator[Part]:
    yield {"type": "refusal", "content": text}


_OF_MESSAGE: Final = (
    *("type", "role", "content", "parts", "tool_call_id", "thinking_blocks"),
    *("reasoning_content", "reasoning"),
)
_EXTRA: Final[Mapping[str, Callable[[Value], Iterator[Part]]]] = {
    "refusal": _refused,
    "images": parts_of,
    "audio": _spoken,
    "tool_calls": _tool_calls,
    "function_call": _function_call,
}
"""What messages of OpenAI's format have beside their content."""


def _item(item: Object) -> tuple[str, list[Part]]:
    """Read an item of the Responses API that is no message; return its role and parts."""
    kind = str(item.get("type"))
    if kind in ("function_call", "custom_tool_call"):
        arguments = item.get("arguments", item.get("input"))
        return "assistant", [call_part(item.get("call_id"), item.get("name"), arguments)]
    if kind in ("function_call_output", "custom_tool_call_output"):
        return "tool", [response_part(item.get("call_id"), item.get("output"))]
    if kind == "reasoning":
        return "assistant", [_reasoned(item)]
    if kind == "image_generation_call":
        return "assistant", [blob_part(item.get("result"), "image")]
    if kind.endswith("_call"):
        call: Part = {"type": "server_tool_call", "name": kind.removesuffix("_call")}
        return "assistant", [{**call, **known({"id": item.get("id")}), "server_tool_call": item}]
    return "user", [*parts_of((item,))]


def _reasoned(item: Object) -> Part:
    texts = (*as_objects(item.get("summary")), *as_objects(item.get("content")))
    told = "\n".join(str(text.get("text")) for text in texts if text.get("text"))
    return reasoning_part(told, id=item.get("id"), encrypted_content=item.get("encrypted_content"))


def _tool(tool: Object) -> Part:
    """Return the definition of a tool; of a function its name, description and parameters."""
    function = tool.get("function")
    found = function if isinstance(function, Mapping) else tool
    name = found.get("name")
    parameters = found.get("parameters", found.get("input_schema"))
    if name is None or (parameters is None and found is tool and tool.get("type") != "function"):
        kind = str(tool.get("type") or next(iter(tool), "unknown"))
        return {**tool, "type": kind, "name": str(name or kind)}
    more = known({"description": found.get("description"), "parameters": parameters})
    return {"type": "function", "name": str(name), **more}


# What came out


def _outputs(outputs: Value) -> Iterator[Message]:
    if isinstance(outputs, str):
        yield _answer("assistant", [text_part(outputs)], None)
        return
    found = as_object(outputs)
    for read_answers in (_chosen, _anthropic, _items, _candidates, _pictures, _transcript):
        answers = list(read_answers(found))
        if answers:
            yield from answers
            return


def _answer(role: str, parts: list[Part], reason: Value) -> Message:
    return {**_message(role, parts), "finish_reason": finish_reason(reason)}


def finish_reason(reason: Value) -> str:
    """Return OpenTelemetry's word for why an answer ended; empty if that is not known."""
    word = str(reason or "")
    return _FINISH_REASONS.get(word.lower(), word.lower() if word.isupper() else word)


def _chosen(answer: Object) -> Iterator[Message]:
    for choice in as_objects(answer.get("choices")):
        message = choice.get("message")
        if isinstance(message, Mapping):
            said = _answer("assistant", [*_parts(message)], choice.get("finish_reason"))
            yield {**_beside(message), **said}
        elif choice.get("text") is not None:
            yield _answer("assistant", [text_part(choice["text"])], choice.get("finish_reason"))


def _anthropic(answer: Object) -> Iterator[Message]:
    if answer.get("type") == "message" and "content" in answer:
        yield _answer("assistant", [*parts_of(answer["content"])], answer.get("stop_reason"))


def _items(answer: Object) -> Iterator[Message]:
    """Read the items of a Responses answer as the parts of one message."""
    items = as_objects(answer.get("output"))
    parts = [part for item in items for one in _said(item) for part in _parts_in(one, item)]
    if not parts:
        return
    cut_short = as_object(answer.get("incomplete_details")).get("reason")
    called = any(part.get("type") == "tool_call" for part in parts)
    done = "tool_calls" if called else answer.get("status")
    yield _answer("assistant", parts, cut_short or done)


def _parts_in(message: Message, item: Object) -> list[Part]:
    number = known({"id": item.get("id")}) if item.get("type") == "message" else {}
    return [{**part, **number} for part in as_objects(message["parts"])]


def _candidates(answer: Object) -> Iterator[Message]:
    for candidate in as_objects(answer.get("candidates")):
        parts = [*parts_of(as_object(candidate.get("content")).get("parts"))]
        yield _answer("assistant", parts, candidate.get("finishReason"))


def _pictures(answer: Object) -> Iterator[Message]:
    parts = []
    for picture in as_objects(answer.get("data")):
        if picture.get("url") is not None:
            parts.append(url_part(picture["url"], "image"))
        elif picture.get("b64_json") is not None:
            parts.append(blob_part(picture["b64_json"], "image"))
    if parts:
        yield _answer("assistant", parts, "stop")


def _transcript(answer: Object) -> Iterator[Message]:
    if isinstance(answer.get("text"), str):
        yield _answer("assistant", [text_part(answer["text"])], "stop")
