"""The processor that replaces files inside spans by what they are and their digest.

Only what is known to be a payload is replaced: ``data:`` URLs, fields that carry base64 in a
provider's format, and long lists of numbers. Any other long text stays as it is.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any, Final

from trace_core import _arguments as arguments
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._processors.look import LONG, PLAIN_TYPES, Look, look_at
from trace_core._processors.walk import replaced

_NUMBERS: Final = frozenset({int, float})
_URL_HEAD: Final = r"data:([\w.+\-]{1,80}/[\w.+\-]{1,80})?(?:;[\w=.\-]{1,80}){0,8};base64,"
_DATA_URL: Final = re.compile(_URL_HEAD + r"[A-Za-z0-9+/=_\-]+")
_HEAD: Final = re.compile(_URL_HEAD)
_IN_URLS: Final = f"{string.ascii_letters}{string.digits}+/=_-".encode()
_BASE64: Final = f"{string.ascii_letters}{string.digits}+/_-\r\n".encode()
_SAMPLE: Final = 1_024
_ENCODED: Final = frozenset(
    {
        *("b64_json", "file_data", "b64", "base64", "audio", "image", "images", "imageBytes"),
        *("partial_image_b64", "image_base64", "audio_base64", "bytesBase64Encoded"),
        "encoded_video",
    }
)
"""Fields that carry base64 and nothing else where they hold a long text without blanks."""
_DESCRIBED: Final = frozenset(
    {
        *("media_type", "mime_type", "mimeType", "mediaType", "format", "transcript"),
        *("expires_at", "display_name", "displayName"),
    }
)
"""Fields beside ``data`` that say it is a file."""


def limit_payloads(*, max_base64: int = 1_024, max_vector: int = 256) -> Callable[[Span], Span]:
    """Make a processor that replaces large binary payloads by what they are and their digest.

    Payloads are ``data:`` URLs, base64 in fields that carry files, such as ``b64_json`` and
    ``file_data``, and long lists of numbers such as embeddings.

    Args:
        max_base64: Characters of base64 that are kept.
        max_vector: Numbers in a list that are kept.

    Returns:
        A processor.

    Raises:
        ConfigurationError: A limit is not a whole number of at least 1.
    """
    limit = _PayloadLimit(
        arguments.count(max_base64, "max_base64"), arguments.count(max_vector, "max_vector")
    )

    def processor(span: Span) -> Span:
        if limit.leaves(look_at(span)):
            return span
        return replaced(
            span,
            inputs=limit.value(span.inputs),
            outputs=limit.value(span.outputs),
            attributes=limit.value(span.attributes),
        )

    processor.__name__ = "limit_payloads"
    return processor


class _PayloadLimit:
    """Replaces payloads in a value and copies only what changes."""

    def __init__(self, max_base64: int, max_vector: int) -> None:
        self._max_base64 = max_base64
        self._max_vector = max_vector

    def leaves(self, found: Look) -> bool:
        """Return whether a span holds no payload, as most do not; False if in doubt."""
        for items in found.containers:
            if len(items) > self._max_vector and self._is_vector(items):
                return False
        most = self._max_base64
        for text in found.long if most >= LONG else found.texts:
            if len(text) > most and (" " not in text or ";base64," in text):
                return False
        return True

    def _is_vector(self, items: Sequence[Value]) -> bool:
        return len(items) > self._max_vector and _NUMBERS.issuperset(map(type, items))

    def value(self, value: Value, *, encoded: bool = False) -> Any:
        """Return the value, the very same if nothing in it is to be replaced.

        Args:
            value: The value.
            encoded: Whether it is in a field that carries base64.
        """
        if isinstance(value, str):
            return self._text(value, encoded=encoded)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, (tuple, list)):
            return self._sequence(value, encoded=encoded)
        return value

    def _mapping(self, value: Mapping[str, Value]) -> Mapping[str, Value]:
        longest, changed = self._max_base64, {}
        for key, item in value.items():
            kind = type(item)
            if (len(item) <= longest) if kind is str else (kind in PLAIN_TYPES):  # type: ignore[arg-type]
                continue
            new = self.value(item, encoded=_carries_base64(key, value))
            if new is not item:
                changed[key] = new
        return {**value, **changed} if changed else value

    def _sequence(self, value: Sequence[Value], *, encoded: bool) -> Any:
        if self._is_vector(value):
            return _described("vector", repr(tuple(value)).encode(), length=len(value))
        if PLAIN_TYPES.issuperset(map(type, value)):
            return value
        new = [self.value(item, encoded=encoded) for item in value]
        return value if all(map(is_, new, value)) else tuple(new)

    def _text(self, text: str, *, encoded: bool) -> Value:
        if len(text) <= self._max_base64:
            return text
        if ";base64," in text:
            return self._without_data_urls(text)
        if encoded and _is_base64(text):
            return _described("base64", text.encode(), length=len(text))
        return text

    def _without_data_urls(self, text: str) -> Value:
        head = _HEAD.match(text)
        if head is not None and text.isascii():
            data = text.encode()
            if _ends_in_base64(data, head.end()):
                return _described(head.group(1) or "data", data, length=len(text))
        return _DATA_URL.sub(self._short_url, text)

    def _short_url(self, found: re.Match[str]) -> str:
        if len(found.group()) <= self._max_base64:
            return found.group()
        digest = hashlib.sha256(found.group().encode()).hexdigest()
        return f"<{found.group(1) or 'data'}: {len(found.group())} characters, sha256 {digest}>"


def _ends_in_base64(data: bytes, start: int) -> bool:
    """Return whether all is base64 from there on; a regular expression takes five times as long."""
    return data[:start].translate(None, _IN_URLS) == data.translate(None, _IN_URLS)


def _carries_base64(key: object, around: Mapping[str, Value]) -> bool:
    """Return whether a field carries base64: by its name, or by the fields beside it."""
    if key == "data":
        return not _DESCRIBED.isdisjoint(around) or around.get("type") == "base64"
    if key == "result":
        return around.get("type") == "image_generation_call"
    return key in _ENCODED


def _is_base64(text: str) -> bool:
    """Return whether a text is base64 of a file: not DNA, digits, hex or a word repeated."""
    unpadded = text.rstrip().removesuffix("=").removesuffix("=")
    if not unpadded.isascii() or unpadded.encode().translate(None, _BASE64):
        return False
    sample = text[:_SAMPLE]
    mixed = sample.lower() != sample and sample.upper() != sample
    return mixed and any(map(str.isdigit, text[: 4 * _SAMPLE]))


def _described(kind: str, data: bytes, *, length: int) -> Value:
    return {"kind": kind, "length": length, "sha256": hashlib.sha256(data).hexdigest()}
