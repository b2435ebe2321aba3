"""Reads the parts of a message, in any provider's format, as OpenTelemetry's schemas have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from trace_core import Value, to_json

Part: TypeAlias = dict[str, Value]
"""A part of a message: its ``type``, and what such a part has."""
Object: TypeAlias = Mapping[str, Value]

_CUT_OUT: Final = frozenset({"kind", "length", "sha256"})
"""The keys of what `trace_core.limit_payloads` leaves in place of a payload."""
EMPTY: Final[tuple[Value, ...]] = (None, (), {}, "")
_PATTERNS: Final = {"image": "image", "audio": "audio", "video": "video"}


def as_object(value: Value) -> Object:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_objects(value: Value) -> list[Object]:
    """Return the mappings in a sequence; none if it is no sequence."""
    return [item for item in as_sequence(value) if isinstance(item, Mapping)]


def as_sequence(value: Value) -> tuple[Value, ...]:
    """Return a sequence as a tuple; an empty one if it is none."""
    return tuple(value) if isinstance(value, (tuple, list)) else ()


def text_part(text: Value) -> Part:
    """Return a part that is text."""
    return {"type": "text", "content": text if isinstance(text, str) else to_json(text)}


def reasoning_part(text: Value, **more: Value) -> Part:
    """Return a part that a model thought, with what else is known of it."""
    shown = text if isinstance(text, str) else to_json(text)
    return {"type": "reasoning", "content": shown, **known(more)}


def call_part(number: Value, name: Value, arguments: Value) -> Part:
    """Return a part that asks for a tool, its arguments as an object if they are one."""
    part: Part = {"type": "tool_call", "name": str(name or ""), "arguments": parsed(arguments)}
    return {**part, "id": number} if number is not None else part


def response_part(number: Value, response: Value) -> Part:
    """Return a part with what a tool answered."""
    part: Part = {"type": "tool_call_response", "response": response}
    return {**part, "id": number} if number is not None else part


def parsed(arguments: Value) -> Value:
    """Read arguments that a model wrote as JSON; a text that is no JSON stays one."""
    if not isinstance(arguments, str):
        return arguments
    try:
        found: Value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return found


def known(values: Mapping[str, Value]) -> Part:
    """Return what is not ``None``."""
    return {key: value for key, value in values.items() if value is not None}


def beside(item: Object, *read: str) -> Part:
    """Return what an object has besides what was read of it, and that is not empty."""
    return {k: v for k, v in item.items() if k not in read and v not in EMPTY}


def blob_part(data: Value, modality: str, mime_type: Value = None) -> Part:
    """Return a part with data inside, or what is known of data that was cut out."""
    part: Part = {"type": "blob", "modality": modality, "content": ""}
    cut_out = as_object(data)
    if isinstance(data, str):
        part["content"] = data
    else:
        part.update({key: value for key, value in cut_out.items() if key in _CUT_OUT})
    return {**part, **known({"mime_type": mime_type or cut_out.get("kind")})}


def url_part(url: Value, modality: str, mime_type: Value = None) -> Part:
    """Return a part with the address of data, or with the data in a ``data:`` URL."""
    if isinstance(url, str) and url.startswith("data:") and ";base64," in url:
        head, _, data = url.removeprefix("data:").partition(";base64,")
        return blob_part(data, modality, head or mime_type)
    if not isinstance(url, str):
        return blob_part(url, modality, mime_type)
    return {"type": "uri", "modality": modality, "uri": url, **known({"mime_type": mime_type})}


def file_part(number: Value, modality: str) -> Part:
    """Return a part that names an uploaded file."""
    return {"type": "file", "modality": modality, "file_id": str(number)}


def modality_of(mime_type: Value) -> str:
    """Return the modality of a MIME type."""
    return _PATTERNS.get(str(mime_type or "").partition("/")[0], "document")


def parts_of(content: Value) -> Iterator[Part]:
    """Yield the parts of a message's content, which is a text or a list of parts.

    Args:
        content: The content, in the format of OpenAI, Anthropic or Google.
    """
    if isinstance(content, str):
        yield text_part(content)
        return
    for item in (content,) if isinstance(content, Mapping) else as_sequence(content):
        yield part_of(item)


def part_of(item: Value) -> Part:
    """Return one part; what is not known as it is, under its own type.

    Args:
        item: The part, in the format of OpenAI, Anthropic or Google.
    """
    if not isinstance(item, Mapping):
        return text_part(item)
    kind = item.get("type")
    read = _BY_TYPE.get(str(kind)) if kind is not None else None
    if read is None and kind is None:
        read = next((read for key, read in _BY_KEY.items() if item.get(key) is not None), None)
    if read is not None:
        return read(item)
    if str(kind).endswith("_tool_result"):
        return _server_result(item)
    return {**item, "type": str(kind or "unknown")}


def _text(item: Object) -> Part:
    text, more = item.get("text"), beside(item, "type", "text", "thought")
    if item.get("thought") is True:
        return {**more, **reasoning_part(text)}
    return {**more, **text_part(text)}


def _image_url(item: Object) -> Part:
    found = item.get("image_url")
    url = found.get("url", found) if isinstance(found, Mapping) else found
    if url is None and item.get("file_id") is not None:
        return file_part(item["file_id"], "image")
    more = beside(as_object(found), "url") | beside(item, "type", "image_url")
    return {**more, **url_part(url, "image")}


def _video_url(item: Object) -> Part:
    found = item.get("video_url")
    return url_part(found.get("url", found) if isinstance(found, Mapping) else found, "video")


def _audio(item: Object) -> Part:
    found = as_object(item.get("input_audio", item.get("audio")))
    form = found.get("format")
    return blob_part(found.get("data"), "audio", f"audio/{form}" if form else None)


def _file(item: Object) -> Part:
    found = as_object(item.get("file")) or item
    mime = found.get("format")
    more = beside(found, "type", "file", "format", "file_id", "file_data", "file_url")
    if found.get("file_id") is not None:
        return {**more, **file_part(found["file_id"], modality_of(mime))}
    data = found.get("file_data", found.get("file_url"))
    return {**more, **url_part(data, modality_of(mime), mime)}


def _source(item: Object) -> Part:
    """Read a picture or a document of Anthropic's."""
    found, kind = as_object(item.get("source")), str(item.get("type"))
    mime = found.get("media_type")
    more = beside(item, "type", "source")
    return {**more, **_of_source(found, kind, mime)}


