"""Collects the texts and containers of a span at once, for processors that mostly only look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import filterfalse
from types import NoneType
from typing import Any, Final, NamedTuple

from trace_core._model.span import Span

PLAIN_TYPES: Final = frozenset({bool, int, float, NoneType})
"""Types of values that hold no text."""
_MOST_CONTAINERS: Final = 1_000_000
"""To look at; a span with more has a container that contains itself, or nearly."""
LONG: Final = 1_000
"""Characters."""
_KEPT: Final = 1_000
"""Texts of a span that is kept from one processor to the next; it has no very long ones."""
_SEEN: Final = 2_048
LONGEST_SEEN: Final = 4_096
"""Characters; to keep longer texts would take too much memory."""


class Look(NamedTuple):
    """What a span holds, in no particular order.

    Args:
        texts: All texts, keys of mappings included.
        sequences: All sequences.
        long: Texts in values that have more than `LONG` characters.
    """

    texts: list[str]
    sequences: list[Any]
    long: list[str]


_last: tuple[Span, Look] | None = None


def look_at(span: Span) -> Look:
    """Collect what a span holds, but for its resource, which is mostly that of the span before.

    Args:
        span: The span.
    """
    global _last  # noqa: PLW0603  # the next processor looks at the same span
    last = _last
    if last is not None and last[0] is span:
        return last[1]
    root: list[Any] = [span.name, span.status.description, span.inputs, span.outputs]
    root.append(span.attributes)
    for event in span.events:
        root += (event.name, event.attributes)
    found = look_into(root)
    if len(found.texts) <= _KEPT and max(map(len, found.long), default=0) <= LONGEST_SEEN:
        _last = (span, found)
    return found


def look_into(values: Iterable[Any]) -> Look:
    """Collect what some values hold.

    Args:
        values: The values.

    Raises:
        ValueError: One of them contains itself, or too much.
    """
    texts: list[str] = []
    sequences: list[Any] = []
    long: list[str] = []
    todo: list[Iterable[Any]] = [values]
    for items in todo:  # grows meanwhile
        # Views of so many mappings are not kept: their number would set off garbage collections.
        for item in items.values() if type(items) is dict else items:
            if (kind := type(item)) is str:
                texts.append(item)
                if len(item) > LONG:
                    long.append(item)
            elif kind is dict:
                texts += item
                todo.append(item)
            elif kind is tuple or kind is list:
                sequences.append(item)
                todo.append(item)
            elif kind not in PLAIN_TYPES:
                _look_at_other(item, Look(texts, sequences, long), todo)
        if len(todo) > _MOST_CONTAINERS:
            raise ValueError("a value of the span contains itself, or a million others")
    return Look(texts, sequences, long)


def _look_at_other(item: Any, found: Look, todo: list[Iterable[Any]]) -> None:
    """Look at a value of a type that `snapshot` does not make."""
    if isinstance(item, str):
        found.texts.append(item)
        if len(item) > LONG:
            found.long.append(item)
    elif isinstance(item, Mapping):
        found.texts.extend(item)
        todo.append(item.values())
    elif isinstance(item, (tuple, list)):
        found.sequences.append(item)
        todo.append(item)


class Seen:
    """The short texts that a processor has seen and left as they were; the newest few thousand.

    Names, models and system prompts come again with every call. May be used on any thread.
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def new(self, texts: Iterable[str]) -> dict[str, None]:
        """Return those of some texts that were not seen, each once and in order.

        To go through many in the order of their hashes takes thrice as long: they lie anywhere.

        Args:
            texts: The texts.
        """
        return dict.fromkeys(filterfalse(self._texts.__contains__, texts))

    def add(self, texts: Iterable[str]) -> None:
        """Note texts that were left as they were.

        Args:
            texts: The texts.
        """
        if len(self._texts) > _SEEN:
            self._texts = set()  # not cleared: another thread may be reading it
        self._texts.update([text for text in texts if len(text) <= LONGEST_SEEN])
