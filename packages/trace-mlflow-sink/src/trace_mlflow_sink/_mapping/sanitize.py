"""Cleans values that a database column or protobuf would refuse, and shortens ids."""

from __future__ import annotations

import hashlib
from typing import Final

from trace_core.otlp import clean_text, clean_value, json_text, shorten

__all__ = ["clean_text", "clean_value", "json_text", "shorten", "shorten_id"]

_DIGEST_CHARACTERS: Final = 16


def shorten_id(value: object, limit: int) -> str:
    """Return a clean text of at most ``limit`` characters; different ids stay different.

    A shortened id ends in a digest, after a character that MLflow allows in the key of a tag. A
    list of one id is that id, and a longer one is written as JSON.
    """
    if isinstance(value, (list, tuple)):
        value = value[0] if len(value) == 1 else json_text(value)
    plain = clean_text(value)
    if len(plain) <= limit:
        return plain
    digest = hashlib.sha256(plain.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{plain[: limit - _DIGEST_CHARACTERS - 1]}-{digest}"
