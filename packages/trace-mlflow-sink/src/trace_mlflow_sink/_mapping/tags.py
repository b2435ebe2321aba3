"""The tags of a trace: its name, those the program gave, and what state its call is in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from trace_core import Span, UsageSource, Value, semconv
from trace_mlflow_sink._mapping import chat_view, names, sanitize

LONGEST_KEY: Final = 250
LONGEST_VALUE: Final = 4_000
_NOT_IN_KEYS: Final = re.compile(r"[^/\w.\- :]")
"""MLflow silently drops a tag whose key has one of these characters."""


def of_trace(root: Span) -> dict[str, str]:
    """Return the tags of a trace, its name among them.

    Args:
        root: The root span of the trace.
    """
    name = sanitize.shorten(root.attributes.get(semconv.TRACE_NAME) or root.name, LONGEST_VALUE)
    return {**_state_tags(root), **given(root), names.TAG_TRACE_NAME: name}


def _state_tags(root: Span) -> dict[str, str]:
    """Return tags that tell a cut stream, an interrupted call and estimated tokens at a glance."""
    attributes = root.attributes
    ending = attributes.get(semconv.STREAM_ENDING) or attributes.get(semconv.ENDING)
    found = {names.TAG_ENDING: str(ending)} if ending and ending != "completed" else {}
    if root.usage is not None and root.usage.source is UsageSource.ESTIMATED:
        found[names.USAGE_SOURCE] = root.usage.source.value
    return found


def linked_prompts(root: Span) -> list[Mapping[str, Value]]:
    """Return the versions of the prompt registry that were loaded in a trace.

    Args:
        root: The root span of the trace.

    Returns:
        Of each its ``name`` and ``version``.
    """
    told = chat_view.as_object(root.attributes.get(names.TAGS)).get(names.TAG_LINKED_PROMPTS)
    if root.parent_id is not None or not isinstance(told, str):
        return []
    try:
        found = json.loads(told)
    except ValueError:
        return []
    return [p for p in chat_view.as_objects(found) if {"name", "version"} <= p.keys()]


def given(span: Span) -> dict[str, str]:
    """Return the tags that the program gave; a label becomes a tag with an empty value.

    Args:
        span: Any span.
    """
    own = span.attributes.get(semconv.TAGS)
    found = dict(chat_view.as_object(span.attributes.get(names.TAGS)))
    found.update(own if isinstance(own, Mapping) else dict.fromkeys(_labels(own), ""))
    return {
        sanitize.shorten_id(_NOT_IN_KEYS.sub("_", key), LONGEST_KEY): sanitize.shorten(
            value if isinstance(value, str) else sanitize.json_text(value), LONGEST_VALUE
        )
        for key, value in found.items()
        if key and value is not None
    }


def _labels(tags: Value) -> list[str]:
    if isinstance(tags, (list, tuple)):
        return [str(tag) for tag in tags if tag is not None]
    return [] if tags is None else [str(tags)]
