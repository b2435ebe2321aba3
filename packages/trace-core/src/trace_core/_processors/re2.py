"""The rules of `_rules` as one pattern for google-re2, which takes them all in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import re2  # type: ignore[import-not-found,import-untyped,unused-ignore]

from trace_core._processors.rules import ASSIGNED, KEYWORDS, RULES, Match

_BOUNDARY: Final = r"(?:^|[^A-Za-z0-9])"  # RE2 cannot look behind
_MAX_MEMORY: Final = 256 * 1024 * 1024


def _combined() -> Any:
    """Compile all rules; the number of each group says which rule it is of."""
    parts = [f"{_BOUNDARY}(?:{_with_group(rule.pattern)})" for rule in RULES]
    parts.append(
        rf"(?i:{KEYWORDS})(?:\\*[\"'])?[ \t]*[:=]>?[ \t]*(?:\\*[\"'])?([^\s\"',;}}{{&\\]{{8,}})"
    )
    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    return re2.compile("|".join(parts).encode(), options)


def _with_group(pattern: str) -> str:
    """Have one group around what is to be replaced."""
    if "(?P<secret>" in pattern:
        return pattern.replace("(?P<secret>", "(")
    return f"({pattern})"


_NAMES: Final = (*(rule.name for rule in RULES), ASSIGNED)
_PATTERN: Final = _combined()


def matches(text: str) -> Iterator[Match]:
    """Find secrets in a text by the rules.

    Args:
        text: The text.
    """
    # As bytes, because the module would count the characters before each match otherwise.
    data = text.encode("utf-8", "surrogatepass")
    ascii_only = len(data) == len(text)
    for found in _PATTERN.finditer(data):
        index = found.lastindex
        if index is not None:
            begin, end = found.span(index)
            if not ascii_only:
                begin, end = (_characters(data[:place]) for place in (begin, end))
            yield (begin, end, _NAMES[index - 1])


def _characters(data: bytes) -> int:
    return len(data.decode("utf-8", "surrogatepass"))
