"""Requests in a form in which they can be compared: the one form for recorded and for new ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import attrs

from trace_core import Span, SpanContext, SpanKind, Value, encode, limit_payloads, redact

_WHERE_AND_HOW: Final = frozenset(
    {
        "api_base", "api_version", "base_url", "cache", "caching", "cooldown_time",
        "default_headers", "extra_headers", "headers", "keepalive_timeout", "max_parallel_requests",
        "max_retries", "no-log", "num_retries", "order", "organization", "request_timeout",
        "retry_policy", "retry_strategy", "rpm", "stream_options", "stream_timeout", "tags",
        "timeout", "tpm", "turn_off_message_logging", "verbose", "weight",
    }
)  # fmt: skip
"""Parameters that say where and how a request is sent, not what is asked: never compared."""
_MOCKING: Final = "mock_"
"""How the parameters begin that have LiteLLM make the answer up: never compared either."""
_ASKED: Final = (
    "system", "instructions", "messages", "input", "prompt", "query", "documents", "contents",
    "file", "image", "document",
)  # fmt: skip
"""Parameters with what is asked: all that a loose match compares."""
_NOT_SAID: Final = frozenset(
    {"cache_control", "call_id", "id", "index", "signature", "status", "tool_call_id", "type"}
)
"""Keys of messages that a loose match passes over."""
_ADDRESS: Final = re.compile(r"(?<= at )0x[0-9a-f]+")
_PLACEHOLDER: Final = re.compile(r"\[redacted:[^\]\"]{1,80}\]|\[REDACTED\]")
_NOWHERE: Final = SpanContext("1" * 32, "1" * 16)


def is_mocked(parameters: Any) -> bool:
    """Return whether LiteLLM makes the answer up itself, as its callers may ask."""
    return isinstance(parameters, Mapping) and any(
        name.startswith(_MOCKING) and parameters[name] is not None for name in parameters
    )


@attrs.frozen(eq=False)
class Request:
    """A call as it is compared.

    Args:
        function: Which function: the name of its target.
        parameters: What is compared, as plain JSON.
        exact: The same as text.
        said: What is asked, as text.
    """

    function: str
    parameters: Mapping[str, Any]
    exact: str
    said: str

    def key(self, *, loose: bool) -> tuple[str, str]:
        """Return what two requests have in common if they are the same."""
        return self.function, self.said if loose else self.exact

    def resembles(self, recorded: Request, *, loose: bool) -> bool:
        """Return whether a recorded request is this one, but for secrets removed from it."""
        if self.function != recorded.function:
            return False
        text = self.key(loose=loose)[1]
        first, *others = _PLACEHOLDER.split(recorded.key(loose=loose)[1])
        return bool(others) and text.startswith(first) and _follow(text[len(first) :], others)


def _follow(text: str, parts: list[str]) -> bool:
    """Return whether a text has these parts in this order, and ends with the last one."""
    *between, last = parts
    for part in between:
        _, found, text = text.partition(part) if part else ("", "-", text)
        if not found:
            return False
    return text.endswith(last)


class Normaliser:
    """Makes requests comparable: secrets and payloads are replaced as they are in recordings.

    Args:
        ignore: More parameters that are not compared.
        scrub: Changes each text before it is compared.
    """

    def __init__(self, ignore: Collection[str], scrub: Callable[[str], str] | None) -> None:
        self._ignored = _WHERE_AND_HOW | frozenset(ignore)
        self._scrub = scrub or (lambda text: text)
        self._processors = (limit_payloads(), redact())

    def request(self, function: str, inputs: Value) -> Request:
        """Return a call in the form in which it is compared.

        Args:
            function: The name of the target.
            inputs: Its parameters, as they are or would be recorded.
        """
        span = Span(_NOWHERE, None, function, SpanKind.LLM, 1, 2, inputs=inputs)
        for process in self._processors:
            span = process(span)
        known = json.loads(encode(span)).get("inputs") or {}
        kept = {
            name: self._plain(value)
            for name, value in known.items()
            if not self._is_ignored(name) and not (name == "stream" and not value)
        }
        asked = list(_said([kept[name] for name in _ASKED if name in kept]))
        exact = json.dumps(kept, sort_keys=True, ensure_ascii=False)
        return Request(function, kept, exact, json.dumps(asked, ensure_ascii=False))

    def _is_ignored(self, name: str) -> bool:
        return name in self._ignored or name.startswith(_MOCKING)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            text = _ADDRESS.sub("…", value) if value.startswith("<") else value
            return self._scrub(text)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, dict):
            return {key: self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list) else value


def _said(value: Any) -> Iterator[str]:
    """Yield the texts of what is asked, without line breaks and runs of blanks."""
    if isinstance(value, str):
        yield " ".join(value.split())
    elif isinstance(value, dict):
        for key in sorted(value.keys() - _NOT_SAID):
            yield from _said(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _said(item)
