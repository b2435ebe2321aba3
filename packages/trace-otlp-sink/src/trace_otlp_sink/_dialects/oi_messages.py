"""Messages as OpenInference's flat attributes: ``llm.input_messages.0.message.role`` and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from trace_core import Value
from trace_core.otlp import json_text
from trace_otlp_sink._dialects import oi_names as names
from trace_otlp_sink._dialects.conversation import Message
from trace_otlp_sink._dialects.parts import Object, as_objects

_MEDIA: Final = ("blob", "uri", "file")
_OPAQUE: Final = {
    "id": names.MESSAGE_CONTENT_ID,
    "signature": names.MESSAGE_CONTENT_SIGNATURE,
    "data": names.MESSAGE_CONTENT_DATA,
    "encrypted_content": names.MESSAGE_CONTENT_ENCRYPTED_CONTENT,
}
_FIELDS: Final = {
    "image": (names.MESSAGE_CONTENT_IMAGE, names.IMAGE_URL, None),
    "audio": (names.MESSAGE_CONTENT_AUDIO, names.AUDIO_URL, names.AUDIO_MIME_TYPE),
    "video": (names.MESSAGE_CONTENT_VIDEO, names.VIDEO_URL, None),
    "document": (names.MESSAGE_CONTENT_DOCUMENT, names.DOCUMENT_URL, names.DOCUMENT_MIME_TYPE),
}
"""By modality: the part's field, that of the address in it, and that of the MIME type."""


def flat_messages(start: str, messages: Iterable[Message]) -> dict[str, Value]:
    """Return messages as attributes.

    Args:
        start: What their names begin with.
        messages: The messages, by OpenTelemetry's schemas.
    """
    found: dict[str, Value] = {}
    one_each = (single for message in messages for single in _split(message))
    for number, fields in enumerate(one_each):
        found.update({f"{start}.{number}.{name}": value for name, value in fields.items()})
    return found


def _split(message: Message) -> Iterator[dict[str, Value]]:
    """Yield the fields of a message; of each tool's answer apart, which names only one call."""
    parts = as_objects(message["parts"])
    answers = [part for part in parts if part.get("type") == "tool_call_response"]
    for answer in answers:
        yield {
            names.MESSAGE_ROLE: "tool",
            names.MESSAGE_TOOL_CALL_ID: _text(answer.get("id")),
            names.MESSAGE_CONTENT: _text(answer.get("response")),
        }
    others = [part for part in parts if part.get("type") != "tool_call_response"]
    if others or not answers:
        yield {names.MESSAGE_ROLE: message["role"], **_fields(message, others)}


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) or value is None else json_text(value)


def _fields(message: Message, parts: list[Object]) -> dict[str, Value]:
    found: dict[str, Value] = {names.MESSAGE_NAME: message.get("name")}
    calls = [part for part in parts if part.get("type") == "tool_call"]
    contents = [part for part in parts if part.get("type") != "tool_call"]
    if len(contents) == 1 and contents[0].get("type") == "text":
        found[names.MESSAGE_CONTENT] = contents[0].get("content")
    else:
        found.update(_indexed(names.MESSAGE_CONTENTS, map(_content, contents)))
    found.update(_indexed(names.MESSAGE_TOOL_CALLS, map(_call, calls)))
    return found


def _indexed(start: str, items: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {
        f"{start}.{number}.{name}": value
        for number, item in enumerate(items)
        for name, value in item.items()
    }


def _call(part: Object) -> dict[str, Value]:
    return {
        names.TOOL_CALL_ID: part.get("id"),
        names.TOOL_CALL_FUNCTION_NAME: part.get("name"),
        names.TOOL_CALL_FUNCTION_ARGUMENTS_JSON: _text(part.get("arguments")),
    }


def _content(part: Object) -> dict[str, Value]:
    kind = str(part.get("type"))
    if kind in _MEDIA:
        return _media(part)
    text = part.get("content")
    shown = text if isinstance(text, str) else json_text(part)
    opaque = {name: _text(part.get(key)) for key, name in _OPAQUE.items()}
    return {names.MESSAGE_CONTENT_TYPE: kind, names.MESSAGE_CONTENT_TEXT: shown, **opaque}


def _media(part: Object) -> dict[str, Value]:
    """Return a picture, sound, film or document: its address, or its data as one."""
    modality = str(part.get("modality"))
    modality = modality if modality in _FIELDS else "document"
    start, url, mime_type = _FIELDS[modality]
    found: dict[str, Value] = {names.MESSAGE_CONTENT_TYPE: modality}
    found[f"{start}.{url}"] = _url(part)
    if mime_type is not None:
        found[f"{start}.{mime_type}"] = part.get("mime_type")
    if modality == "document":
        found[f"{start}.{names.DOCUMENT_ID}"] = part.get("file_id")
        found[f"{start}.{names.DOCUMENT_NAME}"] = part.get("filename")
    if modality == "audio":
        found[f"{start}.{names.AUDIO_TRANSCRIPT}"] = part.get("transcript")
    if "sha256" in part:
        found[names.MESSAGE_CONTENT_TEXT] = _cut_out(part)
    return found


def _url(part: Object) -> Value:
    if part.get("type") == "uri":
        return part.get("uri")
    data = part.get("content")
    return f"data:{part.get('mime_type') or ''};base64,{data}" if data else part.get("file_id")


def _cut_out(part: Object) -> str:
    """Say in words what was cut out by `trace_core.limit_payloads`."""
    return f"<{part.get('mime_type')}: {part.get('length')} characters, sha256 {part['sha256']}>"
