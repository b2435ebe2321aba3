"""Makes what was said fit on a page: long texts and lists are cut, and say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trace_core._model.values import Value

LONGEST_TEXT: Final = 50_000
"""Characters of a text that the page has; the rest is cut."""
_MOST_NUMBERS: Final = 16
"""Of a list of numbers, an embedding mostly."""
_MOST_ITEMS: Final = 1_000


def shortened(value: Value) -> Any:
    """Return a value with its long texts and lists cut, and a note in the place of the rest."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        items = list(value.items())
        kept = {_text(key): shortened(item) for key, item in items[:_MOST_ITEMS]}
        left = len(items) - len(kept)
        return {**kept, "…": f"{left:,} more"} if left > 0 else kept
    if isinstance(value, (list, tuple)):
        return _list(value)
    return value


def _text(text: str) -> str:
    left = len(text) - LONGEST_TEXT
    return f"{text[:LONGEST_TEXT]}\n… {left:,} more characters" if left > 0 else text


def _list(items: Sequence[Value]) -> list[Any]:
    numbers = len(items) > _MOST_NUMBERS and all(isinstance(i, (int, float)) for i in items)
    most = _MOST_NUMBERS if numbers else _MOST_ITEMS
    kept = [shortened(item) for item in items[:most]]
    left = len(items) - len(kept)
    return [*kept, f"… {left:,} more"] if left > 0 else kept


_PREVIEW: Final = 160
_KEYS: Final = ("messages", "input", "contents", "prompt", "query", "question", "text", "content")


def preview(value: Value) -> str:
    """Return the beginning of what was asked, on one line; empty if there is nothing to read.

    Args:
        value: The inputs of a span.
    """
    return " ".join(_asked(value, 0)[: 4 * _PREVIEW].split())[:_PREVIEW]


_DEEPEST: Final = 6


def _asked(value: Value, depth: int) -> str:
    """Find the last thing said by the user, wherever the provider's interface has it."""
    if depth > _DEEPEST:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        found = (_asked(value[key], depth + 1) for key in (*_KEYS, "parts") if key in value)
        return next(filter(None, found), "")
    if isinstance(value, (list, tuple)):
        users = [v for v in value if isinstance(v, Mapping) and v.get("role") == "user"]
        found = (_asked(item, depth + 1) for item in (*users[::-1], *value[:3]))
        return next(filter(None, found), "")
    return ""
