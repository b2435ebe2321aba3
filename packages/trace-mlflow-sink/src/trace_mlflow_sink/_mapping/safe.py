"""Hostile values made safe: what a database column or protobuf would refuse never gets there.

One bad value makes MLflow refuse the whole batch it came in, so none may pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from trace_core import Value, to_json

REPLACEMENT: Final = "\ufffd"
_SURROGATES: Final = dict.fromkeys(range(55296, 57344), REPLACEMENT)
_UNSAFE: Final = {0: REPLACEMENT, **_SURROGATES}
_DIGEST_CHARACTERS: Final = 16


def text(value: object) -> str:
    """Return a text that UTF-8 and PostgreSQL can hold: no NUL, no lone surrogate."""
    plain = value if isinstance(value, str) else str(value)
    if "\0" not in plain:
        if plain.isascii():
            return plain
        try:
            plain.encode()
        except UnicodeEncodeError:
            return plain.translate(_UNSAFE)
        return plain
    return plain.translate(_UNSAFE)


def cut(value: object, limit: int) -> str:
    """Return a safe text of at most ``limit`` characters, for people to read."""
    plain = text(value)
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"


def cut_id(value: object, limit: int) -> str:
    """Return a safe text of at most ``limit`` characters; different ids stay different.

    Cut ones end in a digest, joined by a character that MLflow allows in a tag's key.
    """
    plain = text(value)
    if len(plain) <= limit:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{plain[: limit - _DIGEST_CHARACTERS - 1]}-{digest}"


def json_text(value: object) -> str:
    """Write plain data as JSON without NUL and lone surrogates, escaped or not.

    A server unescapes them again when it makes a preview, and its database refuses those.
    """
    try:
        written = to_json(value)
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, say
        return json.dumps(f"<{type(value).__name__}: unwritable ({type(error).__name__})>")
    if "\\u0000" in written or "\\ud" in written:
        return to_json(clean(value))
    return written


def clean(value: object) -> Value:
    """Copy plain data with every text in it made safe."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {text(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(clean(item) for item in value)
    return value  # type: ignore[return-value]  # plain data: the other atoms
