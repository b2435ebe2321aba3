"""Merges the token counts that a stream reports in several chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value

_SIDES: Final = ("prompt_tokens", "completion_tokens")
_ANSWER: Final = ("completion_tokens", "candidatesTokenCount", "candidates_token_count")


def merge_usage(before: Value, new: Value) -> Value:
    """Merge a later report of a stream's usage into the earlier ones.

    A provider may report the prompt first and the answer last, details in one chunk only, or send
    zeros after the counts. So a later count replaces an earlier one, but zero and ``None`` do not.

    Args:
        before: The merged usage so far; ``None`` at first.
        new: The usage of one chunk.

    Returns:
        The merged usage.
    """
    if not isinstance(before, Mapping) or not isinstance(new, Mapping):
        return before if new is None else new
    merged: dict[str, Any] = {**before}
    for name, value in new.items():
        earlier = merged.get(name)
        if isinstance(earlier, Mapping) and isinstance(value, Mapping):
            merged[name] = merge_usage(earlier, value)
        elif earlier is None or value not in (None, 0):
            merged[name] = value
    total = merged.get("total_tokens")
    if isinstance(total, int):
        sides = [merged.get(name) for name in _SIDES]
        merged["total_tokens"] = max(total, sum(side for side in sides if isinstance(side, int)))
    return merged


def counts_answer(usage: Value) -> bool:
    """Return whether a report of usage counts the answer; 0 counts nothing.

    Args:
        usage: The usage of one chunk.
    """
    return isinstance(usage, Mapping) and any(usage.get(name) for name in _ANSWER)
