"""Cleans texts and values that a database or protobuf would refuse.

A server may refuse a whole batch because of one bad value, so none may get through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from trace_core._model.json import to_json
from trace_core._model.values import Value

_REPLACEMENT: Final = "\ufffd"
_SURROGATES: Final = dict.fromkeys(range(55296, 57344), _REPLACEMENT)
_NOT_STORABLE: Final = {0: _REPLACEMENT, **_SURROGATES}


def clean_text(value: object) -> str:
    """Return a text that UTF-8 and PostgreSQL can hold: without NUL and lone surrogates."""
    plain = value if isinstance(value, str) else str(value)
    if "\0" not in plain:
        if plain.isascii():
            return plain
        try:
            plain.encode()
        except UnicodeEncodeError:
            return plain.translate(_NOT_STORABLE)
        return plain
    return plain.translate(_NOT_STORABLE)


def shorten(value: object, limit: int) -> str:
    """Return a clean text of at most ``limit`` characters, for people to read."""
    plain = clean_text(value)
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"


def json_text(value: object) -> str:
    """Write a value as JSON without NUL and lone surrogates, escaped ones included.

    A server decodes escapes when it makes a preview, which its database would refuse.
    """
    try:
        written = to_json(value)
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, say
        return json.dumps(f"<{type(value).__name__}: unwritable ({type(error).__name__})>")
    if "\\u0000" in written or "\\ud" in written:
        return to_json(clean_value(value))
    return written


def clean_value(value: object) -> Value:
    """Return a copy of a value with every text in it clean."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(key): clean_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(clean_value(item) for item in value)
    return value  # type: ignore[return-value]  # None, a boolean or a number