def _of_source(found: Object, kind: str, mime: Value) -> Part:
    if found.get("type") == "text":
        return text_part(found.get("data"))
    if found.get("type") == "file":
        return file_part(found.get("file_id"), kind)
    if found.get("type") == "url":
        return url_part(found.get("url"), kind, mime)
    return blob_part(found.get("data", found), kind, mime)


def _thinking(item: Object) -> Part:
    return {**beside(item, "type", "thinking"), **reasoning_part(item.get("thinking"))}


def _tool_use(item: Object) -> Part:
    more = beside(item, "type", "id", "name", "input")
    return {**more, **call_part(item.get("id"), item.get("name"), item.get("input"))}


def _server_tool_use(item: Object) -> Part:
    inner: Part = {"type": str(item.get("name")), "input": item.get("input")}
    return {
        "type": "server_tool_call",
        "id": item.get("id"),
        "name": str(item.get("name")),
        "server_tool_call": inner,
    }


def _server_result(item: Object) -> Part:
    inner: Part = {"type": str(item.get("type")), "content": item.get("content")}
    return {
        "type": "server_tool_call_response",
        "id": item.get("tool_use_id"),
        "server_tool_call_response": inner,
    }


def _tool_result(item: Object) -> Part:
    more = beside(item, "type", "tool_use_id", "content")
    return {**more, **response_part(item.get("tool_use_id"), item.get("content"))}


def _google_data(item: Object) -> Part:
    found = as_object(item.get("inline_data", item.get("inlineData")))
    mime = found.get("mime_type", found.get("mimeType"))
    return blob_part(found.get("data"), modality_of(mime), mime)


def _google_file(item: Object) -> Part:
    found = as_object(item.get("file_data", item.get("fileData")))
    mime = found.get("mime_type", found.get("mimeType"))
    return url_part(found.get("file_uri", found.get("fileUri")), modality_of(mime), mime)


def _google_call(item: Object) -> Part:
    found = as_object(item.get("function_call", item.get("functionCall")))
    return call_part(found.get("id"), found.get("name"), found.get("args"))


def _google_response(item: Object) -> Part:
    found = as_object(item.get("function_response", item.get("functionResponse")))
    return response_part(found.get("id", found.get("name")), found.get("response"))


_Read: TypeAlias = Callable[[Object], Part]
_BY_TYPE: Final[Mapping[str, _Read]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "summary_text": _text,
    "reasoning_text": _text,
    "image_url": _image_url,
    "input_image": _image_url,
    "video_url": _video_url,
    "input_audio": _audio,
    "file": _file,
    "input_file": _file,
    "image": _source,
    "document": _source,
    "thinking": _thinking,
    "tool_use": _tool_use,
    "server_tool_use": _server_tool_use,
    "tool_result": _tool_result,
}
_BY_KEY: Final[Mapping[str, _Read]] = {
    "text": _text,
    "inline_data": _google_data,
    "inlineData": _google_data,
    "file_data": _google_file,
    "fileData": _google_file,
    "function_call": _google_call,
    "functionCall": _google_call,
    "function_response": _google_response,
    "functionResponse": _google_response,
}
"""Google's parts, which have no type."""
